package diagnosis

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parley/services/pki"
	"parley/services/problem"
)

// What of the certificate is checked.
const (
	whatKey    = "key and certificate"
	whatNames  = "names in the certificate"
	whatChain  = "certificate chain"
	whatExpiry = "certificate expiry"
	whatUse    = "certificate use"
)

// aspects says which of them a problem of pki.Check is about; others are of
// whatKey.
var aspects = map[problem.Code]string{
	problem.PKIDomain: whatNames, problem.PKIHost: whatNames,
	problem.PKIOrder: whatChain, problem.PKIIncomplete: whatChain, problem.PKINotCA: whatChain, problem.PKINoBundle: whatChain, problem.PKIStray: whatChain,
	problem.PKIExpired: whatExpiry, problem.PKINotYet: whatExpiry, problem.PKISoon: whatExpiry,
	problem.PKIUsage: whatUse, problem.PKIWeakKey: whatUse, problem.PKIWeakSignature: whatUse,
}

// certificate checks the files that XMPP shows others.
func (f *facts) certificate() []Finding {
	x := f.doc.XMPP
	if x.Key == "" {
		return []Finding{fail(whatKey, "none is set").by("xmpp certs <key> <certificate> <bundle>")}
	}
	report, err := pki.Check(f.files, x.Key, x.Certificate, x.Bundle, x.Domain, f.doc.Hostname, f.now)
	if err != nil {
		return []Finding{of(Fail, whatKey, err)}
	}
	found := map[string][]Finding{}
	if x.Domain == "" {
		found[whatNames] = []Finding{warn(whatNames, "not checked without a domain").by("xmpp domain <name>")}
		report.Warnings = slices.DeleteFunc(report.Warnings, func(p *problem.Problem) bool { return aspects[p.Code] == whatNames })
	}
	for _, p := range report.Refusals {
		n := f.aboutCertificate(Fail, p)
		found[n.What] = append(found[n.What], n)
	}
	for _, p := range report.Warnings {
		level := Warn
		if p.Code == problem.PKIDomain {
			// Clients refuse it.
			level = Fail
		}
		n := f.aboutCertificate(level, p)
		found[n.What] = append(found[n.What], n)
	}
	if len(found[whatKey]) > 0 {
		// Nothing is known of the rest.
		return found[whatKey]
	}
	good := map[string]string{
		whatKey:    x.Key + " and " + x.Certificate + " belong together",
		whatNames:  x.Certificate + " names " + x.Domain + " and " + f.fqdn(),
		whatChain:  x.Certificate + " leads to " + orElse(x.Bundle, "itself"),
		whatExpiry: x.Certificate + f.until(),
		whatUse:    "for TLS servers, with a strong key",
	}
	var all []Finding
	for _, what := range []string{whatKey, whatNames, whatChain, whatExpiry, whatUse} {
		if len(found[what]) == 0 {
			found[what] = []Finding{ok(what, "%s", good[what])}
		}
		all = append(all, found[what]...)
	}
	return append(all, f.shown()...)
}

// shown warns where the server still shows a certificate of before.
func (f *facts) shown() []Finding {
	leaf := f.leaf()
	if leaf == nil || f.statusErr != nil || f.status.Expires.IsZero() || f.status.Expires.Equal(leaf.NotAfter) {
		return nil
	}
	x := f.doc.XMPP
	return []Finding{warn("certificate in use", "the file %s was changed, and XMPP still shows the certificate of before", x.Certificate).by(certsCommand(x.Key, x))}
}

func (f *facts) leaf() *x509.Certificate {
	if len(f.chain) == 0 {
		return nil
	}
	c, err := x509.ParseCertificate(f.chain[0])
	if err != nil {
		return nil
	}
	return c
}

func (f *facts) until() string {
	c := f.leaf()
	if c == nil {
		return ""
	}
	return fmt.Sprintf(" is valid for %d more days", int(c.NotAfter.Sub(f.now)/(24*time.Hour)))
}

// aboutCertificate is the finding of a problem, with the command that mends it.
func (f *facts) aboutCertificate(level Level, p *problem.Problem) Finding {
	x := f.doc.XMPP
	again := certsCommand(x.Key, x)
	n := of(level, orElse(aspects[p.Code], whatKey), p)
	switch p.Code {
	case problem.PKIMismatch:
		n = n.by(again)
		if key := f.matchingKey(); key != "" {
			n = n.first("").by(certsCommand(key, x))
		}
	case problem.PKIDomain, problem.PKIHost:
		base := strings.TrimSuffix(x.Certificate, filepath.Ext(x.Certificate)) + "-new"
		names := x.Domain
		if host := f.fqdn(); host != x.Domain && host != "" {
			names += "," + host
		}
		n = n.first("").by("pki csr "+base+" CN:"+x.Domain+" subjectAltName:"+names, "xmpp certs "+base+".key <certificate> <bundle>")
	case problem.PKIWeakKey, problem.PKIUsage, problem.PKIWeakSignature:
		n = n.by("pki csr <basename> CN:"+x.Domain, "xmpp certs <key> <certificate> <bundle>")
	case problem.PKINoBundle:
		n = n.first("put the authority's certificates").by("xmpp certs " + x.Key + " " + x.Certificate + " <bundle>")
	case problem.PKIExpired, problem.PKISoon:
		n = n.first("have it renewed and put the new one in its place").by(again)
	case problem.PKINotYet:
		n = n.by("date")
	default:
		n = n.by(again)
	}
	return n
}

// matchingKey is the file of the key that the certificate is for, "" for none.
func (f *facts) matchingKey() string {
	names, err := f.files.Names()
	if err != nil {
		return ""
	}
	for _, name := range names {
		if strings.HasSuffix(name, ".key") && pki.Match(f.files, name, f.doc.XMPP.Certificate) == nil {
			return name
		}
	}
	return ""
}

// trustBundle checks what the nodes of a cluster trust each other by.
func (f *facts) trustBundle() []Finding {
	const what = "trust bundle"
	x := f.doc.XMPP
	name := x.Cluster.Trust
	again := "xmpp cluster trust " + name
	switch {
	case name == "":
		return []Finding{fail(what, "none is set").by("xmpp cluster trust " + orElse(x.Certificate, "<bundle>"))}
	case f.trustErr != nil:
		return []Finding{of(Fail, what, f.trustErr).first("put the nodes' certificates into one file").by(again)}
	}
	var all []Finding
	for _, c := range certificates(f.trustFile) {
		subject := orElse(c.Subject.CommonName, c.Subject.String())
		switch left := c.NotAfter.Sub(f.now); {
		case left < 0:
			all = append(all, fail(what, "'%s' in %s expired on %s", subject, name, date(c.NotAfter)).
				first("replace it by a renewed one, in the file of each node").by(again))
		case f.now.Before(c.NotBefore):
			all = append(all, fail(what, "'%s' in %s is valid only from %s, and the clock reads %s", subject, name, date(c.NotBefore), date(f.now)).
				first("set the clock").by("date"))
		case left < expiresSoon:
			all = append(all, warn(what, "'%s' in %s expires in %d days", subject, name, int(left/(24*time.Hour))).
				first("add a renewed one to the file, on each node").by(again))
		}
	}
	if why := f.distrust(f.chain); why != "" {
		all = append(all, fail(what, "the other nodes could not trust this one by %s: its %s", name, why).
			first("add "+x.Certificate+" to that file, on each node").by(again))
	}
	if len(all) == 0 {
		all = append(all, ok(what, "%s covers this node", name))
	}
	return all
}

// expiresSoon is when an end of validity is worth a warning.
const expiresSoon = 30 * 24 * time.Hour

func date(t time.Time) string { return t.UTC().Format("2006-Jan-02 15:04:05 UTC") }

// certificates are those of a file in PEM, or the one in DER.
func certificates(data []byte) []*x509.Certificate {
	var all []*x509.Certificate
	for rest := data; ; {
		var b *pem.Block
		if b, rest = pem.Decode(rest); b == nil {
			break
		}
		if c, err := x509.ParseCertificate(b.Bytes); err == nil {
			all = append(all, c)
		}
	}
	if c, err := x509.ParseCertificate(data); err == nil {
		all = append(all, c)
	}
	return all
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}
