package pki

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"strings"

	"parley/services/problem"
)

// LoadChain reads what a TLS server presents: the certificate, then what of
// the certificate's own file and of the bundle (which may be "") leads from it
// towards a root, the root left out (RFC 8446 §4.4.2). It checks only that key
// and certificate belong together; Check checks the rest.
func LoadChain(src Source, keyName, certName, bundle string) (tls.Certificate, error) {
	key, err := loadKey(src, keyName)
	if err != nil {
		return tls.Certificate{}, err
	}
	leaf, rest, err := loadPath(src, certName, bundle)
	if err != nil {
		return tls.Certificate{}, err
	}
	if !samePublic(key.Public(), leaf.PublicKey) {
		return tls.Certificate{}, mismatch(src, keyName, certName, leaf.PublicKey)
	}
	out := tls.Certificate{Certificate: [][]byte{leaf.Raw}, PrivateKey: key, Leaf: leaf}
	path, _ := order(leaf, rest)
	for _, c := range path[1:] {
		if !selfIssued(c.Certificate) {
			out.Certificate = append(out.Certificate, c.Raw)
		}
	}
	return out, nil
}

// located is a certificate and where it stands.
type located struct {
	*x509.Certificate
	file string
	// at counts from 1 in the file.
	at int
}

// loadPath returns the certificate and all others that were given with it, each
// once, in their order.
func loadPath(src Source, certName, bundle string) (leaf *x509.Certificate, rest []located, err error) {
	own, err := loadCerts(src, certName)
	if err != nil {
		return nil, nil, err
	}
	leaf = own[0]
	seen := map[string]bool{string(leaf.Raw): true}
	take := func(file string, certs []*x509.Certificate) {
		for i, c := range certs {
			if !seen[string(c.Raw)] {
				seen[string(c.Raw)] = true
				rest = append(rest, located{c, file, i + 1})
			}
		}
	}
	take(certName, own)
	if bundle != "" {
		more, err := loadCerts(src, bundle)
		if err != nil {
			return nil, nil, err
		}
		take(bundle, more)
	}
	return leaf, rest, nil
}

// order finds the way from leaf upwards through rest, whatever the order of
// rest, and what of rest is not on it. The path begins with leaf.
func order(leaf *x509.Certificate, rest []located) (path []located, off []located) {
	path = []located{{Certificate: leaf}}
	off = append(off, rest...)
	for {
		last := path[len(path)-1]
		next := -1
		for i, c := range off {
			if !selfIssued(last.Certificate) && issued(c.Certificate, last.Certificate) {
				next = i
				break
			}
		}
		if next < 0 {
			return path, off
		}
		path = append(path, off[next])
		off = append(off[:next:next], off[next+1:]...)
	}
}

// issued reports whether parent's key signed child. A signature by an
// algorithm that is no longer checked counts by the names; Check refuses it.
func issued(parent, child *x509.Certificate) bool {
	if !bytes.Equal(parent.RawSubject, child.RawIssuer) {
		return false
	}
	err := parent.CheckSignature(child.SignatureAlgorithm, child.RawTBSCertificate, child.Signature)
	var weak x509.InsecureAlgorithmError
	return err == nil || errors.As(err, &weak)
}

func weakSignature(c *x509.Certificate) bool {
	switch c.SignatureAlgorithm {
	case x509.MD2WithRSA, x509.MD5WithRSA, x509.SHA1WithRSA, x509.DSAWithSHA1, x509.ECDSAWithSHA1:
		return !selfIssued(c)
	}
	return false
}

func selfIssued(c *x509.Certificate) bool { return bytes.Equal(c.RawSubject, c.RawIssuer) }

// checkOrder compares the order that certificates were given in with the one
// they must have: each followed by its issuer's, the root last.
func checkOrder(certName, bundle string, path, rest []located) *problem.Problem {
	if len(path) == 1 {
		return nil
	}
	onPath := rest[:0:0]
	for _, c := range rest {
		for _, p := range path[1:] {
			if p.file == c.file && p.at == c.at {
				onPath = append(onPath, c)
			}
		}
	}
	for i, want := range path[1:] {
		got := onPath[i]
		if got.Certificate == want.Certificate {
			continue
		}
		var right []string
		for _, c := range path[1:] {
			right = append(right, nameOf(c.Certificate))
		}
		file := bundle
		if file == "" {
			file = certName
		}
		return problem.New(problem.PKIOrder, "file", file, "at", ordinal(got), "got", nameOf(got.Certificate),
			"want", nameOf(want.Certificate), "child", nameOf(path[i].Certificate), "order", strings.Join(right, ", then "))
	}
	return nil
}
