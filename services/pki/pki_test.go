package pki

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/account"
	"parley/services/files"
	"parley/services/problem"
)

var admin = files.Who{Name: "admin", Role: account.Admin, Source: "ttyS0"}

// desk is a files store with an openssl program working in its folder, as if
// all its files had been fetched and put by SFTP.
type desk struct {
	*files.Store
	t   *testing.T
	dir string
	now time.Time
}

func newDesk(t *testing.T) *desk {
	state := t.TempDir()
	d := &desk{t: t, dir: filepath.Join(state, "files"), now: time.Now().Add(2 * time.Minute)}
	d.Store = files.NewStore(files.Config{Dir: d.dir, State: state}, files.Deps{})
	d.check(d.Prepare())
	return d
}

func (d *desk) check(err error) {
	d.t.Helper()
	if err != nil {
		d.t.Fatal(err)
	}
}

func (d *desk) openssl(args ...string) string {
	d.t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Dir = d.dir
	out, err := cmd.CombinedOutput()
	if err != nil {
		d.t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
	return string(out)
}

func (d *desk) write(name, text string) {
	d.t.Helper()
	d.check(os.WriteFile(filepath.Join(d.dir, name), []byte(text), 0o640))
}

func (d *desk) text(name string) string {
	d.t.Helper()
	b, err := os.ReadFile(filepath.Join(d.dir, name))
	d.check(err)
	return string(b)
}

// join makes a file of others.
func (d *desk) join(name string, parts ...string) {
	d.t.Helper()
	var all string
	for _, p := range parts {
		all += d.text(p)
	}
	d.write(name, all)
}

func attributes(t *testing.T, args ...string) Attributes {
	t.Helper()
	a, err := ParseAttributes(args)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// authority makes root.crt, inter.crt (signed by it) and a server certificate
// of the given extensions, server.crt with server.key, all with openssl.
func (d *desk) authority(extensions string) {
	d.t.Helper()
	d.write("v3.cnf", "[ca]\nbasicConstraints=critical,CA:TRUE\n[server]\n"+extensions+"\n")
	ec := []string{"-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"}
	d.openssl(append([]string{"req", "-x509", "-subj", "/CN=Test Root", "-days", "400", "-keyout", "root.key", "-out", "root.crt"}, ec...)...)
	d.openssl(append([]string{"req", "-new", "-subj", "/CN=Test Intermediate", "-keyout", "inter.key", "-out", "inter.csr"}, ec...)...)
	d.openssl("x509", "-req", "-in", "inter.csr", "-CA", "root.crt", "-CAkey", "root.key", "-CAcreateserial", "-days", "300", "-extfile", "v3.cnf", "-extensions", "ca", "-out", "inter.crt")
	d.openssl(append([]string{"req", "-new", "-subj", "/CN=example.com", "-keyout", "server.key", "-out", "server.csr"}, ec...)...)
	d.openssl("x509", "-req", "-in", "server.csr", "-CA", "inter.crt", "-CAkey", "inter.key", "-CAcreateserial", "-days", "200", "-extfile", "v3.cnf", "-extensions", "server", "-out", "server.crt")
}

const goodNames = "subjectAltName=DNS:example.com,DNS:cb1.example.com\nextendedKeyUsage=serverAuth"

func TestCSRAsTheArticleHasIt(t *testing.T) {
	for _, spelling := range []string{"subjectAltName", "subAltName"} {
		d := newDesk(t)
		a := attributes(t, "CN:tptac9.com", spelling+":cb1.tptac9.com,cb2.tptac9.com,cb3.tptac9.com,10.106.81.30,2001:db8::1",
			"OU:Unit", "O:Some Company", "L:Town", "ST:State", "C:de", "emailAddress:x@tptac9.com")
		key, csr, err := CSR(d.Store, admin, "abhiall", a)
		if err != nil || key != "abhiall.key" || csr != "abhiall.csr" {
			t.Fatalf("CSR = %s, %s, %v; want abhiall.key, abhiall.csr", key, csr, err)
		}
		text := d.openssl("req", "-in", "abhiall.csr", "-noout", "-verify", "-text", "-nameopt", "oneline")
		for _, want := range []string{
			"verify OK", "Public-Key: (2048 bit)",
			"DNS:tptac9.com, DNS:cb1.tptac9.com, DNS:cb2.tptac9.com, DNS:cb3.tptac9.com, IP Address:10.106.81.30, IP Address:2001:DB8:0:0:0:0:0:1",
			"CN = tptac9.com", "OU = Unit", "O = Some Company", "L = Town", "ST = State", "C = DE", "emailAddress = x@tptac9.com",
		} {
			if !strings.Contains(text, want) {
				t.Errorf("openssl req does not show %q:\n%s", want, text)
			}
		}
		d.openssl("pkey", "-in", "abhiall.key", "-check", "-noout")
		d.check(Match(d, "abhiall.key", "abhiall.csr"))

		// Signed by openssl, back again.
		d.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=CA", "-keyout", "ca.key", "-out", "certall.cer")
		d.openssl("x509", "-req", "-in", "abhiall.csr", "-CA", "certall.cer", "-CAkey", "ca.key", "-CAcreateserial", "-copy_extensions", "copy", "-out", "abhiall.cer", "-days", "90")
		r, err := Check(d, "abhiall.key", "abhiall.cer", "certall.cer", "tptac9.com", "cb1", d.now)
		if err != nil || len(r.Refusals)+len(r.Warnings) > 0 {
			t.Errorf("Check = %+v, %v; want nothing", r, err)
		}

		for _, taken := range []string{"abhiall"} {
			if _, _, err := CSR(d.Store, admin, taken, a); problem.CodeOf(err) != problem.FileExists {
				t.Errorf("second CSR = %v; want %s", err, problem.FileExists)
			}
		}
		before := d.text("abhiall.key")
		d.check(d.Remove(admin, "abhiall.csr"))
		if _, _, err := CSR(d.Store, admin, "abhiall", a); problem.CodeOf(err) != problem.FileExists || d.text("abhiall.key") != before {
			t.Errorf("CSR over a key = %v; want %s and the key as it was", err, problem.FileExists)
		}
	}
}

func TestKeyTypes(t *testing.T) {
	d := newDesk(t)
	for kind, want := range map[string]string{"ecdsa-p256": "ECDSA, P-256", "ecdsa-p384": "ECDSA, P-384", "rsa-3072": "RSA, 3072 bits"} {
		_, _, err := CSR(d.Store, admin, kind, attributes(t, "CN:a.example", "keyType:"+kind))
		d.check(err)
		lines, err := Inspect(d, kind+".key", d.now)
		if err != nil || !slices.ContainsFunc(lines, func(l string) bool { return strings.HasSuffix(l, ": "+want) }) {
			t.Errorf("Inspect(%s.key) = %q, %v; want %s", kind, lines, err, want)
		}
		d.openssl("pkey", "-in", kind+".key", "-check", "-noout")
	}
}

func TestAttributes(t *testing.T) {
	tests := []struct {
		args []string
		want problem.Code
	}{
		{[]string{}, problem.PKINoCN},
		{[]string{"O:x"}, problem.PKINoCN},
		{[]string{"CN"}, problem.PKIAttribute},
		{[]string{"CN=x"}, problem.PKIAttribute},
		{[]string{"XX:x"}, problem.PKIAttribute},
		{[]string{"CN:"}, problem.PKIAttributeValue},
		{[]string{"CN:" + strings.Repeat("x", 65)}, problem.PKIAttributeValue},
		{[]string{"CN:a\x1b[2J"}, problem.PKIAttributeValue},
		{[]string{"CN:a\xff"}, problem.PKIAttributeValue},
		{[]string{"CN:a", "CN:b"}, problem.PKIAttributeValue},
		{[]string{"CN:a", "C:Germany"}, problem.PKIAttributeValue},
		{[]string{"CN:a", "emailAddress:x"}, problem.PKIAttributeValue},
		{[]string{"CN:a", "subjectAltName:a,,b"}, problem.PKIAttributeValue},
		{[]string{"CN:a", "subjectAltName:a b"}, problem.PKIAttributeValue},
		{[]string{"CN:a", "subjectAltName:1.2.3"}, problem.PKIAttributeValue},
		{[]string{"CN:a", "subjectAltName:IP:a.b"}, problem.PKIAttributeValue},
		{[]string{"CN:a", "subjectAltName:-a.b"}, problem.PKIAttributeValue},
		{[]string{"CN:a", "keyType:rsa-512"}, problem.PKIAttributeValue},
		{[]string{"cn:Some Name", "subjectaltname:DNS:*.Example.com,IP:::1,email:a@b.c"}, ""},
	}
	for _, tt := range tests {
		if _, err := ParseAttributes(tt.args); problem.CodeOf(err) != tt.want || tt.want == "" && err != nil {
			t.Errorf("ParseAttributes(%q) = %v; want %q", tt.args, err, tt.want)
		}
	}
	got := attributes(t, "CN:Some Name", "subjectAltName:DNS:*.Example.com,::1,::1,email:a@b.c", "OU:x", "OU:y")
	if diff := cmp.Diff([]any{[]string{"*.example.com"}, 1, []string{"a@b.c"}, []string{"x", "y"}},
		[]any{got.DNS, len(got.IPs), got.Emails, got.Subject.OrganizationalUnit}); diff != "" {
		t.Errorf("ParseAttributes (-want +got):\n%s", diff)
	}
}

func TestBaseNames(t *testing.T) {
	d := newDesk(t)
	a := attributes(t, "CN:x", "keyType:ecdsa-p256")
	for base, want := range map[string]problem.Code{
		"a.key": problem.PKIBase, "a.CSR": problem.PKIBase, "../a": problem.FileName, "": problem.FileName,
		".a": problem.FileName, strings.Repeat("x", 97): problem.FileName, "cb1.example.com": "",
	} {
		if _, _, err := CSR(d.Store, admin, base, a); problem.CodeOf(err) != want || want == "" && err != nil {
			t.Errorf("CSR(%q) = %v; want %q", base, err, want)
		}
	}
	reader := files.Who{Name: "otto", Role: account.Audit}
	if _, _, err := CSR(d.Store, reader, "b", a); problem.CodeOf(err) != problem.FileDenied {
		t.Errorf("CSR by role audit = %v; want %s", err, problem.FileDenied)
	}
}

func TestSelfSignedAndSign(t *testing.T) {
	d := newDesk(t)
	if _, _, err := SelfSigned(d.Store, admin, "ca", attributes(t, "CN:Lab CA", "keyType:ecdsa-p256"), 100, d.now); err != nil {
		t.Fatal(err)
	}
	_, _, err := CSR(d.Store, admin, "server", attributes(t, "CN:example.com", "O:Us", "subjectAltName:cb1.example.com,10.0.0.1"))
	d.check(err)
	cert, err := Sign(d.Store, admin, "server.csr", "ca.key", "ca.crt", 3650, d.now)
	if err != nil || cert != "server.crt" {
		t.Fatalf("Sign = %s, %v; want server.crt", cert, err)
	}
	if got := d.openssl("verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname", "cb1.example.com", "-CAfile", "ca.crt", "server.crt"); !strings.Contains(got, "OK") {
		t.Errorf("openssl verify = %s; want OK", got)
	}
	text := d.openssl("x509", "-in", "server.crt", "-noout", "-text")
	for _, want := range []string{"DNS:example.com, DNS:cb1.example.com, IP Address:10.0.0.1", "TLS Web Server Authentication, TLS Web Client Authentication", "O = Us", "CA:FALSE"} {
		if !strings.Contains(text, want) {
			t.Errorf("openssl x509 does not show %q:\n%s", want, text)
		}
	}
	certs, err := loadCerts(d, "server.crt")
	d.check(err)
	ca, err := loadCerts(d, "ca.crt")
	d.check(err)
	if !certs[0].NotAfter.Equal(ca[0].NotAfter) {
		t.Errorf("NotAfter = %v; want the CA's, %v", certs[0].NotAfter, ca[0].NotAfter)
	}
	r, err := Check(d, "server.key", "server.crt", "ca.crt", "example.com", "cb1", d.now)
	if err != nil || len(r.Refusals)+len(r.Warnings) > 0 {
		t.Errorf("Check = %+v, %v; want nothing", r, err)
	}
	for _, tt := range []struct {
		name         string
		csr, key, ca string
		days         int
		now          time.Time
		want         problem.Code
	}{
		{"again", "server.csr", "ca.key", "ca.crt", 10, d.now, problem.FileExists},
		{"no request", "ca.crt", "ca.key", "ca.crt", 10, d.now, problem.PKIKind},
		{"other key", "server.csr", "server.key", "ca.crt", 10, d.now, problem.PKIMismatch},
		{"no CA", "server.csr", "server.key", "server.crt", 10, d.now, problem.PKINotCA},
		{"days", "server.csr", "ca.key", "ca.crt", 0, d.now, problem.PKIDays},
		{"expired CA", "server.csr", "ca.key", "ca.crt", 10, d.now.AddDate(1, 0, 0), problem.PKIExpired},
		{"missing", "none.csr", "ca.key", "ca.crt", 10, d.now, problem.FileUnknown},
	} {
		if _, err := Sign(d.Store, admin, tt.csr, tt.key, tt.ca, tt.days, tt.now); problem.CodeOf(err) != tt.want {
			t.Errorf("Sign, %s = %v; want %s", tt.name, err, tt.want)
		}
	}
	// A request that was tampered with.
	d.openssl("req", "-in", "server.csr", "-outform", "DER", "-out", "bad.csr")
	der := []byte(d.text("bad.csr"))
	der[len(der)-5] ^= 1
	d.write("bad.csr", string(der))
	if _, err := Sign(d.Store, admin, "bad.csr", "ca.key", "ca.crt", 10, d.now); problem.CodeOf(err) != problem.PKIDamaged {
		t.Errorf("Sign of a changed request = %v; want %s", err, problem.PKIDamaged)
	}
}

func TestSelfSignedServes(t *testing.T) {
	d := newDesk(t)
	_, _, err := SelfSigned(d.Store, admin, "lab", attributes(t, "CN:example.com", "subjectAltName:cb1.example.com"), DefaultDays, d.now)
	d.check(err)
	for _, bundle := range []string{"", "lab.crt"} {
		r, err := Check(d, "lab.key", "lab.crt", bundle, "example.com", "cb1", d.now)
		if err != nil || len(r.Refusals)+len(r.Warnings) > 0 {
			t.Errorf("Check with bundle %q = %+v, %v; want nothing", bundle, r, err)
		}
	}
	d.openssl("verify", "-purpose", "sslserver", "-verify_hostname", "example.com", "-CAfile", "lab.crt", "lab.crt")
}

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

func TestMatch(t *testing.T) {
	d := newDesk(t)
	d.authority(goodNames)
	d.join("full.pem", "server.crt", "inter.crt")
	for _, other := range []string{"server.crt", "server.csr", "full.pem"} {
		if err := Match(d, "server.key", other); err != nil {
			t.Errorf("Match(server.key, %s) = %v; want nil", other, err)
		}
	}
	err := Match(d, "root.key", "server.crt")
	if want := "the key root.key does not belong to server.crt; use server.key, which belongs to it"; problem.Text(err) != want {
		t.Errorf("Match = %q; want %q", problem.Text(err), want)
	}
	if err := Match(d, "server.crt", "server.key"); problem.CodeOf(err) != problem.PKIKind {
		t.Errorf("Match of swapped files = %v; want %s", err, problem.PKIKind)
	}
}

func TestVerify(t *testing.T) {
	d := newDesk(t)
	d.authority(goodNames)
	d.join("chain.pem", "inter.crt", "root.crt")
	for _, bundles := range [][]string{{"chain.pem"}, {"inter.crt", "root.crt"}, {"root.crt", "inter.crt"}, {"inter.crt"}} {
		way, err := Verify(d, "server.crt", bundles, d.now)
		if err != nil || way[0] != "example.com" || way[1] != "Test Intermediate" {
			t.Errorf("Verify(server.crt, %v) = %v, %v; want a chain", bundles, way, err)
		}
	}
	d.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Stranger", "-keyout", "strange.key", "-out", "strange.crt")
	for _, tt := range []struct {
		bundles []string
		now     time.Time
		want    problem.Code
	}{
		{[]string{"root.crt"}, d.now, problem.PKIIncomplete},
		{[]string{"strange.crt"}, d.now, problem.PKIIncomplete},
		{nil, d.now, problem.PKIIncomplete},
		{[]string{"chain.pem"}, d.now.AddDate(1, 0, 0), problem.PKIExpired},
		{[]string{"chain.pem"}, d.now.AddDate(-1, 0, 0), problem.PKINotYet},
		{[]string{"server.csr"}, d.now, problem.PKIKind},
	} {
		if way, err := Verify(d, "server.crt", tt.bundles, tt.now); problem.CodeOf(err) != tt.want {
			t.Errorf("Verify(server.crt, %v) = %v, %v; want %s", tt.bundles, way, err, tt.want)
		}
	}
}

func TestCheck(t *testing.T) {
	d := newDesk(t)
	d.authority(goodNames)
	d.join("chain.pem", "inter.crt", "root.crt")
	d.join("reversed.pem", "root.crt", "inter.crt")
	d.join("full.pem", "server.crt", "inter.crt", "root.crt")
	d.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Stranger", "-keyout", "strange.key", "-out", "strange.crt")
	d.join("stray.pem", "inter.crt", "root.crt", "strange.crt")
	d.openssl("pkey", "-in", "server.key", "-aes256", "-passout", "pass:secret", "-out", "enc.key")
	d.openssl("x509", "-in", "server.crt", "-outform", "DER", "-out", "server.der")
	d.openssl("x509", "-in", "inter.crt", "-outform", "DER", "-out", "inter.der")
	d.openssl("pkey", "-in", "server.key", "-outform", "DER", "-out", "der.key")
	d.write("damaged.crt", d.text("server.crt")[:300])
	d.write("note.txt", "hello")
	d.openssl("pkcs12", "-export", "-in", "server.crt", "-inkey", "server.key", "-passout", "pass:secret", "-out", "server.p12")

	sha1 := func(name, subject string, args ...string) {
		d.openssl(append([]string{"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", name + ".key", "-out", name + ".crt"}, args...)...)
	}
	sha1("weakca", "/CN=Weak CA")
	d.openssl("x509", "-req", "-sha1", "-in", "server.csr", "-CA", "weakca.crt", "-CAkey", "weakca.key", "-CAcreateserial", "-days", "100", "-extfile", "v3.cnf", "-extensions", "server", "-out", "sha1.crt")
	d.openssl("req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=example.com", "-addext", "subjectAltName=DNS:example.com", "-days", "100", "-keyout", "small.key", "-out", "small.crt")
	d.openssl("x509", "-req", "-in", "server.csr", "-CA", "root.crt", "-CAkey", "root.key", "-CAcreateserial", "-days", "20", "-out", "plain.crt")
	d.write("client.cnf", "extendedKeyUsage=clientAuth\nsubjectAltName=DNS:*.com,DNS:cb1.example.com")
	d.openssl("x509", "-req", "-in", "server.csr", "-CA", "root.crt", "-CAkey", "root.key", "-CAcreateserial", "-days", "100", "-extfile", "client.cnf", "-out", "client.crt")
	// An issuer that is no CA.
	d.openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=leaf", "-keyout", "leaf.key", "-out", "leaf.csr")
	d.openssl("x509", "-req", "-in", "leaf.csr", "-CA", "server.crt", "-CAkey", "server.key", "-CAcreateserial", "-days", "100", "-out", "leaf.crt")

	tests := []struct {
		name              string
		key, cert, bundle string
		domain, host      string
		days              int
		refusals, warns   []problem.Code
		// text is in the first refusal or warning.
		text string
	}{
		{name: "good", key: "server.key", cert: "server.crt", bundle: "chain.pem"},
		{name: "good, intermediate only", key: "server.key", cert: "server.crt", bundle: "inter.crt"},
		{name: "good, full chain as certificate", key: "server.key", cert: "full.pem"},
		{name: "good, full chain as bundle", key: "server.key", cert: "server.crt", bundle: "full.pem"},
		{name: "good, twice full", key: "server.key", cert: "full.pem", bundle: "full.pem"},
		{name: "good, DER", key: "der.key", cert: "server.der", bundle: "inter.der"},
		{name: "qualified host name", key: "server.key", cert: "server.crt", bundle: "chain.pem", host: "cb1.example.com"},
		{name: "other host", key: "server.key", cert: "server.crt", bundle: "chain.pem", host: "cb9", warns: []problem.Code{problem.PKIHost}, text: "cb9.example.com"},
		{name: "other domain", key: "server.key", cert: "server.crt", bundle: "chain.pem", domain: "other.org", warns: []problem.Code{problem.PKIDomain, problem.PKIHost}, text: "other.org"},
		{name: "mismatch", key: "root.key", cert: "server.crt", bundle: "chain.pem", refusals: []problem.Code{problem.PKIMismatch}, text: "use server.key"},
		{name: "expired", key: "server.key", cert: "server.crt", bundle: "chain.pem", days: 250, refusals: []problem.Code{problem.PKIExpired}, text: "'example.com' in server.crt expired on"},
		{name: "expired intermediate too", key: "server.key", cert: "server.crt", bundle: "chain.pem", days: 350, refusals: []problem.Code{problem.PKIExpired, problem.PKIExpired}},
		{name: "not yet", key: "server.key", cert: "server.crt", bundle: "chain.pem", days: -1, refusals: []problem.Code{problem.PKINotYet, problem.PKINotYet, problem.PKINotYet}},
		{name: "soon", key: "server.key", cert: "server.crt", bundle: "chain.pem", days: 190, warns: []problem.Code{problem.PKISoon}, text: "expires in 9 days"},
		{name: "reversed", key: "server.key", cert: "server.crt", bundle: "reversed.pem", refusals: []problem.Code{problem.PKIOrder},
			text: "certificate 1 of reversed.pem is 'Test Root', but 'Test Intermediate', which signed 'example.com', belongs there; put reversed.pem with the order Test Intermediate, then Test Root"},
		{name: "root only", key: "server.key", cert: "server.crt", bundle: "root.crt", refusals: []problem.Code{problem.PKIIncomplete}, text: "root.crt does not hold the certificate of 'Test Intermediate'"},
		{name: "strange bundle", key: "server.key", cert: "server.crt", bundle: "strange.crt", refusals: []problem.Code{problem.PKIIncomplete}},
		{name: "no bundle", key: "server.key", cert: "server.crt", warns: []problem.Code{problem.PKINoBundle}},
		{name: "stray", key: "server.key", cert: "server.crt", bundle: "stray.pem", warns: []problem.Code{problem.PKIStray}, text: "certificate 3 of stray.pem, 'Stranger'"},
		{name: "missing key", key: "none.key", cert: "server.crt", bundle: "chain.pem", refusals: []problem.Code{problem.FileUnknown}},
		{name: "missing certificate", key: "server.key", cert: "none.crt", bundle: "chain.pem", refusals: []problem.Code{problem.FileUnknown}},
		{name: "missing bundle", key: "server.key", cert: "server.crt", bundle: "none.crt", refusals: []problem.Code{problem.FileUnknown}},
		{name: "missing key and expired", key: "none.key", cert: "server.crt", bundle: "chain.pem", days: 250, refusals: []problem.Code{problem.FileUnknown, problem.PKIExpired}},
		{name: "request", key: "server.key", cert: "server.csr", bundle: "chain.pem", refusals: []problem.Code{problem.PKIKind}, text: "server.csr is a certificate signing request, not a certificate; have a CA sign it"},
		{name: "swapped", key: "server.crt", cert: "server.key", refusals: []problem.Code{problem.PKIKind, problem.PKIKind}},
		{name: "encrypted", key: "enc.key", cert: "server.crt", bundle: "chain.pem", refusals: []problem.Code{problem.PKIKind}, text: "openssl pkey -in enc.key"},
		{name: "PKCS 12", key: "server.p12", cert: "server.p12", refusals: []problem.Code{problem.PKIKind, problem.PKIKind}, text: "openssl pkcs12 -nodes -in server.p12"},
		{name: "damaged", key: "server.key", cert: "damaged.crt", refusals: []problem.Code{problem.PKIDamaged}},
		{name: "text", key: "note.txt", cert: "server.crt", bundle: "chain.pem", refusals: []problem.Code{problem.PKIKind}},
		{name: "SHA-1", key: "server.key", cert: "sha1.crt", bundle: "weakca.crt", refusals: []problem.Code{problem.PKIWeakSignature}},
		{name: "small key", key: "small.key", cert: "small.crt", warns: []problem.Code{problem.PKIHost, problem.PKIWeakKey}},
		{name: "no names", key: "server.key", cert: "plain.crt", bundle: "root.crt", warns: []problem.Code{problem.PKISoon, problem.PKIDomain, problem.PKIHost}},
		{name: "client only", key: "server.key", cert: "client.crt", bundle: "root.crt", warns: []problem.Code{problem.PKIUsage}},
		{name: "signed by no CA", key: "leaf.key", cert: "leaf.crt", bundle: "full.pem", refusals: []problem.Code{problem.PKINotCA}, warns: []problem.Code{problem.PKIDomain, problem.PKIHost}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if tt.domain == "" {
				tt.domain = "example.com"
			}
			if tt.host == "" {
				tt.host = "cb1"
			}
			r, err := Check(d, tt.key, tt.cert, tt.bundle, tt.domain, tt.host, d.now.AddDate(0, 0, tt.days))
			if err != nil {
				t.Fatal(err)
			}
			codes := func(ps []*problem.Problem) (cs []problem.Code) {
				for _, p := range ps {
					cs = append(cs, p.Code)
					if text := problem.Text(p); strings.ContainsAny(text, "{}") {
						t.Errorf("text %q has a value missing", text)
					}
				}
				return cs
			}
			if diff := cmp.Diff(tt.refusals, codes(r.Refusals)); diff != "" {
				t.Errorf("refusals (-want +got):\n%s\n%v", diff, r.Refusals)
			}
			if diff := cmp.Diff(tt.warns, codes(r.Warnings)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s\n%v", diff, r.Warnings)
			}
			first := append(r.Refusals, r.Warnings...)
			if tt.text != "" && (len(first) == 0 || !strings.Contains(problem.Text(first[0]), tt.text)) {
				t.Errorf("first of %v; want %q in its text", first, tt.text)
			}
			if (r.Err() == nil) != (len(tt.refusals) == 0) {
				t.Errorf("Err = %v with %d refusals", r.Err(), len(tt.refusals))
			}
		})
	}
}

func TestLoadChain(t *testing.T) {
	d := newDesk(t)
	d.authority(goodNames)
	d.join("chain.pem", "inter.crt", "root.crt")
	d.join("full.pem", "server.crt", "inter.crt", "root.crt")
	for _, tt := range [][2]string{{"server.crt", "chain.pem"}, {"full.pem", ""}, {"full.pem", "chain.pem"}} {
		c, err := LoadChain(d, "server.key", tt[0], tt[1])
		if err != nil || len(c.Certificate) != 2 || c.Leaf == nil {
			t.Errorf("LoadChain(%v) = %d certificates, %v; want leaf and intermediate", tt, len(c.Certificate), err)
		}
	}
	if _, err := LoadChain(d, "root.key", "server.crt", ""); problem.CodeOf(err) != problem.PKIMismatch {
		t.Errorf("LoadChain with another key = %v; want %s", err, problem.PKIMismatch)
	}
	if _, err := LoadChain(d, "server.key", "server.crt", "none"); problem.CodeOf(err) != problem.FileUnknown {
		t.Errorf("LoadChain without its bundle = %v; want %s", err, problem.FileUnknown)
	}
}

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
