package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"strconv"
	"strings"
	"time"

	"parley/services/journal"
)

// Entry is a file of List.
type Entry struct {
	Name string
	Kind Kind
}

// List returns the keys, requests and certificates among the files, by name.
func List(src Source) ([]Entry, error) {
	names, err := src.Names()
	if err != nil {
		return nil, err
	}
	var list []Entry
	for _, n := range names {
		// A file too large or gone meanwhile is none of ours; a damaged one
		// is, or nobody would see why it does not work.
		data, err := src.Read(n)
		if err != nil {
			continue
		}
		c, err := parse(n, data)
		if err != nil {
			list = append(list, Entry{n, Other})
		} else if c.kind != Other {
			list = append(list, Entry{n, c.kind})
		}
	}
	return list, nil
}

// Inspect describes a file in lines fit for a terminal. Of a key it tells no
// more than its type and its public part's fingerprint.
func Inspect(src Source, name string, now time.Time) ([]string, error) {
	c, err := load(src, name)
	if err != nil {
		return nil, err
	}
	var t text
	t.row("File", name)
	t.row("Holds", strings.TrimPrefix(strings.TrimPrefix(string(c.kind), "an "), "a "))
	switch c.kind {
	case Other:
		return nil, c.wrong(Certificate)
	case Key:
		t.row("Key", keyText(c.key.Public()))
		t.row("Public key SHA-256", publicFingerprint(c.key.Public()))
	case Request:
		t.row("Subject", subject(c.csr.Subject))
		t.row("Names", requestNames(c.csr))
		t.row("Key", keyText(c.csr.PublicKey))
		t.row("Public key SHA-256", publicFingerprint(c.csr.PublicKey))
		if err := c.csr.CheckSignature(); err != nil {
			t.row("Signature", "wrong: the file was changed after it was made")
		}
	}
	for i, cert := range c.certs {
		if len(c.certs) > 1 {
			t.row("Certificate", fmt.Sprintf("%d of %d", i+1, len(c.certs)))
		}
		t.certificate(cert, now)
	}
	return t.lines, nil
}

type text struct{ lines []string }

// row adds a line. What a certificate holds is its maker's choice, so control
// characters are taken out.
func (t *text) row(label, value string) {
	t.lines = append(t.lines, journal.Clean(fmt.Sprintf("%-18s : %s", label, value)))
}

func (t *text) certificate(c *x509.Certificate, now time.Time) {
	t.row("Subject", subject(c.Subject))
	if selfIssued(c) {
		t.row("Issuer", "itself")
	} else {
		t.row("Issuer", subject(c.Issuer))
	}
	t.row("Serial number", fmt.Sprintf("%x", c.SerialNumber))
	t.row("Valid from", stamp(c.NotBefore))
	t.row("Valid until", stamp(c.NotAfter)+" ("+left(c, now)+")")
	if n := names(c); n != "" {
		t.row("Names", n)
	}
	t.row("Key", keyText(c.PublicKey))
	t.row("Signature", c.SignatureAlgorithm.String())
	if u := usage(c); u != "" {
		t.row("Usage", u)
	}
	t.row("Public key SHA-256", publicFingerprint(c.PublicKey))
	t.row("SHA-256", colons(sha256.Sum256(c.Raw)))
}

func left(c *x509.Certificate, now time.Time) string {
	days := func(d time.Duration) string { return strconv.Itoa(int(d/(24*time.Hour))) + " days" }
	switch {
	case now.Before(c.NotBefore):
		return "not valid yet"
	case now.After(c.NotAfter):
		return "expired " + days(now.Sub(c.NotAfter)) + " ago"
	}
	return days(c.NotAfter.Sub(now)) + " left"
}

func stamp(t time.Time) string { return t.UTC().Format("2006-Jan-02 15:04:05 UTC") }

// nameOf is how a certificate is called in a sentence.
func nameOf(c *x509.Certificate) string { return short(c.Subject) }

func issuerOf(c *x509.Certificate) string { return short(c.Issuer) }

func short(n pkix.Name) string {
	s := n.CommonName
	if s == "" {
		s = subject(n)
	}
	return journal.Clean(s)
}

func subject(n pkix.Name) string {
	if s := n.String(); s != "" {
		return s
	}
	return "(empty)"
}

func names(c *x509.Certificate) string {
	all := append([]string{}, c.DNSNames...)
	for _, ip := range c.IPAddresses {
		all = append(all, ip.String())
	}
	all = append(all, c.EmailAddresses...)
	for _, u := range c.URIs {
		all = append(all, u.String())
	}
	return journal.Clean(strings.Join(all, ", "))
}

func requestNames(r *x509.CertificateRequest) string {
	return names(&x509.Certificate{DNSNames: r.DNSNames, IPAddresses: r.IPAddresses, EmailAddresses: r.EmailAddresses, URIs: r.URIs})
}

func usage(c *x509.Certificate) string {
	var all []string
	if c.IsCA {
		all = append(all, "CA")
	}
	for _, u := range c.ExtKeyUsage {
		switch u {
		case x509.ExtKeyUsageServerAuth:
			all = append(all, "serverAuth")
		case x509.ExtKeyUsageClientAuth:
			all = append(all, "clientAuth")
		case x509.ExtKeyUsageAny:
			all = append(all, "any")
		default:
			all = append(all, "other")
		}
	}
	return strings.Join(all, ", ")
}

func keyText(pub crypto.PublicKey) string {
	switch k := pub.(type) {
	case *rsa.PublicKey:
		return fmt.Sprintf("RSA, %d bits", k.N.BitLen())
	case *ecdsa.PublicKey:
		return "ECDSA, " + k.Curve.Params().Name
	case ed25519.PublicKey:
		return "Ed25519"
	}
	return fmt.Sprintf("%T", pub)
}

// publicFingerprint is of the SubjectPublicKeyInfo, so it is the same for a
// key, its request and its certificate.
func publicFingerprint(pub crypto.PublicKey) string {
	der, err := x509.MarshalPKIXPublicKey(pub)
	if err != nil {
		return "unknown"
	}
	return colons(sha256.Sum256(der))
}

func colons(sum [sha256.Size]byte) string {
	return strings.ReplaceAll(fmt.Sprintf("% X", sum[:]), " ", ":")
}

func ordinal(c located) string { return fmt.Sprintf("certificate %d of %s", c.at, c.file) }
