package mmp

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"parley/mmp/mmptest"
)

// cert puts what a CA returns: abhiall.key with abhiall.cer for domain and
// nodes, signed by an intermediate; the chain in order (certall.cer) and out of
// order (disorder.cer); the same for another domain (foreign.cer); an expired
// certificate of the same key (expired.cer); a key of nothing (other.key). For
// a cluster it puts cb1.key and cb1.cer to cb3, signed by the same, and their
// certificates in one file (xmpp-cluster-bundle.crt), also with the expired one
// (expired-bundle.crt). All nodes get the same files.
func cert(ts *testscript.TestScript, _ bool, _ []string) {
	files := makeCerts()
	for _, n := range playing(ts) {
		n.putAll(files)
	}
}

func (n *testNode) certs() { n.putAll(makeCerts()) }

func (n *testNode) putAll(files map[string]string) {
	for name, content := range files {
		n.put(name, content)
	}
}

func makeCerts() map[string]string {
	now := mmptest.Now()
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return k
	}
	serial := int64(0)
	sign := func(name string, dns []string, ca bool, until time.Time, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (*x509.Certificate, string) {
		serial++
		c := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: dns, IsCA: ca, BasicConstraintsValid: true,
			NotBefore: now.AddDate(-1, 0, 0), NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		}
		if parent == nil {
			parent = c
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
		if err != nil {
			panic(err)
		}
		c, err = x509.ParseCertificate(der)
		if err != nil {
			panic(err)
		}
		return c, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	keyText := func(k *ecdsa.PrivateKey) string {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		if err != nil {
			panic(err)
		}
		return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	rootKey, interKey, key := newKey(), newKey(), newKey()
	// As the twin of the XMPP service has it.
	later := time.Date(2036, 11, 22, 0, 0, 0, 0, time.UTC)
	root, rootPEM := sign("Test root", nil, true, later, nil, rootKey, rootKey)
	inter, interPEM := sign("Test intermediate", nil, true, later, root, interKey, rootKey)
	names := []string{"tptac9.com", "cb1.tptac9.com", "cb2.tptac9.com", "cb3.tptac9.com"}
	_, leaf := sign("tptac9.com", names, false, later, inter, key, interKey)
	_, foreign := sign("example.org", []string{"example.org"}, false, later, inter, key, interKey)
	_, expired := sign("tptac9.com", names, false, now.AddDate(0, 0, -2), inter, key, interKey)
	files := map[string]string{
		"abhiall.key": keyText(key), "abhiall.cer": leaf, "certall.cer": interPEM + rootPEM, "disorder.cer": rootPEM + interPEM,
		"foreign.cer": foreign, "expired.cer": expired, "other.key": keyText(newKey()), "root.key": keyText(rootKey), "root.cer": rootPEM,
	}
	for _, n := range []string{"cb1", "cb2", "cb3"} {
		k := newKey()
		_, files[n+".cer"] = sign(n+".tptac9.com", []string{"tptac9.com", n + ".tptac9.com"}, false, later, inter, k, interKey)
		files[n+".key"] = keyText(k)
		files["xmpp-cluster-bundle.crt"] += files[n+".cer"]
	}
	files["expired-bundle.crt"] = files["xmpp-cluster-bundle.crt"] + expired
	files["two.crt"] = files["cb2.cer"] + files["cb3.cer"]
	return files
}
