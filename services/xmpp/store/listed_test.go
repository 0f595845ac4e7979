package store

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestAccountsListed: what router's TestPeople does not see of it.
func TestAccountsListed(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, Config{Dir: dir, NoSync: true})
	for _, name := range []string{"cb1", "cb2"} {
		apply(t, s, &BridgeAdd{Name: name, Secret: "s"})
	}
	apply(t, s, &AccountAdd{Name: "ada", Verifiers: []byte("v")})
	apply(t, s, &AccountsListed{Bridge: "cb1", Source: "s", Listed: []string{"ada", "bob", "cyd"}})
	apply(t, s, &AccountsListed{Bridge: "cb2", Source: "t", Listed: []string{"cyd"}})
	leaves := &AccountsListed{Bridge: "cb1", Source: "s", Missed: []string{"ada", "bob", "cyd", "nobody"}}
	// A leader that did not hear of its first try does it again, and has to
	// learn whose sessions to end.
	for range 2 {
		if res := apply(t, s, leaves); !cmp.Equal(res.Gone, []string{"bob"}) {
			t.Errorf("gone are %v; want bob", res.Gone)
		}
	}
	for _, bad := range []*AccountsListed{
		{Source: "s", Listed: []string{"dan"}},
		{Bridge: "cb1", Source: "s", Listed: []string{"dan", ""}},
	} {
		if err := refused(t, s, bad); !errors.Is(err, ErrOp) {
			t.Errorf("%+v = %v; want %v", bad, err, ErrOp)
		}
	}
	check := func(s *Store) {
		t.Helper()
		as, err := s.Accounts()
		if diff := cmp.Diff([]Account{{Name: "ada"}, {Name: "bob", Elsewhere: true, Gone: true}, {Name: "cyd", Elsewhere: true}}, as); diff != "" || err != nil {
			t.Errorf("Accounts: %v\n%s", err, diff)
		}
		if s.Elsewhere() != 2 || s.Gone() != 1 {
			t.Errorf("Elsewhere(), Gone() = %d, %d; want 2, 1", s.Elsewhere(), s.Gone())
		}
		for name, want := range map[string]bool{"ada": true, "bob": false, "cyd": true, "nobody": false} {
			if got := s.MayLogIn(name); got != want {
				t.Errorf("MayLogIn(%s) = %v; want %v", name, got, want)
			}
		}
		if !s.Account("bob") {
			t.Error("who is gone has no account any more")
		}
		if news, err := s.News(Listing{Bridge: "cb1", Source: "s"}); news != nil || err != nil {
			t.Errorf("News of what is known = %+v, %v; want none", news, err)
		}
	}
	check(s)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s, stop = start(t, Config{Dir: dir, NoSync: true})
	check(s)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// FuzzLists: what an account remembers of lists is read as it was written, and
// whatever else stands there is no account that is gone.
func FuzzLists(f *testing.F) {
	f.Add(listsValue(nil))
	f.Add(listsValue([]list{{"cb1", "s"}, {"cb2", ""}}))
	f.Add([]byte(Elsewhere))
	f.Add([]byte{0, 1, 0xff, 0xff, 0xff, 0x0f})
	f.Fuzz(func(t *testing.T, value []byte) {
		ls, known := listsOf(value)
		if !known {
			if whoseOf(value) == gone {
				t.Errorf("% x is of who is gone", value)
			}
			return
		}
		again, _ := listsOf(listsValue(ls))
		if diff := cmp.Diff(ls, again, cmp.AllowUnexported(list{})); diff != "" {
			t.Errorf("lists of % x (-want +got):\n%s", value, diff)
		}
	})
}
