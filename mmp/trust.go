package mmp

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"

	"parley/services/config"
	"parley/services/pki"
	"parley/services/problem"
	"parley/services/xmpp/peer"
)

// checkTrust checks the trust bundle of x, if any: that it is certificates,
// that all are valid now, and that the other nodes could trust this one by it.
// A node without a certificate yet is checked when it gets one.
func (c *call) checkTrust(x config.XMPP) error {
	file := x.Cluster.Trust
	if file == "" {
		return nil
	}
	data, err := c.Files.Read(file)
	if err != nil {
		return err
	}
	trust, err := peer.LoadTrust(data)
	if err != nil {
		return problem.New(problem.ClusterTrust, "file", file, "detail", err.Error())
	}
	now, stamp := c.Now(), dateTime(c.Now())+" UTC"
	for _, cert := range certificates(data) {
		name := cert.Subject.CommonName
		if name == "" {
			name = cert.Subject.String()
		}
		switch {
		case now.After(cert.NotAfter):
			return problem.New(problem.PKIExpired, "subject", name, "file", file, "until", dateTime(cert.NotAfter)+" UTC", "now", stamp)
		case now.Before(cert.NotBefore):
			return problem.New(problem.PKINotYet, "subject", name, "file", file, "from", dateTime(cert.NotBefore)+" UTC", "now", stamp)
		}
	}
	if x.Key == "" {
		return nil
	}
	own, err := pki.LoadChain(c.Files, x.Key, x.Certificate, x.Bundle)
	if err != nil {
		return err
	}
	chain := make([]*x509.Certificate, len(own.Certificate))
	for i, der := range own.Certificate {
		if chain[i], err = x509.ParseCertificate(der); err != nil {
			return fmt.Errorf("parse %s: %w", x.Certificate, err)
		}
	}
	if err := trust.Check(chain, x.Domain, now); err != nil {
		detail := err.Error()
		if d, ok := errors.AsType[*peer.Distrust](err); ok {
			detail, _, _ = strings.Cut(d.Reason, ";")
		}
		return problem.New(problem.ClusterTrustSelf, "file", file, "certificate", x.Certificate, "detail", detail)
	}
	return nil
}

// recheckTrust is checkTrust after a change of what the bundle has to cover.
// Without cluster mode what does not fit is only told: there the bundle can
// still be changed after the certificate.
func (c *call) recheckTrust(x config.XMPP) error {
	err := c.checkTrust(x)
	if err != nil && !x.Cluster.Enabled {
		c.out.warn(err)
		return nil
	}
	return err
}

// certificates are those of a file that peer.LoadTrust takes.
func certificates(data []byte) []*x509.Certificate {
	var certs []*x509.Certificate
	add := func(der []byte) {
		if cert, err := x509.ParseCertificate(der); err == nil {
			certs = append(certs, cert)
		}
	}
	rest := data
	for {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		add(b.Bytes)
	}
	if len(certs) == 0 {
		add(data)
	}
	return certs
}
