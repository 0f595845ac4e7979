package pki

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"parley/services/files"
	"parley/services/problem"
)

// DefaultDays is how long SelfSigned and Sign make certificates valid where
// nothing else is said, and MaxDays the most.
const (
	DefaultDays = 730
	MaxDays     = 7300
)

// CSR makes a key and a signing request for it, base.key and base.csr, and
// returns their names. It replaces neither.
func CSR(store *files.Store, who files.Who, base string, a Attributes) (key, csr string, err error) {
	key, csr = base+".key", base+".csr"
	err = makePair(store, who, base, key, csr, a, func(k crypto.Signer) (*pem.Block, error) {
		der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
			Subject: a.Subject, DNSNames: a.DNS, IPAddresses: a.IPs, EmailAddresses: a.Emails,
		}, k)
		return &pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der}, err
	})
	return key, csr, err
}

// SelfSigned makes a key and a certificate signed by it, base.key and
// base.crt, and returns their names. The certificate serves a server in a lab,
// and may sign others with Sign.
func SelfSigned(store *files.Store, who files.Who, base string, a Attributes, days int, now time.Time) (key, cert string, err error) {
	if err := checkDays(days); err != nil {
		return "", "", err
	}
	key, cert = base+".key", base+".crt"
	err = makePair(store, who, base, key, cert, a, func(k crypto.Signer) (*pem.Block, error) {
		t := &x509.Certificate{
			SerialNumber: serial(),
			Subject:      a.Subject, DNSNames: a.DNS, IPAddresses: a.IPs, EmailAddresses: a.Emails,
			NotBefore: now.Add(-clockSlack), NotAfter: now.AddDate(0, 0, days),
			BasicConstraintsValid: true, IsCA: true,
			KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign | x509.KeyUsageCRLSign,
		}
		der, err := x509.CreateCertificate(rand.Reader, t, t, k.Public(), k)
		return &pem.Block{Type: "CERTIFICATE", Bytes: der}, err
	})
	return key, cert, err
}

// clockSlack dates certificates back, for clients whose clocks are late.
const clockSlack = 5 * time.Minute

// makePair makes a key and what is made from it. If the second cannot be
// stored the first is removed again.
func makePair(store *files.Store, who files.Who, base, key, second string, a Attributes, from func(crypto.Signer) (*pem.Block, error)) error {
	if err := checkBase(base); err != nil {
		return err
	}
	for _, name := range []string{key, second} {
		switch _, err := store.Stat(who, name); {
		case err == nil:
			return problem.New(problem.FileExists, "file", name)
		case problem.CodeOf(err) != problem.FileUnknown:
			return err
		}
	}
	k, err := newKey(a.KeyType)
	if err != nil {
		return err
	}
	der, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		return fmt.Errorf("encode %s: %w", key, err)
	}
	block, err := from(k)
	if err != nil {
		return fmt.Errorf("make %s: %w", second, err)
	}
	if err := store.WriteNew(who, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})); err != nil {
		return err
	}
	if err := store.WriteNew(who, second, pem.EncodeToMemory(block)); err != nil {
		return errors.Join(err, store.Remove(who, key))
	}
	return nil
}

// Sign has a CA whose key and certificate are on the appliance sign a request,
// as base.crt beside base.csr, and returns that name. Subject and alternative
// names are the request's; nothing else of it is taken over.
func Sign(store *files.Store, who files.Who, csrName, caKey, caCert string, days int, now time.Time) (string, error) {
	if err := checkDays(days); err != nil {
		return "", err
	}
	csr, err := loadRequest(store, csrName)
	if err != nil {
		return "", err
	}
	if err := csr.CheckSignature(); err != nil {
		return "", damaged(csrName, err.Error())
	}
	ca, key, err := loadCA(store, caKey, caCert, now)
	if err != nil {
		return "", err
	}
	name := strings.TrimSuffix(csrName, filepath.Ext(csrName)) + ".crt"
	t := &x509.Certificate{
		SerialNumber: serial(),
		RawSubject:   csr.RawSubject,
		DNSNames:     csr.DNSNames, IPAddresses: csr.IPAddresses, EmailAddresses: csr.EmailAddresses, URIs: csr.URIs,
		NotBefore: now.Add(-clockSlack), NotAfter: now.AddDate(0, 0, days),
		BasicConstraintsValid: true,
		KeyUsage:              x509.KeyUsageDigitalSignature,
		// Servers of a cluster are clients of one another.
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth},
	}
	if _, ok := csr.PublicKey.(*rsa.PublicKey); ok {
		t.KeyUsage |= x509.KeyUsageKeyEncipherment
	}
	// No certificate outlives its issuer's.
	if t.NotBefore.Before(ca.NotBefore) {
		t.NotBefore = ca.NotBefore
	}
	if t.NotAfter.After(ca.NotAfter) {
		t.NotAfter = ca.NotAfter
	}
	der, err := x509.CreateCertificate(rand.Reader, t, ca, csr.PublicKey, key)
	if err != nil {
		return "", fmt.Errorf("sign %s: %w", csrName, err)
	}
	return name, store.WriteNew(who, name, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func loadCA(src Source, keyName, certName string, now time.Time) (*x509.Certificate, crypto.Signer, error) {
	key, err := loadKey(src, keyName)
	if err != nil {
		return nil, nil, err
	}
	certs, err := loadCerts(src, certName)
	if err != nil {
		return nil, nil, err
	}
	ca := certs[0]
	if !samePublic(key.Public(), ca.PublicKey) {
		return nil, nil, mismatch(src, keyName, certName, ca.PublicKey)
	}
	if !ca.IsCA || ca.KeyUsage != 0 && ca.KeyUsage&x509.KeyUsageCertSign == 0 {
		return nil, nil, problem.New(problem.PKINotCA, "file", certName, "subject", nameOf(ca))
	}
	if p := validity(certName, ca, now); p != nil {
		return nil, nil, p
	}
	return ca, key, nil
}

func newKey(kind string) (crypto.Signer, error) {
	switch kind {
	case "ecdsa-p256":
		return ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case "ecdsa-p384":
		return ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	case "rsa-3072":
		return rsa.GenerateKey(rand.Reader, 3072)
	case "rsa-4096":
		return rsa.GenerateKey(rand.Reader, 4096)
	}
	return rsa.GenerateKey(rand.Reader, 2048)
}

// serial is random and positive, of 127 bits (RFC 5280 §4.1.2.2).
func serial() *big.Int {
	b := make([]byte, 16)
	rand.Read(b)
	b[0] = b[0]&0x7f | 0x40
	return new(big.Int).SetBytes(b)
}

func checkDays(days int) error {
	if days < 1 || days > MaxDays {
		return problem.New(problem.PKIDays, "days", strconv.Itoa(days), "max", strconv.Itoa(MaxDays))
	}
	return nil
}

// checkBase refuses names that would give a file two endings.
func checkBase(base string) error {
	switch strings.ToLower(filepath.Ext(base)) {
	case ".key", ".csr", ".crt", ".cer", ".pem", ".der":
		return problem.New(problem.PKIBase, "base", base, "better", strings.TrimSuffix(base, filepath.Ext(base)))
	}
	return files.CheckName(base + ".key")
}

// Match says whether a key belongs to a certificate, a bundle's first one, or a
// request; the problem otherwise names the key that does, if it is there.
func Match(src Source, keyName, other string) error {
	key, err := loadKey(src, keyName)
	if err != nil {
		return err
	}
	c, err := load(src, other)
	if err != nil {
		return err
	}
	var pub crypto.PublicKey
	switch {
	case len(c.certs) > 0:
		pub = c.certs[0].PublicKey
	case c.csr != nil:
		pub = c.csr.PublicKey
	default:
		return c.wrong(Certificate)
	}
	if !samePublic(key.Public(), pub) {
		return mismatch(src, keyName, other, pub)
	}
	return nil
}

// mismatch looks for the key that would have matched.
func mismatch(src Source, keyName, other string, pub crypto.PublicKey) error {
	fix := "put the key that the certificate was requested with"
	names, err := src.Names()
	if err != nil {
		return err
	}
	for _, n := range names {
		if data, err := src.Read(n); err == nil && n != keyName && bytes.Contains(data, []byte("PRIVATE KEY")) {
			if c, err := parse(n, data); err == nil && c.key != nil && samePublic(c.key.Public(), pub) {
				fix = "use " + n + ", which belongs to it"
				break
			}
		}
	}
	return problem.New(problem.PKIMismatch, "key", keyName, "certificate", other, "fix", fix)
}

func samePublic(a, b crypto.PublicKey) bool {
	k, ok := a.(interface{ Equal(crypto.PublicKey) bool })
	return ok && k.Equal(b)
}
