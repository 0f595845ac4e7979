package files

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/problem"
)

func TestKeysAreReadByFewAndAudited(t *testing.T) {
	f := newFixture(t)
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	f.check(err)
	sec1, err := x509.MarshalECPrivateKey(k)
	f.check(err)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	f.check(err)
	keys := map[string]string{
		"a.key": "anything", "B.KEY": "anything", "x.p12": "anything", "in.txt": "text before\r\n" + pemKey, "bundle.pem": "-----BEGIN CERTIFICATE-----\n" + pemKey,
		"enc.pem": "-----BEGIN ENCRYPTED PRIVATE KEY-----\n", "ssh": "-----BEGIN OPENSSH PRIVATE KEY-----\n", "late.pem": strings.Repeat("x", 500000) + pemKey,
		"sec1.der": string(sec1), "pkcs8.bin": string(pkcs8), "putty": "PuTTY-User-Key-File-3: ssh-ed25519",
	}
	for name, text := range keys {
		f.put(name, text)
		f.lines = nil
		if _, err := f.get(audit, name); !is(err, problem.FileKey) {
			t.Errorf("audit reads %s: %v; want %s", name, err, problem.FileKey)
		}
		for _, who := range []Who{admin, crypto} {
			if got, err := f.get(who, name); err != nil || got != text {
				t.Errorf("%s reads %s: %d bytes, %v; want %d", who.Name, name, len(got), err, len(text))
			}
		}
		read := "read key " + name + ": permission "
		if diff := cmp.Diff([]string{"otto: " + read + "denied", "admin: " + read + "granted", "carol: " + read + "granted"}, f.lines); diff != "" {
			t.Errorf("audit lines of %s:\n%s", name, diff)
		}
	}
	f.put("a.crt", "-----BEGIN CERTIFICATE-----\n")
	f.lines = nil
	if _, err := f.get(audit, "a.crt"); err != nil || len(f.lines) > 0 {
		t.Errorf("audit reads a certificate: %v, %q; want no error, no line", err, f.lines)
	}
	f.auditFails = errors.New("full")
	if _, err := f.get(admin, "a.key"); err == nil {
		t.Error("a key is read that cannot be recorded")
	}
}

func TestLock(t *testing.T) {
	f := newFixture(t)
	f.put("a.key", pemKey)
	f.put("a.crt", "certificate")
	f.put("b.key", pemKey)
	begun, err := f.Create(admin, "a.key")
	f.check(err)
	for _, tt := range []struct {
		who  Who
		name string
		want problem.Code
	}{
		{audit, "a.key", problem.FileDenied}, {admin, "a.crt", problem.FileNoKey}, {admin, "none.key", problem.FileUnknown},
		{admin, "../x", problem.FileName}, {crypto, "a.key", ""}, {admin, "a.key", ""},
	} {
		if err := f.Lock(tt.who, tt.name); !is(err, tt.want) {
			t.Errorf("Lock(%s, %s) = %v; want %q", tt.who.Name, tt.name, err, tt.want)
		}
	}
	// A store of another process knows of it.
	f.Store = NewStore(f.cfg, f.deps)
	if _, err := f.get(admin, "a.key"); !is(err, problem.FileLocked) {
		t.Errorf("read = %v; want %s", err, problem.FileLocked)
	}
	if data, err := f.Read("a.key"); err != nil || string(data) != pemKey {
		t.Errorf("Read = %q, %v; want the key", data, err)
	}
	if _, err := f.Create(admin, "a.key"); !is(err, problem.FileLocked) {
		t.Errorf("Create = %v; want %s", err, problem.FileLocked)
	}
	if err := begun.Commit(); !is(err, problem.FileLocked) {
		t.Errorf("Commit of an upload begun before = %v; want %s", err, problem.FileLocked)
	}
	if err := f.Rename(admin, "a.key", "c.txt", true); !is(err, problem.FileLocked) {
		t.Errorf("Rename away = %v; want %s", err, problem.FileLocked)
	}
	if err := f.Rename(admin, "b.key", "a.key", true); !is(err, problem.FileLocked) {
		t.Errorf("Rename onto = %v; want %s", err, problem.FileLocked)
	}
	list, err := f.List(admin)
	f.check(err)
	for _, i := range list {
		if i.Locked != (i.Name == "a.key") {
			t.Errorf("List says %s locked: %v", i.Name, i.Locked)
		}
	}
	f.check(f.Remove(admin, "a.key"))
	f.put("a.key", pemKey)
	if _, err := f.get(admin, "a.key"); err != nil {
		t.Errorf("read of a new key of the name = %v; want nil", err)
	}
}

// A crash between removing a locked key and forgetting its lock.
func TestStaleLockDoesNotCatchTheNextFile(t *testing.T) {
	f := newFixture(t)
	f.put("a.key", pemKey)
	f.check(f.Lock(admin, "a.key"))
	f.check(os.Remove(f.path("a.key")))
	f.put("a.key", pemKey)
	if _, err := f.get(admin, "a.key"); err != nil {
		t.Errorf("read = %v; want nil", err)
	}
}

func FuzzIsKeyDER(f *testing.F) {
	f.Add([]byte{0x30, 0x06, 0x02, 0x01, 0x00, 0x02, 0x01, 0x01})
	f.Fuzz(func(t *testing.T, data []byte) {
		isKeyDER(data)
		if _, err := x509.ParsePKCS8PrivateKey(data); err == nil && !isKeyDER(data) {
			t.Errorf("PKCS #8 key not seen: %x", data)
		}
		if _, err := x509.ParseCertificate(data); err == nil && isKeyDER(data) {
			t.Errorf("certificate taken for a key: %x", data)
		}
	})
}
