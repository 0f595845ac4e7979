package pki

import (
	"crypto/x509/pkix"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/problem"
)

func TestListAndInspect(t *testing.T) {
	d := newDesk(t)
	d.authority(goodNames)
	d.join("chain.pem", "inter.crt", "root.crt")
	d.openssl("x509", "-in", "server.crt", "-outform", "DER", "-out", "server.der")
	d.openssl("pkcs12", "-export", "-in", "server.crt", "-inkey", "server.key", "-passout", "pass:secret", "-out", "server.p12")
	d.openssl("crl2pkcs7", "-nocrl", "-certfile", "server.crt", "-out", "server.p7b")
	d.openssl("crl2pkcs7", "-nocrl", "-certfile", "server.crt", "-outform", "DER", "-out", "server-der.p7b")
	d.openssl("pkey", "-in", "server.key", "-aes256", "-passout", "pass:secret", "-out", "enc.key")
	d.openssl("ec", "-in", "server.key", "-aes256", "-passout", "pass:secret", "-out", "old-enc.key")
	d.openssl("ec", "-in", "server.key", "-out", "sec1.key")
	d.write("note.txt", "hello")
	d.write("damaged.crt", d.text("server.crt")[:300])
	d.write("windows.crt", "\uFEFFBag Attributes\r\n"+strings.ReplaceAll(d.text("server.crt"), "\n", "\r\n"))
	list, err := List(d)
	d.check(err)
	got := map[string]Kind{}
	for _, e := range list {
		got[e.Name] = e.Kind
	}
	want := map[string]Kind{
		"root.key": Key, "inter.key": Key, "server.key": Key, "sec1.key": Key, "enc.key": EncryptedKey, "old-enc.key": EncryptedKey,
		"root.crt": Certificate, "inter.crt": Certificate, "server.crt": Certificate, "server.der": Certificate, "windows.crt": Certificate,
		"inter.csr": Request, "server.csr": Request, "chain.pem": Bundle,
		"server.p12": PKCS12, "server.p7b": PKCS7, "server-der.p7b": PKCS7, "damaged.crt": Other,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("List (-want +got):\n%s", diff)
	}

	inspect := func(name string) string {
		t.Helper()
		lines, err := Inspect(d, name, d.now)
		d.check(err)
		return strings.Join(lines, "\n")
	}
	fingerprint := strings.TrimSpace(strings.SplitN(d.openssl("x509", "-in", "server.crt", "-noout", "-fingerprint", "-sha256"), "=", 2)[1])
	for _, name := range []string{"server.crt", "server.der", "windows.crt"} {
		text := inspect(name)
		for _, want := range []string{"CN=example.com", "Issuer             : CN=Test Intermediate", "example.com, cb1.example.com", "(199 days left)", "serverAuth", fingerprint, "ECDSA, P-256"} {
			if !strings.Contains(text, want) {
				t.Errorf("Inspect(%s) lacks %q:\n%s", name, want, text)
			}
		}
	}
	public := func(text string) string {
		_, after, _ := strings.Cut(text, "Public key SHA-256 : ")
		line, _, _ := strings.Cut(after, "\n")
		return line
	}
	if k, c, r := public(inspect("server.key")), public(inspect("server.crt")), public(inspect("server.csr")); k == "" || k != c || k != r {
		t.Errorf("public fingerprints %q, %q, %q; want the same", k, c, r)
	}
	if text := inspect("chain.pem"); !strings.Contains(text, "1 of 2") || !strings.Contains(text, "Issuer             : itself") {
		t.Errorf("Inspect(chain.pem) = %s; want both certificates", text)
	}
	if text := inspect("enc.key"); !strings.Contains(text, "encrypted private key") {
		t.Errorf("Inspect(enc.key) = %s", text)
	}
	for name, want := range map[string]problem.Code{"note.txt": problem.PKIKind, "damaged.crt": problem.PKIDamaged, "none": problem.FileUnknown} {
		if _, err := Inspect(d, name, d.now); problem.CodeOf(err) != want {
			t.Errorf("Inspect(%s) = %v; want %s", name, err, want)
		}
	}
	past, err := Inspect(d, "server.crt", d.now.AddDate(1, 0, 0))
	if err != nil || !strings.Contains(strings.Join(past, "\n"), "expired 16") {
		t.Errorf("Inspect in a year = %q, %v; want expired", past, err)
	}
}

func TestInspectCannotDriveTheTerminal(t *testing.T) {
	d := newDesk(t)
	a := Attributes{Subject: pkix.Name{CommonName: "a\x1b[2J\r\nSUCCESS"}, KeyType: "ecdsa-p256"}
	_, _, err := SelfSigned(d.Store, admin, "evil", a, 10, d.now)
	d.check(err)
	lines, err := Inspect(d, "evil.crt", d.now)
	d.check(err)
	if text := strings.Join(lines, "\n"); strings.ContainsAny(text, "\x1b\r") || strings.Contains(text, "\nSUCCESS") {
		t.Errorf("Inspect = %q; want no control characters", text)
	}
	r, err := Check(d, "evil.key", "evil.crt", "", "example.com", "", d.now.AddDate(1, 0, 0))
	d.check(err)
	for _, p := range r.Refusals {
		if strings.ContainsAny(problem.Text(p), "\x1b\r\n") {
			t.Errorf("Check says %q; want no control characters", problem.Text(p))
		}
	}
}
