package store

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/problem"
	"parley/services/xmpp/link"
)

// start opens and runs a store that has no peers; the returned function stops
// it.
func start(t testing.TB, cfg Config) (*Store, func() error) {
	t.Helper()
	s := New(cfg, Deps{Log: testLog()})
	stop := run(t, s)
	if err := s.WaitReady(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, stop
}

// run opens and runs a store; the returned function stops it, as the end of
// the test does.
func run(t testing.TB, s *Store) (stop func() error) {
	t.Helper()
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceValue(func() error {
		cancel()
		return <-done
	})
	t.Cleanup(func() {
		if err := stop(); err != nil {
			t.Error("Run:", err)
		}
	})
	return stop
}

// apply applies one op, which must not be refused.
func apply(t testing.TB, s *Store, op Op) Result {
	t.Helper()
	rs, err := s.Apply(context.Background(), op)
	if err != nil {
		t.Fatalf("Apply(%T) = %v", op, err)
	}
	if rs[0].Err != nil {
		t.Fatalf("Apply(%T) refused: %v", op, rs[0].Err)
	}
	return rs[0]
}

// refused applies one op, which must be refused, and returns why.
func refused(t testing.TB, s *Store, op Op) error {
	t.Helper()
	rs, err := s.Apply(context.Background(), op)
	if err != nil {
		t.Fatalf("Apply(%T) = %v", op, err)
	}
	if rs[0].Err == nil {
		t.Fatalf("Apply(%T) was not refused", op)
	}
	return rs[0].Err
}

func TestStartsQuickly(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"new", "old"} {
		begin := time.Now()
		_, stop := start(t, Config{Dir: dir})
		took := time.Since(begin)
		t.Logf("%s store leads after %v", name, took)
		if took > 10*time.Second {
			t.Errorf("%s store took %v to lead", name, took)
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAccounts(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, Config{Dir: dir, NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada", Verifiers: []byte("v1")})
	apply(t, s, &AccountAdd{Name: "bob", Verifiers: []byte("v1")})
	apply(t, s, &AccountSet{Name: "ada", Verifiers: []byte("v2")})
	if got := problem.CodeOf(refused(t, s, &AccountAdd{Name: "ada"})); got != problem.UserExists {
		t.Errorf("second add = %q", got)
	}
	if got := problem.CodeOf(refused(t, s, &AccountSet{Name: "eve"})); got != problem.UserUnknown {
		t.Errorf("set of an unknown account = %q", got)
	}
	if got := problem.CodeOf(refused(t, s, &AccountImport{Accounts: []AccountAdd{{Name: "cleo"}, {Name: "bob"}}})); got != problem.UserExists {
		t.Errorf("import of an existing account = %q", got)
	}
	if got := problem.CodeOf(refused(t, s, &AccountImport{Accounts: []AccountAdd{{Name: "cleo"}, {Name: "cleo"}}})); got != problem.UserExists {
		t.Errorf("import of an account twice = %q", got)
	}
	if s.Account("cleo") {
		t.Error("a refused import left an account")
	}
	if err := refused(t, s, &AccountAdd{Name: "a\x00b"}); !errors.Is(err, ErrOp) {
		t.Errorf("add of a name with a zero byte = %v", err)
	}
	apply(t, s, &AccountImport{Accounts: []AccountAdd{{Name: "cleo"}, {Name: "dan", Verifiers: []byte(Elsewhere)}}})
	apply(t, s, &AccountDel{Name: "bob", Domain: "x"})
	check := func(s *Store) {
		t.Helper()
		as, err := s.Accounts()
		if diff := cmp.Diff([]Account{{Name: "ada"}, {Name: "cleo"}, {Name: "dan", Elsewhere: true}}, as); diff != "" || err != nil {
			t.Errorf("Accounts: %v\n%s", err, diff)
		}
		if v, ok, err := s.Verifiers("ada"); string(v) != "v2" || !ok || err != nil {
			t.Errorf("Verifiers(ada) = %q, %v, %v; want v2", v, ok, err)
		}
		if n := s.Elsewhere(); n != 1 {
			t.Errorf("Elsewhere() = %d; want 1", n)
		}
		if !s.Account("ada") || s.Account("bob") {
			t.Errorf("Account(ada), Account(bob) = %v, %v; want true, false", s.Account("ada"), s.Account("bob"))
		}
	}
	check(s)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: dir, NoSync: true})
	check(s)
}

func TestCallBridges(t *testing.T) {
	s, _ := start(t, Config{Dir: t.TempDir(), NoSync: true})
	apply(t, s, &BridgeAdd{Name: "cb2", Secret: "s2"})
	apply(t, s, &BridgeAdd{Name: "cb1", Secret: "s1"})
	if got := problem.CodeOf(refused(t, s, &BridgeAdd{Name: "cb1", Secret: "other"})); got != problem.BridgeExists {
		t.Errorf("second add = %q", got)
	}
	if got := problem.CodeOf(refused(t, s, &BridgeDel{Name: "cb3"})); got != problem.BridgeUnknown {
		t.Errorf("del of an unknown bridge = %q", got)
	}
	bs, err := s.CallBridges()
	if diff := cmp.Diff([]CallBridge{{"cb1", "s1"}, {"cb2", "s2"}}, bs); diff != "" || err != nil {
		t.Errorf("CallBridges: %v\n%s", err, diff)
	}
	apply(t, s, &BridgeDel{Name: "cb1"})
	if _, ok, _ := s.CallBridge("cb1"); ok {
		t.Error("CallBridge(cb1) is there after its removal")
	}
}

func TestInbox(t *testing.T) {
	s, _ := start(t, Config{Dir: t.TempDir(), NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	apply(t, s, &AccountAdd{Name: "adam"})
	stamp := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	var want []Message
	for i := range 5 {
		body := fmt.Appendf(nil, "<message>%d</message>", i)
		res := apply(t, s, &MessagePut{Account: "ada", Resource: "phone", Stamp: stamp, Stanza: body})
		apply(t, s, &MessagePut{Account: "adam", Stamp: stamp, Stanza: body})
		want = append(want, Message{Item: res.Item, Resource: "phone", Stamp: stamp, Stanza: body})
	}
	if got := problem.CodeOf(refused(t, s, &MessagePut{Account: "eve"})); got != problem.UserUnknown {
		t.Errorf("message to nobody = %q", got)
	}
	got, err := s.Inbox("ada", 0, 100)
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("Inbox: %v\n%s", err, diff)
	}
	got, err = s.Inbox("ada", want[1].Item, 2)
	if diff := cmp.Diff(want[2:4], got); diff != "" || err != nil {
		t.Errorf("Inbox after the second: %v\n%s", err, diff)
	}
	apply(t, s, &Delivered{Account: "ada", Items: []link.Item{want[0].Item, want[2].Item, want[2].Item, 9999}})
	if n, err := s.Pending("ada"); n != 3 || err != nil {
		t.Errorf("Pending(ada) = %d, %v; want 3", n, err)
	}
	if accounts, pending, err := s.Counts(); accounts != 2 || pending != 8 || err != nil {
		t.Errorf("Counts() = %d, %d, %v; want 2, 8", accounts, pending, err)
	}
	apply(t, s, &AccountDel{Name: "ada", Domain: "x"})
	apply(t, s, &AccountAdd{Name: "ada"})
	if ms, err := s.Inbox("ada", 0, 10); len(ms) > 0 || err != nil {
		t.Errorf("Inbox after the account was made anew = %v, %v", ms, err)
	}
}

func TestConcurrentApply(t *testing.T) {
	s, _ := start(t, Config{Dir: t.TempDir(), NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	var wg sync.WaitGroup
	const callers, each = 16, 50
	items := make([][]link.Item, callers)
	for c := range callers {
		wg.Go(func() {
			for i := range each {
				rs, err := s.Apply(context.Background(), &MessagePut{Account: "ada", Stanza: []byte{byte(c), byte(i)}})
				if err != nil {
					t.Error(err)
					return
				}
				items[c] = append(items[c], rs[0].Item)
			}
		})
	}
	wg.Wait()
	seen := map[link.Item]bool{}
	for _, is := range items {
		for i, it := range is {
			if seen[it] || i > 0 && it <= is[i-1] {
				t.Fatalf("item %d is out of order or not unique", it)
			}
			seen[it] = true
		}
	}
	if n, _ := s.Pending("ada"); n != callers*each {
		t.Errorf("Pending = %d; want %d", n, callers*each)
	}
}

// testLog is silent unless PARLEY_STORE_LOG is set.
func testLog() *slog.Logger {
	if os.Getenv("PARLEY_STORE_LOG") == "" {
		return slog.New(slog.DiscardHandler)
	}
	return slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelDebug}))
}

func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no ", what)
		}
	}
}
