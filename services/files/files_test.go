package files

import (
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

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
