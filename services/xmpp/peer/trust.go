package peer

import (
	"bytes"
	"crypto/sha256"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"parley/services/journal"
)

// maxChain bounds the certificates that a peer may show.
const maxChain = 10

// Trust is a trust bundle: the certificates that nodes know each other by. A
// peer is trusted when its own certificate is in it, or chains to a CA's
// certificate in it and names the XMPP domain. The zero value trusts nobody.
// It is immutable.
type Trust struct {
	certs []*x509.Certificate
	roots *x509.CertPool
	// sum tells bundles apart.
	sum [sha256.Size]byte
}

// Distrust is why a certificate is not trusted.
type Distrust struct {
	// Certificate is its name and fingerprint: "CN=tptac9.com (SHA-256 …)".
	Certificate string
	// Of is who showed it, "" for nobody known.
	Of string
	// Reason ends the sentence that "the certificate" begins.
	Reason string
}

// Error implements error.
func (d *Distrust) Error() string {
	if d.Of != "" {
		return fmt.Sprintf("certificate %s of %s %s", d.Certificate, d.Of, d.Reason)
	}
	return fmt.Sprintf("certificate %s %s", d.Certificate, d.Reason)
}

// LoadTrust reads certificates in PEM, or a single one in DER.
func LoadTrust(data []byte) (Trust, error) {
	t := Trust{roots: x509.NewCertPool(), sum: sha256.Sum256(data)}
	add := func(der []byte) error {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return fmt.Errorf("certificate %d cannot be read: %w", len(t.certs)+1, err)
		}
		t.certs = append(t.certs, c)
		if c.IsCA {
			t.roots.AddCert(c)
		}
		return nil
	}
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if b.Type != "CERTIFICATE" {
			return Trust{}, fmt.Errorf("it holds a %s, not certificates alone", strings.ToLower(journal.Clean(b.Type)))
		}
		if err := add(b.Bytes); err != nil {
			return Trust{}, err
		}
	}
	if len(t.certs) == 0 {
		if add(data) != nil {
			return Trust{}, errors.New("it holds no certificate")
		}
	}
	return t, nil
}

// Expires is when the first certificate of the bundle ends; zero with none.
func (t Trust) Expires() time.Time {
	var first time.Time
	for _, c := range t.certs {
		if first.IsZero() || c.NotAfter.Before(first) {
			first = c.NotAfter
		}
	}
	return first
}

// Check reports why the peer that shows chain, its own certificate first, is not
// trusted: a *Distrust. Extended key usages do not count, as server
// certificates often lack clientAuth, and every node is both.
func (t Trust) Check(chain []*x509.Certificate, domain string, now time.Time) error {
	return t.check(chain, now, func(leaf *x509.Certificate) string {
		if names(leaf, domain) {
			return ""
		}
		return fmt.Sprintf("is of an authority in the trust bundle, but names %s and not the XMPP domain %s; it would have to be in the bundle itself",
			namesOf(leaf), domain)
	})
}

// checkServer is Check of one that was dialed, whatever its certificate names.
func (t Trust) checkServer(chain []*x509.Certificate, now time.Time) error {
	return t.check(chain, now, func(*x509.Certificate) string { return "" })
}

// CheckClient is Check of one that has dialed and has to bear name.
func (t Trust) CheckClient(chain []*x509.Certificate, name string, now time.Time) error {
	if err := t.check(chain, now, func(*x509.Certificate) string { return "" }); err != nil || names(chain[0], name) {
		return err
	}
	return &Distrust{Certificate: nameOf(chain[0]), Reason: fmt.Sprintf("names %s and not %s, as that of a client must", namesOf(chain[0]), name)}
}

// check asks named, of a certificate whose authority is in the bundle, for why
// it is refused all the same.
func (t Trust) check(chain []*x509.Certificate, now time.Time, named func(leaf *x509.Certificate) string) error {
	if len(chain) == 0 {
		return &Distrust{Certificate: "(none)", Reason: "was not shown"}
	}
	leaf := chain[0]
	distrust := func(format string, args ...any) error {
		return &Distrust{Certificate: nameOf(leaf), Reason: fmt.Sprintf(format, args...)}
	}
	if len(chain) > maxChain {
		return distrust("comes with %d others", len(chain)-1)
	}
	for _, c := range t.certs {
		if bytes.Equal(c.Raw, leaf.Raw) {
			if reason := period(leaf, now); reason != "" {
				return distrust("%s", reason)
			}
			return nil
		}
	}
	if len(t.certs) == 0 {
		return distrust("is not in the trust bundle, which is empty")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	_, err := leaf.Verify(x509.VerifyOptions{Roots: t.roots, Intermediates: between, CurrentTime: now,
		KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny}})
	if err == nil {
		if reason := named(leaf); reason != "" {
			return distrust("%s", reason)
		}
		return nil
	}
	var invalid x509.CertificateInvalidError
	if errors.As(err, &invalid) && invalid.Reason == x509.Expired {
		if bytes.Equal(invalid.Cert.Raw, leaf.Raw) {
			return distrust("%s", period(leaf, now))
		}
		return distrust("is of the authority %s, whose certificate %s", nameOf(invalid.Cert), period(invalid.Cert, now))
	}
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		if bytes.Equal(leaf.RawSubject, leaf.RawIssuer) {
			return distrust("is not in the trust bundle")
		}
		return distrust("is not in the trust bundle, nor is its authority CN=%s", short(leaf.Issuer.CommonName))
	}
	return distrust("is not in the trust bundle, and its authority does not help: %s", short(strings.TrimPrefix(err.Error(), "x509: ")))
}

// period says how c is out of its time, "" where it is not.
func period(c *x509.Certificate, now time.Time) string {
	switch {
	case now.After(c.NotAfter):
		return "expired on " + stamp(c.NotAfter)
	case now.Before(c.NotBefore):
		return "is valid only from " + stamp(c.NotBefore) + " on, and the clock here has " + stamp(now)
	}
	return ""
}

// names reports whether c names domain itself.
func names(c *x509.Certificate, domain string) bool {
	if domain == "" {
		return false
	}
	for _, n := range append([]string{c.Subject.CommonName}, c.DNSNames...) {
		if strings.EqualFold(strings.TrimSuffix(n, "."), strings.TrimSuffix(domain, ".")) {
			return true
		}
	}
	return false
}

// namesOf are the names that c has, each of them once.
func namesOf(c *x509.Certificate) string {
	var all []string
	for _, n := range append([]string{c.Subject.CommonName}, c.DNSNames...) {
		if n != "" && !slices.ContainsFunc(all, func(have string) bool { return strings.EqualFold(have, n) }) {
			all = append(all, n)
		}
	}
	if len(all) == 0 {
		return "nothing"
	}
	return short(strings.Join(all, ", "))
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

// short makes what a certificate's or frame's maker chose fit for a line.
func short(s string) string {
	if r := []rune(s); len(r) > 120 {
		s = string(r[:120]) + "…"
	}
	return journal.Clean(s)
}

func stamp(t time.Time) string { return t.UTC().Format("2006-Jan-02 15:04:05 UTC") }
