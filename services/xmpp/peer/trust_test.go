package peer

import (
	"crypto/x509"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"parley/services/pki/opensslca"
)

// blot replaces fingerprints, which are new each time.
func blot(s string) string {
	return regexp.MustCompile(`SHA-256 ([0-9A-F]{2}:){6}…`).ReplaceAllString(s, "SHA-256 …")
}

func errText(err error) string {
	if err == nil {
		return ""
	}
	return blot(err.Error())
}

func TestTrustCheck(t *testing.T) {
	var self *authority
	now := time.Now()
	old := time.Date(2020, 1, 2, 3, 4, 5, 0, time.UTC)
	in2050 := time.Date(2050, 1, 2, 3, 4, 5, 0, time.UTC)
	ca := self.issue(spec{cn: "Our CA", ca: true})
	oldCA := self.issue(spec{cn: "Old CA", ca: true, before: old, after: old.AddDate(1, 0, 0)})
	between := ca.issue(spec{cn: "Sub CA", ca: true})
	named := ca.issue(spec{cn: "cb1.tptac9.com", dns: []string{"TPTAC9.com.", "cb1.tptac9.com"}})
	byCN := ca.issue(spec{cn: testDomain, dns: []string{"cb1.tptac9.com"}, usage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
	other := ca.issue(spec{cn: "mail.tptac9.com", dns: []string{"*.tptac9.com"}})
	twice := ca.issue(spec{cn: "cb1.tptac9.com", dns: []string{"cb1.tptac9.com", "CB1.tptac9.com", "cb2.tptac9.com"}})
	bySub := between.issue(spec{cn: testDomain})
	expired := ca.issue(spec{cn: testDomain, before: old, after: old.AddDate(1, 0, 0)})
	future := ca.issue(spec{cn: testDomain, before: in2050, after: in2050.AddDate(1, 0, 0)})
	ofOldCA := oldCA.issue(spec{cn: testDomain})
	stranger := self.issue(spec{cn: testDomain})
	nasty := self.issue(spec{cn: "x\x1b[31m\r\n" + strings.Repeat("y", 200)})
	ofNoCA := named.issue(spec{cn: testDomain})
	for _, tt := range []struct {
		name   string
		bundle []*authority
		chain  []*authority
		want   string
	}{
		{"pinned, self-signed", []*authority{stranger}, []*authority{stranger}, ""},
		{"pinned among others", []*authority{named, stranger, byCN}, []*authority{byCN}, ""},
		{"pinned, without its CA, names another domain", []*authority{other}, []*authority{other}, ""},
		{"pinned, expired", []*authority{expired}, []*authority{expired}, "certificate CN=tptac9.com (SHA-256 …) expired on 2021-Jan-02 03:04:05 UTC"},
		{"CA, SAN in capitals", []*authority{ca}, []*authority{named}, ""},
		{"CA, CN; for servers only", []*authority{ca}, []*authority{byCN}, ""},
		{"CA, does not name the domain", []*authority{ca}, []*authority{other},
			"certificate CN=mail.tptac9.com (SHA-256 …) is of an authority in the trust bundle, but names mail.tptac9.com, *.tptac9.com and not the XMPP domain tptac9.com; it would have to be in the bundle itself"},
		{"CA, names a host more than once", []*authority{ca}, []*authority{twice},
			"certificate CN=cb1.tptac9.com (SHA-256 …) is of an authority in the trust bundle, but names cb1.tptac9.com, cb2.tptac9.com and not the XMPP domain tptac9.com; it would have to be in the bundle itself"},
		{"CA, with the intermediate", []*authority{ca}, []*authority{bySub, between}, ""},
		{"CA, without the intermediate", []*authority{ca}, []*authority{bySub}, "certificate CN=tptac9.com (SHA-256 …) is not in the trust bundle, nor is its authority CN=Sub CA"},
		{"intermediate alone in the bundle", []*authority{between}, []*authority{bySub}, ""},
		{"CA, expired", []*authority{ca}, []*authority{expired}, "certificate CN=tptac9.com (SHA-256 …) expired on 2021-Jan-02 03:04:05 UTC"},
		{"CA, not yet", []*authority{ca}, []*authority{future}, "certificate CN=tptac9.com (SHA-256 …) is valid only from 2050-Jan-02 03:04:05 UTC on, and the clock here has NOW"},
		{"expired CA", []*authority{oldCA}, []*authority{ofOldCA},
			"certificate CN=tptac9.com (SHA-256 …) is of the authority CN=Old CA (SHA-256 …), whose certificate expired on 2021-Jan-02 03:04:05 UTC"},
		{"stranger, same name", []*authority{named, ca}, []*authority{stranger}, "certificate CN=tptac9.com (SHA-256 …) is not in the trust bundle"},
		{"signed by a pinned certificate that is no CA", []*authority{named}, []*authority{ofNoCA, named}, "certificate CN=tptac9.com (SHA-256 …) is not in the trust bundle, nor is its authority CN=cb1.tptac9.com"},
		{"the bundle's certificate only further up the chain", []*authority{named}, []*authority{stranger, named}, "certificate CN=tptac9.com (SHA-256 …) is not in the trust bundle"},
		{"empty bundle", nil, []*authority{named}, "certificate CN=cb1.tptac9.com (SHA-256 …) is not in the trust bundle, which is empty"},
		{"no certificate", []*authority{ca}, nil, "certificate (none) was not shown"},
		{"hostile name", []*authority{ca}, []*authority{nasty}, "certificate CN=x [31m  " + strings.Repeat("y", 109) + "… (SHA-256 …) is not in the trust bundle"},
		{"long chain", []*authority{ca}, []*authority{named, ca, ca, ca, ca, ca, ca, ca, ca, ca, ca}, "certificate CN=cb1.tptac9.com (SHA-256 …) comes with 10 others"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var chain []*x509.Certificate
			for _, c := range tt.chain {
				chain = append(chain, c.cert)
			}
			trust := bundle(t, tt.bundle...)
			got := strings.Replace(errText(trust.Check(chain, testDomain, now)), stamp(now), "NOW", 1)
			if got != tt.want {
				t.Errorf("Check = %q; want %q", got, tt.want)
			}
		})
	}
}

func TestLoadTrust(t *testing.T) {
	var self *authority
	a, b := self.issue(spec{cn: "a", after: time.Now().Add(time.Hour)}), self.issue(spec{cn: "b"})
	for _, tt := range []struct {
		name, data string
		n          int
		want       string
	}{
		{"none", "", 0, "it holds no certificate"},
		{"rubbish", "hello", 0, "it holds no certificate"},
		{"one", string(a.pem()), 1, ""},
		{"three with remarks", "# a\n" + string(a.pem()) + "# b\r\n" + string(b.pem()) + string(a.pem()) + "end\n", 3, ""},
		{"DER", string(a.cert.Raw), 1, ""},
		{"a key", string(a.pem()) + "-----BEGIN EC PRIVATE KEY-----\nAAAA\n-----END EC PRIVATE KEY-----\n", 0, "it holds a ec private key, not certificates alone"},
		{"broken", string(a.pem()) + "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", 0, "certificate 2 cannot be read: x509: malformed certificate"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := LoadTrust([]byte(tt.data))
			if len(got.certs) != tt.n || errText(err) != tt.want {
				t.Errorf("LoadTrust = %d certificates, %v; want %d, %q", len(got.certs), err, tt.n, tt.want)
			}
			if tt.n == 3 && !got.Expires().Equal(a.cert.NotAfter) {
				t.Errorf("Expires = %v; want %v", got.Expires(), a.cert.NotAfter)
			}
		})
	}
	if got := (Trust{}).Expires(); !got.IsZero() {
		t.Errorf("Expires of nothing = %v; want zero", got)
	}
}

// TestOpensslCertificate has what the article's operator gets: CN is the domain,
// the names are the nodes'.
func TestOpensslCertificate(t *testing.T) {
	ca, dir := opensslca.New(t), t.TempDir()
	csr, crt := filepath.Join(dir, "abhiall.csr"), filepath.Join(dir, "abhiall.cer")
	out, err := exec.Command("openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=tptac9.com", "-keyout", filepath.Join(dir, "key"),
		"-addext", "subjectAltName=DNS:cb1.tptac9.com,DNS:cb2.tptac9.com", "-out", csr).CombinedOutput()
	if err != nil {
		t.Fatalf("openssl: %v\n%s", err, out)
	}
	ca.Sign(csr, crt)
	load := func(file string) Trust {
		data, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		trust, err := LoadTrust(data)
		if err != nil {
			t.Fatal(err)
		}
		return trust
	}
	leaf, root := load(crt), load(ca.Certificate())
	for name, trust := range map[string]Trust{"itself": leaf, "its CA": root} {
		if err := trust.Check(leaf.certs, testDomain, time.Now()); err != nil {
			t.Errorf("Check by %s = %v; want nil", name, err)
		}
	}
	if err := root.Check(leaf.certs, "example.com", time.Now()); err == nil {
		t.Error("Check for another domain = nil; want an error")
	}
}
