package account

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/problem"
)

const (
	near = "ttyS0"
	far  = "192.0.2.7:50022"
)

// fixture is a store whose clock stands still until moved.
type fixture struct {
	*Store
	t   *testing.T
	now time.Time
}

func newFixture(t *testing.T) *fixture {
	f := &fixture{t: t, now: time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)}
	f.Store = NewStore(filepath.Join(t.TempDir(), "accounts.json"), func() time.Time { return f.now })
	return f
}

func (f *fixture) check(err error) {
	f.t.Helper()
	if err != nil {
		f.t.Fatal(err)
	}
}

// login expects a problem, or none for "".
func (f *fixture) login(name, password, source string, want problem.Code) {
	f.t.Helper()
	if _, err := f.Authenticate(name, password, source); problem.CodeOf(err) != want || want == "" && err != nil {
		f.t.Errorf("Authenticate(%s, %s, %s) = %v; want %q", name, password, source, err, want)
	}
}

func TestFirstBoot(t *testing.T) {
	f := newFixture(t)
	user, err := f.Authenticate("admin", "admin", near)
	if want := (User{Name: "admin", Role: Admin, MustChange: true}); err != nil || user != want {
		t.Fatalf("Authenticate(admin, admin) = %v, %v; want %v", user, err, want)
	}
	f.check(f.SetPassword("admin", "correct horse"))
	f.login("admin", "admin", near, problem.AccountDenied)
	user, err = f.Authenticate("admin", "correct horse", near)
	if err != nil || user.MustChange {
		t.Errorf("after SetPassword: %v, %v; want no MustChange", user, err)
	}
	fi, err := os.Stat(f.path)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("mode = %v, %v; want 0600", fi.Mode(), err)
	}
}

func TestPasswords(t *testing.T) {
	f := newFixture(t)
	f.check(f.SetPassword("admin", "correct horse"))
	tests := []struct {
		name, user, password string
		want                 problem.Code
	}{
		{"short", "admin", "1234567", problem.PasswordShort},
		{"short, though of many bytes", "admin", "äöüäöüä", problem.PasswordShort},
		{"long", "admin", strings.Repeat("x", 129), problem.PasswordLong},
		{"control character", "admin", "12345678\n", problem.PasswordCharacters},
		{"broken UTF-8", "admin", "12345678\xff", problem.PasswordCharacters},
		{"the name", "longername", "LongerName", problem.PasswordIsName},
		{"the old one", "admin", "correct horse", problem.PasswordSame},
		{"nobody's", "nobody", "correct horse", problem.AccountUnknown},
		{"good", "admin", "battery staple", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := f.SetPassword(tt.user, tt.password); problem.CodeOf(err) != tt.want || tt.want == "" && err != nil {
				t.Errorf("SetPassword(%s, %q) = %v; want %q", tt.user, tt.password, err, tt.want)
			}
		})
	}
	f.login("admin", "battery staple", near, "")
}

func TestLockout(t *testing.T) {
	for _, name := range []string{"admin", "nobody"} {
		t.Run(name, func(t *testing.T) {
			f := newFixture(t)
			for range MaxFailures - 1 {
				f.login(name, "wrong", far, problem.AccountDenied)
				f.now = f.now.Add(time.Minute)
			}
			f.login(name, "wrong", far, problem.AccountLocked)
			_, err := f.Authenticate(name, "admin", far)
			if got, want := problem.Text(err), "wait until 20:19:00 UTC"; !strings.Contains(got, want) {
				t.Errorf("text of a lock = %q; want %q in it", got, want)
			}
			// The terminals count for themselves, and another process knows.
			f.Store = NewStore(f.path, func() time.Time { return f.now })
			f.login(name, "admin", "192.0.2.8", problem.AccountLocked)
			f.login(name, "wrong", near, problem.AccountDenied)
			f.now = f.now.Add(LockTime - time.Second)
			f.login(name, "wrong", far, problem.AccountLocked)
			f.now = f.now.Add(time.Second)
			f.login(name, "wrong", far, problem.AccountDenied)
		})
	}
}

func TestLoginClearsFailures(t *testing.T) {
	f := newFixture(t)
	for range 3 {
		for range MaxFailures - 1 {
			f.login("admin", "wrong", far, problem.AccountDenied)
		}
		info, err := f.Info("admin")
		if err != nil || info.FailedSince != MaxFailures-1 {
			t.Errorf("Info.FailedSince = %d, %v; want %d", info.FailedSince, err, MaxFailures-1)
		}
		f.login("admin", "admin", far, "")
	}
	info, err := f.Info("admin")
	want := Info{
		User: User{"admin", Admin, true}, Created: f.now, Changed: f.now, LastLogin: f.now, LastSource: far,
	}
	if diff := cmp.Diff(want, info); err != nil || diff != "" {
		t.Errorf("Info after a login: %v\n%s", err, diff)
	}
}

func TestUnlock(t *testing.T) {
	f := newFixture(t)
	for range MaxFailures {
		_, _ = f.Authenticate("admin", "wrong", far)
	}
	if info, err := f.Info("admin"); err != nil || !info.LockedUntil.Equal(f.now.Add(LockTime)) {
		t.Errorf("LockedUntil = %v, %v; want in %v", info.LockedUntil, err, LockTime)
	}
	f.check(f.Unlock("admin"))
	f.login("admin", "admin", far, "")
}

// A lock made while the clock was a year ahead must not last a year.
func TestLockOfAWrongClock(t *testing.T) {
	f := newFixture(t)
	right := f.now
	f.now = right.AddDate(1, 0, 0)
	for range MaxFailures {
		_, _ = f.Authenticate("admin", "wrong", far)
	}
	f.now = right
	f.login("admin", "admin", far, "")
}

// However many guess at once, only so many are heard.
func TestParallelGuesses(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	var mu sync.Mutex
	codes := map[problem.Code]int{}
	for i := range 20 {
		wg.Go(func() {
			_, err := NewStore(f.path, f.clock).Authenticate("admin", fmt.Sprint("guess", i), far)
			mu.Lock()
			defer mu.Unlock()
			codes[problem.CodeOf(err)]++
		})
	}
	wg.Wait()
	want := map[problem.Code]int{problem.AccountDenied: MaxFailures - 1, problem.AccountLocked: 20 - MaxFailures + 1}
	if diff := cmp.Diff(want, codes); diff != "" {
		t.Errorf("outcomes (-want +got):\n%s", diff)
	}
}

func TestUnknownNamesAreBoundedAndNotKept(t *testing.T) {
	f := newFixture(t)
	d := f.first()
	for i := range 2 * maxUnknown {
		d.counter(fmt.Sprint("my secret", i), far).fail(f.now.Add(time.Duration(i)))
	}
	if len(d.Unknown) != maxUnknown {
		t.Errorf("%d counters; want %d", len(d.Unknown), maxUnknown)
	}
	if got := d.counter(fmt.Sprint("my secret", 2*maxUnknown-1), far).Count; got != 1 {
		t.Errorf("newest counter = %d; want 1", got)
	}
	f.login("my secret", "x", far, problem.AccountDenied)
	text, err := os.ReadFile(f.path)
	if err != nil || strings.Contains(string(text), "my secret") {
		t.Errorf("the file names who does not exist, %v", err)
	}
}

func TestAddAndDel(t *testing.T) {
	f := newFixture(t)
	tests := []struct {
		name string
		do   func() error
		want problem.Code
	}{
		{"add", func() error { return f.Add("bob", Crypto, "correct horse") }, ""},
		{"add again", func() error { return f.Add("bob", Audit, "correct horse") }, problem.AccountExists},
		{"bad name", func() error { return f.Add("1bob", Audit, "correct horse") }, problem.AccountName},
		{"name with a blank", func() error { return f.Add("b b", Audit, "correct horse") }, problem.AccountName},
		{"no name", func() error { return f.Add("", Audit, "correct horse") }, problem.AccountName},
		{"long name", func() error { return f.Add(strings.Repeat("b", 33), Audit, "correct horse") }, problem.AccountName},
		{"bad role", func() error { return f.Add("eve", "root", "correct horse") }, problem.AccountRole},
		{"bad password", func() error { return f.Add("eve", Audit, "short") }, problem.PasswordShort},
		{"last admin", func() error { return f.Del("bob", "admin") }, problem.AccountLastAdmin},
		{"oneself", func() error { return f.Del("admin", "admin") }, problem.AccountSelf},
		{"unknown", func() error { return f.Del("admin", "eve") }, problem.AccountUnknown},
		{"second admin", func() error { return f.Add("ann", Admin, "correct horse") }, ""},
		{"api", func() error { return f.Add("robot", API, "correct horse") }, ""},
		{"first admin goes", func() error { return f.Del("ann", "admin") }, ""},
		{"other admin stays", func() error { return f.Del("bob", "ann") }, problem.AccountLastAdmin},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if err := tt.do(); problem.CodeOf(err) != tt.want || tt.want == "" && err != nil {
				t.Errorf("= %v; want %q", err, tt.want)
			}
		})
	}
	list, err := f.List()
	var got []User
	for _, i := range list {
		got = append(got, i.User)
	}
	want := []User{{"ann", Admin, true}, {"bob", Crypto, true}, {"robot", API, false}}
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Errorf("List: %v\n%s", err, diff)
	}
}

func TestResetPassword(t *testing.T) {
	f := newFixture(t)
	f.check(f.SetPassword("admin", "correct horse"))
	for range MaxFailures {
		_, _ = f.Authenticate("admin", "wrong", far)
	}
	f.check(f.ResetPassword("admin", "battery staple"))
	user, err := f.Authenticate("admin", "battery staple", far)
	if err != nil || !user.MustChange {
		t.Errorf("Authenticate after ResetPassword = %v, %v; want MustChange", user, err)
	}
}

func TestRoles(t *testing.T) {
	for _, r := range Roles() {
		got, err := ParseRole(string(r))
		if err != nil || got != r {
			t.Errorf("ParseRole(%s) = %s, %v; want %s", r, got, err, r)
		}
		for p := Console; p <= Configure; p++ {
			want := r == Admin || r == Crypto && (p == Console || p == Certificates) || r == Audit && (p == Console || p == ReadAudit)
			if r.Can(p) != want {
				t.Errorf("%s.Can(%d) = %v; want %v", r, p, !want, want)
			}
		}
	}
	if Role("").Can(Console) {
		t.Error("a user without a role may use the console")
	}
}

func TestManyProcesses(t *testing.T) {
	f := newFixture(t)
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			if err := NewStore(f.path, time.Now).Add(fmt.Sprint("user", i), Audit, "correct horse"); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if list, err := f.List(); err != nil || len(list) != 7 {
		t.Errorf("List = %d users, %v; want 7", len(list), err)
	}
}

func TestDamagedFileIsAnError(t *testing.T) {
	f := newFixture(t)
	for _, text := range []string{"", "{}", "null", `{"users":`, `{"users":{},"more":1}`} {
		f.check(os.WriteFile(f.path, []byte(text), 0o600))
		if _, err := f.Authenticate("admin", "admin", near); err == nil || problem.CodeOf(err) != "" {
			t.Errorf("Authenticate with a file of %q = %v; want an error that is no problem", text, err)
		}
		if err := f.Add("bob", Admin, "correct horse"); err == nil {
			t.Errorf("Add with a file of %q = nil; want an error", text)
		}
	}
}

func TestHash(t *testing.T) {
	h := newHash("secret")
	for _, tt := range []struct {
		hash, password string
		want           bool
	}{
		{h, "secret", true},
		{h, "Secret", false},
		{"", "", false},
		{"", "secret", false},
		{strings.Replace(h, "m=19456", "m=99999999", 1), "secret", false},
		{strings.Replace(h, "t=2", "t=0", 1), "secret", false},
		{strings.Replace(h, "v=19", "v=16", 1), "secret", false},
		{strings.TrimSuffix(h, h[len(h)-4:]), "secret", false},
	} {
		if got := checkHash(tt.hash, tt.password); got != tt.want {
			t.Errorf("checkHash(%s, %s) = %v; want %v", tt.hash, tt.password, got, tt.want)
		}
	}
}

func FuzzHash(f *testing.F) {
	f.Add(newHash("x"))
	f.Add("$argon2id$v=19$m=8,t=1,p=1$AA$AAAAAAAAAAAAAAAAAAAAAA")
	f.Fuzz(func(t *testing.T, hash string) {
		m, _, p, _, sum, ok := parseHash(hash)
		if ok && (m > 8*hashMemory || p == 0 || len(sum) == 0) {
			t.Errorf("parseHash(%q) lets m=%d p=%d, %d bytes pass", hash, m, p, len(sum))
		}
	})
}

func TestReadErrorIsNoFirstBoot(t *testing.T) {
	f := newFixture(t)
	f.check(os.Mkdir(f.path, 0o700))
	if _, err := f.List(); err == nil || errors.Is(err, os.ErrNotExist) {
		t.Errorf("List of a folder = %v; want an error", err)
	}
}
