package pki

import (
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
