package pki

import (
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/services/problem"
)

// Report is what Check found. Each problem has its own text with a fix.
type Report struct {
	// Refusals are reasons not to use the files.
	Refusals []*problem.Problem
	// Warnings are to be shown, but the files can be used.
	Warnings []*problem.Problem
}

// Err returns the first refusal, or nil.
func (r Report) Err() error {
	if len(r.Refusals) == 0 {
		return nil
	}
	return r.Refusals[0]
}

// soon is when an end of validity is worth a warning.
const soon = 30 * 24 * time.Hour

// Check says whether a server of that domain and host name may present the
// certificate with the key and the bundle, which may be "". The error is one
// that nobody at a console can mend.
func Check(src Source, keyName, certName, bundle, domain, hostname string, now time.Time) (Report, error) {
	var r Report
	refuse := func(err error) error {
		var p *problem.Problem
		if !errors.As(err, &p) {
			return err
		}
		r.Refusals = append(r.Refusals, p)
		return nil
	}
	key, err := loadKey(src, keyName)
	if err != nil {
		if err := refuse(err); err != nil {
			return r, err
		}
	}
	leaf, rest, err := loadPath(src, certName, bundle)
	if err != nil {
		return r, refuse(err)
	}
	if key != nil && !samePublic(key.Public(), leaf.PublicKey) {
		if err := refuse(mismatch(src, keyName, certName, leaf.PublicKey)); err != nil {
			return r, err
		}
	}
	r.checkPath(leaf, rest, certName, bundle, now)
	r.checkLeaf(leaf, certName, domain, hostname, now)
	return r, nil
}

func (r *Report) refuse(p *problem.Problem) {
	if p != nil {
		r.Refusals = append(r.Refusals, p)
	}
}

func (r *Report) warn(code problem.Code, kv ...string) {
	r.Warnings = append(r.Warnings, problem.New(code, kv...))
}

func (r *Report) checkPath(leaf *x509.Certificate, rest []located, certName, bundle string, now time.Time) {
	path, off := order(leaf, rest)
	r.refuse(validity(certName, leaf, now))
	for i, c := range path {
		file := certName
		if i > 0 {
			file = c.file
			r.refuse(validity(file, c.Certificate, now))
			if !c.IsCA {
				r.refuse(problem.New(problem.PKINotCA, "file", file, "subject", nameOf(c.Certificate)))
			}
		}
		if weakSignature(c.Certificate) {
			r.refuse(problem.New(problem.PKIWeakSignature, "file", file, "subject", nameOf(c.Certificate),
				"algorithm", c.SignatureAlgorithm.String()))
		}
	}
	r.refuse(checkOrder(certName, bundle, path, rest))

	top := path[len(path)-1].Certificate
	switch {
	case selfIssued(top):
	case bundle == "" && len(path) == 1:
		r.warn(problem.PKINoBundle, "issuer", issuerOf(top), "file", certName)
	case bundle != "" && !slices.ContainsFunc(path, func(c located) bool { return c.file == bundle }):
		r.refuse(problem.New(problem.PKIIncomplete, "bundle", bundle, "issuer", issuerOf(top), "subject", nameOf(top)))
		return
	}
	for _, c := range off {
		r.warn(problem.PKIStray, "file", c.file, "at", strconv.Itoa(c.at), "subject", nameOf(c.Certificate))
	}
}

func (r *Report) checkLeaf(leaf *x509.Certificate, certName, domain, hostname string, now time.Time) {
	if left := leaf.NotAfter.Sub(now); left > 0 && left < soon {
		r.warn(problem.PKISoon, "file", certName, "days", strconv.Itoa(int(left/(24*time.Hour))), "until", stamp(leaf.NotAfter))
	}
	names := names(leaf)
	if names == "" {
		names = "none"
	}
	if domain != "" && leaf.VerifyHostname(domain) != nil {
		r.warn(problem.PKIDomain, "file", certName, "domain", domain, "names", names)
	}
	if host := fqdn(hostname, domain); host != "" && !strings.EqualFold(host, domain) && !namesHost(leaf, host) {
		r.warn(problem.PKIHost, "file", certName, "host", host, "names", names)
	}
	usage := leaf.ExtKeyUsage
	if len(usage)+len(leaf.UnknownExtKeyUsage) > 0 &&
		!slices.Contains(usage, x509.ExtKeyUsageServerAuth) && !slices.Contains(usage, x509.ExtKeyUsageAny) {
		r.warn(problem.PKIUsage, "file", certName)
	}
	if weakKey(leaf) {
		r.warn(problem.PKIWeakKey, "file", certName, "key", keyText(leaf.PublicKey))
	}
}

// namesHost says whether a certificate is for a host. Of a host whose domain is not
// known the first label decides.
func namesHost(leaf *x509.Certificate, host string) bool {
	if leaf.VerifyHostname(host) == nil {
		return true
	}
	return !strings.Contains(host, ".") && slices.ContainsFunc(leaf.DNSNames, func(name string) bool {
		label, _, _ := strings.Cut(name, ".")
		return strings.EqualFold(label, host)
	})
}

// fqdn completes a host name without a domain part.
func fqdn(hostname, domain string) string {
	if hostname == "" || strings.Contains(hostname, ".") || domain == "" {
		return hostname
	}
	return hostname + "." + domain
}

func weakKey(c *x509.Certificate) bool {
	switch k := c.PublicKey.(type) {
	case *rsa.PublicKey:
		return k.N.BitLen() < 2048
	case *ecdsa.PublicKey:
		return k.Curve.Params().BitSize < 256
	}
	return false
}

// validity says whether now lies outside a certificate's validity.
func validity(file string, c *x509.Certificate, now time.Time) *problem.Problem {
	switch {
	case now.Before(c.NotBefore):
		return problem.New(problem.PKINotYet, "file", file, "subject", nameOf(c), "from", stamp(c.NotBefore), "now", stamp(now))
	case now.After(c.NotAfter):
		return problem.New(problem.PKIExpired, "file", file, "subject", nameOf(c), "until", stamp(c.NotAfter), "now", stamp(now))
	}
	return nil
}

// Verify says whether a certificate leads to a root in the bundles: to any
// self-signed certificate in them, or where there is none to the last one. It
// returns the names on the way.
func Verify(src Source, certName string, bundles []string, now time.Time) ([]string, error) {
	own, err := loadCerts(src, certName)
	if err != nil {
		return nil, err
	}
	leaf := own[0]
	var given []*x509.Certificate
	for _, b := range bundles {
		certs, err := loadCerts(src, b)
		if err != nil {
			return nil, err
		}
		given = append(given, certs...)
	}
	if len(given) == 0 {
		return nil, problem.New(problem.PKIIncomplete, "bundle", certName, "issuer", issuerOf(leaf), "subject", nameOf(leaf))
	}
	roots, between := x509.NewCertPool(), x509.NewCertPool()
	rooted := false
	for _, c := range given {
		if selfIssued(c) {
			roots.AddCert(c)
			rooted = true
		}
		between.AddCert(c)
	}
	if !rooted {
		roots.AddCert(given[len(given)-1])
	}
	for _, c := range own[1:] {
		between.AddCert(c)
	}
	chains, err := leaf.Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: between, CurrentTime: now, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return nil, unverified(err, leaf, certName, strings.Join(bundles, " "), now)
	}
	var way []string
	for _, c := range chains[0] {
		way = append(way, nameOf(c))
	}
	return way, nil
}

func unverified(err error, leaf *x509.Certificate, certName, bundles string, now time.Time) error {
	if p := validity(certName, leaf, now); p != nil {
		return p
	}
	if bad, ok := errors.AsType[x509.CertificateInvalidError](err); ok && bad.Cert != nil {
		if p := validity(bundles, bad.Cert, now); p != nil {
			return p
		}
		if bad.Reason == x509.NotAuthorizedToSign {
			return problem.New(problem.PKINotCA, "file", bundles, "subject", nameOf(bad.Cert))
		}
	}
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		at := leaf
		if unknown.Cert != nil {
			at = unknown.Cert
		}
		return problem.New(problem.PKIIncomplete, "bundle", bundles, "issuer", issuerOf(at), "subject", nameOf(at))
	}
	return problem.New(problem.PKIUnverified, "file", certName, "bundle", bundles, "detail", fmt.Sprint(err))
}
