package directory

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"parley/services/journal"
	"parley/services/problem"
)

// trust is what a server's certificate is checked against. The zero value is
// the system's authorities.
type trust struct {
	// file is the name of the trust file, "" for none.
	file  string
	certs []*x509.Certificate
	roots *x509.CertPool
}

// loadTrust reads the file of that name; it may be "".
func loadTrust(files Files, name string) (trust, error) {
	if name == "" {
		return trust{}, nil
	}
	data, err := files.Read(name)
	if err != nil {
		return trust{}, err
	}
	t := trust{file: name, roots: x509.NewCertPool()}
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type == "CERTIFICATE" {
			if err := t.add(b.Bytes); err != nil {
				return trust{}, err
			}
		}
	}
	if len(t.certs) == 0 {
		return t, t.add(data)
	}
	return t, nil
}

// CheckTrust says whether the file of that name may be what a server is trusted
// by.
func CheckTrust(files Files, name string) error {
	_, err := loadTrust(files, name)
	return err
}

func (t *trust) add(der []byte) error {
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return problem.New(problem.DirectoryTrust, "file", t.file)
	}
	t.certs = append(t.certs, c)
	if c.IsCA {
		t.roots.AddCert(c)
	}
	return nil
}

// config is for connections to host. Whatever is wrong with the certificate is
// left in verdict, as go-ldap does not pass on the errors of a handshake.
func (t trust) config(host, address string, verdict *error) *tls.Config {
	return &tls.Config{
		ServerName: host,
		MinVersion: tls.VersionTLS12,
		// VerifyConnection checks, with the trust file's own rules.
		InsecureSkipVerify: true,
		VerifyConnection: func(s tls.ConnectionState) error {
			*verdict = t.check(s.PeerCertificates, host, address, time.Now())
			return *verdict
		},
	}
}

// check returns a problem unless the server that shows chain is trusted: its
// own certificate is in the trust file, or it names host and leads to an
// authority in the trust file, or of the system where there is no such file.
func (t trust) check(chain []*x509.Certificate, host, address string, now time.Time) error {
	leaf := chain[0]
	bad := func(reason, fix string) error {
		return problem.New(problem.DirectoryCertificate, "address", address, "certificate", nameOf(leaf), "reason", reason, "fix", fix)
	}
	for _, c := range t.certs {
		if bytes.Equal(c.Raw, leaf.Raw) {
			if reason := period(leaf, now); reason != "" {
				return bad(reason, renew)
			}
			return nil
		}
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: t.roots, Intermediates: between, CurrentTime: now})
	if err == nil {
		if leaf.VerifyHostname(host) == nil {
			return nil
		}
		return bad("names "+namesOf(leaf)+" and not "+host, "give 'callbridge directory address' a name in it, or have it made anew with "+host+" among its names")
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok && invalid.Reason == x509.Expired {
		if invalid.Cert.Equal(leaf) {
			return bad(period(leaf, now), renew)
		}
		return bad("is of the authority "+nameOf(invalid.Cert)+", whose certificate "+period(invalid.Cert, now), renew)
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return bad(t.unknown(leaf))
	}
	return bad("does not help: "+short(strings.TrimPrefix(err.Error(), "x509: ")), "give the server a certificate for TLS servers")
}

const renew = "renew it on the server, or set the clock here"

// unknown says that leaf's authority is not trusted, and what to do.
func (t trust) unknown(leaf *x509.Certificate) (reason, fix string) {
	authority := "CN=" + short(leaf.Issuer.CommonName)
	if bytes.Equal(leaf.RawSubject, leaf.RawIssuer) {
		authority = "itself"
	}
	if t.file == "" {
		return "is of " + authority + ", which the system does not know", "put the authority's certificate by SFTP, and run 'callbridge directory trust <bundle>'"
	}
	return "is not in " + t.file + " and is of " + authority + ", which is not in it either", "add the authority's certificate to " + t.file
}

// period says how c is out of its time, "" where it is not.
func period(c *x509.Certificate, now time.Time) string {
	const layout = "2006-Jan-02 15:04:05 UTC"
	switch {
	case now.After(c.NotAfter):
		return "expired on " + c.NotAfter.UTC().Format(layout)
	case now.Before(c.NotBefore):
		return "is valid only from " + c.NotBefore.UTC().Format(layout) + " on, and the clock here has " + now.UTC().Format(layout)
	}
	return ""
}

// nameOf is how a certificate is called in a sentence, with the beginning of
// the fingerprint that `pki inspect` shows.
func nameOf(c *x509.Certificate) string {
	name := "CN=" + c.Subject.CommonName
	if c.Subject.CommonName == "" {
		name = c.Subject.String()
	}
	sum := sha256.Sum256(c.Raw)
	return fmt.Sprintf("%s (SHA-256 %s:…)", short(name), strings.ReplaceAll(fmt.Sprintf("% X", sum[:6]), " ", ":"))
}

// namesOf lists the names that count: the common name does not (RFC 6125).
func namesOf(c *x509.Certificate) string {
	names := append([]string(nil), c.DNSNames...)
	for _, ip := range c.IPAddresses {
		names = append(names, net.IP(ip).String())
	}
	if len(names) == 0 {
		return "no host"
	}
	return short(strings.Join(names, ", "))
}

// short makes what others chose fit for a line.
func short(s string) string {
	if r := []rune(s); len(r) > 200 {
		s = string(r[:200]) + "…"
	}
	return journal.Clean(s)
}
