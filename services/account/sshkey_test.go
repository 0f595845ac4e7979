package account

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"parley/services/problem"
)

// keygen makes a key with OpenSSH and returns the text of its public part.
func keygen(t *testing.T, args ...string) (public, path string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "key")
	args = append([]string{"-q", "-N", "", "-C", "bob@desk", "-f", path}, args...)
	if out, err := exec.Command("ssh-keygen", args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-keygen %v: %v\n%s", args, err, out)
	}
	text, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	return string(text), path
}

func TestKeys(t *testing.T) {
	f := newFixture(t)
	ed, path := keygen(t, "-t", "ed25519")
	private, err := os.ReadFile(path)
	f.check(err)
	putty, err := exec.Command("ssh-keygen", "-e", "-f", path+".pub").Output()
	f.check(err)
	ecdsa, _ := keygen(t, "-t", "ecdsa")
	rsa, rsaPath := keygen(t, "-t", "rsa", "-b", "3072")
	short, _ := keygen(t, "-t", "rsa", "-b", "1024")
	rsaPutty, err := exec.Command("ssh-keygen", "-e", "-f", rsaPath+".pub").Output()
	f.check(err)

	tests := []struct {
		name, text string
		want       problem.Code
		comment    string
	}{
		{"ed25519", ed, "", "bob@desk"},
		{"the same as RFC 4716", string(putty), problem.SSHKeyExists, ""},
		{"ecdsa, CRLF", strings.TrimSpace(ecdsa) + "\r\n", "", "bob@desk"},
		{"rsa as RFC 4716", string(rsaPutty), "", ""},
		{"the same as a line", rsa, problem.SSHKeyExists, ""},
		{"short rsa", short, problem.SSHKeyWeak, ""},
		{"private", string(private), problem.SSHKeyPrivate, ""},
		{"with options", `command="x" ` + ed, problem.SSHKeyInvalid, ""},
		{"two lines", ed + ecdsa, problem.SSHKeyInvalid, ""},
		{"rubbish", "ssh-ed25519 AAAA", problem.SSHKeyInvalid, ""},
		{"empty", "", problem.SSHKeyInvalid, ""},
		{"RFC 4716 cut off", string(putty[:80]), problem.SSHKeyInvalid, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			key, err := f.AddKey("admin", tt.text)
			if problem.CodeOf(err) != tt.want || tt.want == "" && err != nil {
				t.Errorf("AddKey = %v, %v; want %q", key, err, tt.want)
			}
			if tt.comment != "" && key.Comment != tt.comment {
				t.Errorf("comment = %q; want %q", key.Comment, tt.comment)
			}
		})
	}
	pub, _, _, _, err := ssh.ParseAuthorizedKey([]byte(ed))
	f.check(err)
	if user, err := f.MatchKey("admin", pub); err != nil || user.Name != "admin" {
		t.Errorf("MatchKey = %v, %v; want admin", user, err)
	}
	if _, err := f.MatchKey("nobody", pub); problem.CodeOf(err) != problem.AccountDenied {
		t.Errorf("MatchKey(nobody) = %v; want %s", err, problem.AccountDenied)
	}
	keys, err := f.ListKeys("admin")
	if err != nil || len(keys) != 3 || keys[0].Type != "ssh-ed25519" {
		t.Fatalf("ListKeys = %v, %v; want 3, ed25519 first", keys, err)
	}
	f.check(f.DelKey("admin", keys[0].Fingerprint))
	if _, err := f.MatchKey("admin", pub); problem.CodeOf(err) != problem.AccountDenied {
		t.Errorf("MatchKey of a deleted key = %v; want %s", err, problem.AccountDenied)
	}
	if err := f.DelKey("admin", "none"); problem.CodeOf(err) != problem.SSHKeyUnknown {
		t.Errorf("DelKey(none) = %v; want %s", err, problem.SSHKeyUnknown)
	}
}

func FuzzParseKey(f *testing.F) {
	f.Add("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIGq0BoZ3r2nTgkBiFy7FQFRfxAmUPjJiqDbOT2Yp0KkZ x")
	f.Add("---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"a\\\nb\"\nAAAAC3NzaC1lZDI1NTE5AAAAIGq0BoZ3r2nTgkBiFy7FQFRfxAmUPjJiqDbOT2Yp0KkZ\n---- END SSH2 PUBLIC KEY ----")
	f.Fuzz(func(t *testing.T, text string) {
		pub, comment, err := parseKey(text)
		if err != nil {
			return
		}
		// What is stored must be read again as the same key.
		line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub))) + " " + comment
		if got := keyOf(line); got.Fingerprint != ssh.FingerprintSHA256(pub) {
			t.Errorf("key %q is stored as %q, which reads as %v", text, line, got)
		}
	})
}
