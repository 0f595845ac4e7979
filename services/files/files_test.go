package files

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/account"
	"parley/services/problem"
)

const pemKey = "-----BEGIN RSA PRIVATE KEY-----\nAAAA\n-----END RSA PRIVATE KEY-----\n"

var (
	admin  = Who{"admin", account.Admin, "ttyS0"}
	crypto = Who{"carol", account.Crypto, "192.0.2.1:1"}
	audit  = Who{"otto", account.Audit, "192.0.2.1:2"}
	api    = Who{"robot", account.API, "192.0.2.1:3"}
)

type fixture struct {
	*Store
	t     *testing.T
	dir   string
	lines []string
	// auditFails, used and space are what the dependencies say.
	auditFails  error
	used        string
	space, disk uint64
}

func (f *fixture) Audit(user, _, command, verdict string) error {
	if f.auditFails != nil {
		return f.auditFails
	}
	f.lines = append(f.lines, user+": "+command+": "+verdict)
	return nil
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, dir: t.TempDir(), space: 1 << 30, disk: 1 << 30}
	f.check(os.WriteFile(filepath.Join(f.dir, "audit"), []byte("audit line\n"), 0o600))
	f.Store = NewStore(Config{
		Dir: filepath.Join(f.dir, "files"), State: f.dir,
		Virtual: []Virtual{
			{"audit", filepath.Join(f.dir, "audit"), account.ReadAudit},
			{"live.json", filepath.Join(f.dir, "live.json"), account.Console},
		},
	}, Deps{
		Audit: f,
		InUse: func(name string) string {
			if name == f.used {
				return "xmpp certs"
			}
			return ""
		},
		Free: func(string) (uint64, uint64, error) { return f.space, f.disk, nil },
	})
	f.check(f.Prepare())
	return f
}

func (f *fixture) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

func (f *fixture) put(name, text string) {
	f.t.Helper()
	u, err := f.Create(admin, name)
	f.check(err)
	_, err = u.Write([]byte(text))
	f.check(err)
	f.check(u.Commit())
}

func (f *fixture) get(who Who, name string) (string, error) {
	r, err := f.Open(who, name)
	if err != nil {
		return "", err
	}
	defer r.Close()
	b, err := io.ReadAll(r)
	return string(b), err
}

// is reports whether err is the problem want, or none for "".
func is(err error, want problem.Code) bool {
	return problem.CodeOf(err) == want && (want != "" || err == nil)
}

func TestNames(t *testing.T) {
	for name, want := range map[string]bool{
		"a.key": true, "A b-c_1.crt": true, strings.Repeat("x", 100): true, "-": true,
		"": false, ".": false, "..": false, ".hidden": false, "a/b": false, "/a": false, `a\b`: false, `a"b`: false,
		"a\x00": false, "a\n": false, "ä": false, " a": false, "a ": false, strings.Repeat("x", 101): false,
	} {
		if got := CheckName(name) == nil; got != want {
			t.Errorf("CheckName(%q) ok = %v; want %v", name, got, want)
		}
	}
}

func TestListAndVirtual(t *testing.T) {
	f := newFixture(t)
	f.put("b.crt", "b")
	f.put("a.key", pemKey)
	f.check(os.WriteFile(f.path(".new-123"), nil, 0o640))
	f.check(os.Symlink("/etc/passwd", f.path("link")))
	names := func(who Who) (got []string) {
		list, err := f.List(who)
		f.check(err)
		for _, i := range list {
			got = append(got, i.Name)
		}
		return got
	}
	if diff := cmp.Diff([]string{"a.key", "audit", "b.crt"}, names(admin)); diff != "" {
		t.Errorf("List(admin):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"a.key", "b.crt"}, names(crypto)); diff != "" {
		t.Errorf("List(crypto):\n%s", diff)
	}
	if _, err := f.List(api); !is(err, problem.FileDenied) {
		t.Errorf("List(api) = %v; want %s", err, problem.FileDenied)
	}
	if got, err := f.get(audit, "audit"); err != nil || got != "audit line\n" {
		t.Errorf("get(audit, audit) = %q, %v; want the line", got, err)
	}
	for _, tt := range []struct {
		who  Who
		name string
	}{{crypto, "audit"}, {admin, "live.json"}, {admin, "link"}, {admin, "none"}} {
		if got, err := f.get(tt.who, tt.name); err == nil {
			t.Errorf("get(%s, %s) = %q; want an error", tt.who.Name, tt.name, got)
		}
		if _, err := f.Stat(tt.who, tt.name); !is(err, problem.FileUnknown) {
			t.Errorf("Stat(%s, %s) = %v; want %s", tt.who.Name, tt.name, err, problem.FileUnknown)
		}
	}
	for _, name := range []string{"audit", "live.json"} {
		if _, err := f.Create(admin, name); !is(err, problem.FileReadOnly) {
			t.Errorf("Create(%s) = %v; want %s", name, err, problem.FileReadOnly)
		}
		if err := f.Remove(admin, name); !is(err, problem.FileReadOnly) {
			t.Errorf("Remove(%s) = %v; want %s", name, err, problem.FileReadOnly)
		}
	}
}

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

func TestRemoveAndRename(t *testing.T) {
	f := newFixture(t)
	f.used = "used.crt"
	for _, name := range []string{"used.crt", "a", "b"} {
		f.put(name, name)
	}
	tests := []struct {
		name string
		do   func() error
		want problem.Code
	}{
		{"remove used", func() error { return f.Remove(admin, "used.crt") }, problem.FileInUse},
		{"rename used", func() error { return f.Rename(admin, "used.crt", "c", false) }, problem.FileInUse},
		{"replace used", func() error { return f.Rename(admin, "b", "used.crt", true) }, ""},
		{"rename over", func() error { return f.Rename(admin, "a", "used.crt", false) }, problem.FileExists},
		{"rename onto itself", func() error { return f.Rename(admin, "a", "a", false) }, ""},
		{"rename", func() error { return f.Rename(crypto, "a", "c", false) }, ""},
		{"rename gone", func() error { return f.Rename(admin, "a", "d", false) }, problem.FileUnknown},
		{"rename out", func() error { return f.Rename(admin, "c", "../d", false) }, problem.FileName},
		{"rename by audit", func() error { return f.Rename(audit, "c", "d", false) }, problem.FileDenied},
		{"remove by audit", func() error { return f.Remove(audit, "c") }, problem.FileDenied},
		{"remove", func() error { return f.Remove(admin, "c") }, ""},
		{"remove gone", func() error { return f.Remove(admin, "c") }, problem.FileUnknown},
		{"remove out", func() error { return f.Remove(admin, "../audit") }, problem.FileName},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.do(); !is(err, tt.want) {
				t.Errorf("= %v; want %q", err, tt.want)
			}
		})
	}
	if got, err := f.get(admin, "used.crt"); err != nil || got != "b" {
		t.Errorf("used.crt holds %q, %v; want what replaced it", got, err)
	}
}

func TestUploads(t *testing.T) {
	f := newFixture(t)
	f.put("f", "old")
	u, err := f.Create(admin, "f")
	f.check(err)
	_, err = u.WriteAt([]byte("def"), 3)
	f.check(err)
	_, err = u.WriteAt([]byte("abc"), 0)
	f.check(err)
	if got, _ := f.get(admin, "f"); got != "old" {
		t.Errorf("before Commit f holds %q; want old", got)
	}
	f.check(u.Commit())
	if got, _ := f.get(admin, "f"); got != "abcdef" {
		t.Errorf("after Commit f holds %q; want abcdef", got)
	}
	fi, err := os.Stat(f.path("f"))
	if err != nil || fi.Mode().Perm() != 0o640 {
		t.Errorf("mode = %v, %v; want 0640", fi.Mode(), err)
	}
	if err := u.Commit(); err == nil {
		t.Error("second Commit = nil; want an error")
	}

	u, err = f.Append(admin, "f")
	f.check(err)
	_, err = u.Write([]byte("ghi"))
	f.check(err)
	f.check(u.Commit())
	if got, _ := f.get(admin, "f"); got != "abcdefghi" {
		t.Errorf("after Append f holds %q; want abcdefghi", got)
	}

	u, err = f.Create(admin, "f")
	f.check(err)
	if _, err := u.WriteAt([]byte("x"), maxSize); !is(err, problem.FileLarge) {
		t.Errorf("WriteAt(1 GiB) = %v; want %s", err, problem.FileLarge)
	}
	if _, err := u.WriteAt([]byte("x"), -1); err == nil {
		t.Error("WriteAt(-1) = nil; want an error")
	}
	// A client that does not look at the answer must not commit the rest.
	if err := u.Commit(); !is(err, problem.FileLarge) {
		t.Errorf("Commit after a failed write = %v; want %s", err, problem.FileLarge)
	}
	u.Discard()
	if err := f.WriteNew(admin, "f", []byte("x")); !is(err, problem.FileExists) {
		t.Errorf("WriteNew = %v; want %s", err, problem.FileExists)
	}
	if left, _ := filepath.Glob(f.path(".new-*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
}

func TestNewFileLosesTheRace(t *testing.T) {
	f := newFixture(t)
	u, err := f.CreateNew(admin, "f")
	f.check(err)
	f.put("f", "first")
	if err := u.Commit(); !is(err, problem.FileExists) {
		t.Errorf("Commit = %v; want %s", err, problem.FileExists)
	}
	if got, _ := f.get(admin, "f"); got != "first" {
		t.Errorf("f holds %q; want first", got)
	}
}

func TestDiskReserve(t *testing.T) {
	const mib = 1 << 20
	for _, tt := range []struct {
		free, total uint64
		want        problem.Code
	}{
		{64 * mib, 256 * mib, ""}, {64*mib - 1, 256 * mib, problem.DiskFull},
		{500 * mib, 20000 * mib, problem.DiskFull}, {1100 * mib, 20000 * mib, ""},
	} {
		f := newFixture(t)
		f.space, f.disk = tt.free, tt.total
		if u, err := f.Create(admin, "f"); !is(err, tt.want) {
			t.Errorf("Create with %d of %d free = %v; want %q", tt.free, tt.total, err, tt.want)
		} else if err == nil {
			u.Discard()
		}
	}
	f := newFixture(t)
	u, err := f.Create(admin, "f")
	f.check(err)
	defer u.Discard()
	f.space = 63 * mib
	block := make([]byte, 32<<10)
	var n int64
	for ; err == nil && n < 4*mib; n += int64(len(block)) {
		_, err = u.WriteAt(block, n)
	}
	if !is(err, problem.DiskFull) || n > freeEvery {
		t.Errorf("writing to a filling disk: %v after %d bytes; want %s within %d", err, n, problem.DiskFull, freeEvery)
	}
}

func TestFilesAreCounted(t *testing.T) {
	f := newFixture(t)
	for i := range maxFiles {
		f.check(os.WriteFile(f.path(fmt.Sprint("f", i)), nil, 0o640))
	}
	if _, err := f.Create(admin, "more"); !is(err, problem.FilesFull) {
		t.Errorf("Create = %v; want %s", err, problem.FilesFull)
	}
	f.put("f1", "replaced")
}

func TestPrepareSweepsOldUploadsOnly(t *testing.T) {
	f := newFixture(t)
	f.check(os.WriteFile(f.path(".new-old"), nil, 0o600))
	old := time.Now().Add(-2 * staleUpload)
	f.check(os.Chtimes(f.path(".new-old"), old, old))
	u, err := f.Create(admin, "f")
	f.check(err)
	f.check(f.Prepare())
	f.check(u.Commit())
	if _, err := os.Stat(f.path(".new-old")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("old upload: %v; want it gone", err)
	}
}

func TestReadIsBounded(t *testing.T) {
	f := newFixture(t)
	f.put("max", strings.Repeat("x", maxRead))
	f.put("more", strings.Repeat("x", maxRead+1))
	if data, err := f.Read("max"); err != nil || len(data) != maxRead {
		t.Errorf("Read(max) = %d bytes, %v; want %d", len(data), err, maxRead)
	}
	if _, err := f.Read("more"); !is(err, problem.FileLarge) {
		t.Errorf("Read(more) = %v; want %s", err, problem.FileLarge)
	}
}

// Uploads, renames and removals of several processes leave whole files only.
func TestManyAtOnce(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			s := NewStore(f.cfg, Deps{Free: f.deps.Free})
			for j := range 20 {
				name, text := fmt.Sprint("f", j%3), bytes.Repeat([]byte{byte('a' + i)}, 5000)
				u, err := s.Create(admin, name)
				if err != nil {
					t.Error(err)
					return
				}
				if _, err := u.Write(text); err != nil {
					t.Error(err)
				}
				if err := u.Commit(); err != nil {
					t.Error(err)
				}
				if err := s.Rename(admin, name, fmt.Sprint("g", i), true); !is(err, "") && !is(err, problem.FileUnknown) {
					t.Error(err)
				}
				if data, err := s.Read(fmt.Sprint("f", j%3)); err == nil && bytes.Count(data, data[:1]) != 5000 {
					t.Errorf("a file of %d bytes is of several uploads", len(data))
				}
			}
		})
	}
	wg.Wait()
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
