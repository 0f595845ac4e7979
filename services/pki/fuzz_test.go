package pki

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/services/problem"
)

func FuzzParse(f *testing.F) {
	d := f.TempDir()
	cmd := exec.Command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x", "-keyout", "k", "-out", "c")
	cmd.Dir = d
	if out, err := cmd.CombinedOutput(); err != nil {
		f.Fatalf("openssl: %v\n%s", err, out)
	}
	for _, name := range []string{"k", "c"} {
		text, err := os.ReadFile(filepath.Join(d, name))
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
		// The fuzzer cannot see through Base64, so it gets the DER as well.
		block, _ := pem.Decode(text)
		f.Add(block.Bytes)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		c, err := parse("f", data)
		if err != nil {
			if problem.CodeOf(err) != problem.PKIDamaged {
				t.Errorf("parse = %v; want %s", err, problem.PKIDamaged)
			}
			return
		}
		if (c.kind == Key) && c.key == nil || c.kind == Request && c.csr == nil || c.kind == Bundle && len(c.certs) < 2 {
			t.Errorf("parse = %+v; its kind has no content", c)
		}
		src := one(data)
		if lines, err := Inspect(src, "f", time.Now()); err == nil && strings.ContainsAny(fmt.Sprint(lines), "\x1b\r\n") {
			t.Errorf("Inspect = %q; want no control characters", lines)
		}
		_, _ = Check(src, "f", "f", "f", "example.com", "cb1", time.Now())
	})
}

// one is a source of one file.
type one []byte

func (o one) Read(string) ([]byte, error) { return o, nil }
func (o one) Names() ([]string, error)    { return []string{"f"}, nil }

func FuzzAttributes(f *testing.F) {
	f.Add("CN:tptac9.com", "subAltName:cb1.tptac9.com,10.0.0.1,IP:::1,email:a@b.c")
	f.Add("CN:x", "emailAddress:a@b.c")
	f.Add("CN:x", "OU:ä")
	key, err := newKey("ecdsa-p256")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, first, second string) {
		a, err := ParseAttributes([]string{first, second})
		if err != nil {
			if !strings.HasPrefix(string(problem.CodeOf(err)), "pki-") {
				t.Errorf("ParseAttributes = %v; want a problem", err)
			}
			return
		}
		// What is accepted can be encoded, and is read back.
		der, err := x509.CreateCertificateRequest(nil, &x509.CertificateRequest{
			Subject: a.Subject, DNSNames: a.DNS, IPAddresses: a.IPs, EmailAddresses: a.Emails,
		}, key)
		if err != nil {
			t.Fatalf("%q %q cannot be encoded: %v", first, second, err)
		}
		if _, err := x509.ParseCertificateRequest(der); err != nil {
			t.Errorf("%q %q cannot be read back: %v", first, second, err)
		}
	})
}
