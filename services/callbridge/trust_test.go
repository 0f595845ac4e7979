package callbridge

import (
	"crypto/x509"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/problem"
)

func TestTrust(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	_, ofDomain, domainPEM := ca.issue(t, domain, "x.example")
	_, ofHost, _ := ca.issue(t, "cb1."+domain)
	_, ofAll, _ := ca.issue(t, "*."+domain)
	_, ofNeither, neitherPEM := ca.issue(t, "mail.example")
	dir := t.TempDir()
	for name, text := range map[string][]byte{"ca.crt": ca.pem, "other.crt": other.pem, "leaf.crt": neitherPEM, "domain.crt": domainPEM} {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, tt := range []struct {
		name, file string
		leaf       *x509.Certificate
		want       bool
	}{
		{"authority, names the domain", "ca.crt", ofDomain, true},
		{"authority, names the server", "ca.crt", ofHost, true},
		{"authority, names all servers", "ca.crt", ofAll, true},
		{"another authority, names all servers", "other.crt", ofAll, false},
		{"authority, names neither", "ca.crt", ofNeither, false},
		{"another authority", "other.crt", ofDomain, false},
		{"pinned, whatever it names", "leaf.crt", ofNeither, true},
		{"another one is pinned", "domain.crt", ofHost, false},
		{"the system's authorities do not know it", "", ofDomain, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			trust, err := loadTrust(dir, tt.file)
			if err != nil {
				t.Fatal(err)
			}
			err = trust.check([]*x509.Certificate{tt.leaf}, domain, "cb1."+domain, time.Now())
			if (err == nil) != tt.want {
				t.Errorf("check = %v; want trusted: %v", err, tt.want)
			}
		})
	}
	trust, _ := loadTrust(dir, "leaf.crt")
	if err := trust.check([]*x509.Certificate{ofNeither}, domain, "", time.Now().AddDate(2, 0, 0)); err == nil {
		t.Error("check of an expired, pinned certificate = nil; want an error")
	}
	if err := trust.check(nil, domain, "", time.Now()); err == nil {
		t.Error("check of no certificate = nil; want an error")
	}
}

func TestTrustFileThatIsNone(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "notes.txt"), []byte("hello"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{"absent.crt", "notes.txt", "../live.json"} {
		if _, err := loadTrust(dir, file); problem.CodeOf(err) != problem.LinkTrust {
			t.Errorf("loadTrust(%q) = %v; want LinkTrust", file, err)
		}
	}
}

// TestForeignCertificate: nothing is said to a server that is not trusted.
func TestForeignCertificate(t *testing.T) {
	inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
		cert, _, _ := newAuthority(t).issue(t, domain)
		f, _ := b.mesh.server("10.0.0.1:5223", &fake{cert: cert})
		b.begin()
		s := b.now()
		if s.Reason != callbridgeapi.TLSFailure || !strings.Contains(s.Detail, "is not in the trust bundle") || !strings.Contains(s.Hint, "trust.crt") {
			t.Errorf("status %+v; want the certificate named, and the file", s)
		}
		if got := f.answers(); got != "" {
			t.Errorf("the server has heard %s; want nothing", got)
		}
	})
}

// TestTrustFileGoesMissing: the file is read at each try, so that a new one
// counts, and its loss is told.
func TestTrustFileGoesMissing(t *testing.T) {
	inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
		b.mesh.server("10.0.0.1:5223", &fake{})
		file := filepath.Join(b.paths.Files(), "trust.crt")
		if err := os.Remove(file); err != nil {
			t.Fatal(err)
		}
		b.begin()
		if s := b.now(); s.Reason != callbridgeapi.TLSFailure || !strings.Contains(s.Hint, "callbridge trust") {
			t.Errorf("status %+v; want the file's loss, and the command", s)
		}
		if err := os.WriteFile(file, b.mesh.ca.pem, 0o600); err != nil {
			t.Fatal(err)
		}
		pass(3 * time.Second)
		b.want(callbridgeapi.Connected, b.now().XMPPRow)
	})
}
