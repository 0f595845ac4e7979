package xmpp

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/authenticator"
	"parley/services/xmpp/router"
	"parley/services/xmpp/stanza"
)

// bridgesOf are Call Bridges in place of a router: by name what each does with
// a question.
type bridgesOf struct {
	t     *testing.T
	keys  map[string]authenticator.Key
	does  map[string]func(ctx context.Context) (*stanza.Element, error)
	mu    sync.Mutex
	asked []string
}

func (b *bridgesOf) add(name string, does func(context.Context) (*stanza.Element, error)) {
	key, err := authenticator.NewKey()
	if err != nil {
		b.t.Fatal(err)
	}
	if b.keys == nil {
		b.keys, b.does = map[string]authenticator.Key{}, map[string]func(context.Context) (*stanza.Element, error){}
	}
	b.keys[name], b.does[name] = key, does
}

func (b *bridgesOf) Offers(context.Context) (offers []router.Offer, err error) {
	for name, key := range b.keys {
		offers = append(offers, router.Offer{Name: name, Key: key.Public()})
	}
	return offers, nil
}

func (b *bridgesOf) Ask(ctx context.Context, name string, e *stanza.Element) (*stanza.Element, error) {
	if user, password, ok := authenticator.Question(e, b.keys[name]); !ok || user != "alice" || password.Reveal() != "Wonder-land1" {
		b.t.Errorf("%s is asked for %q, %q, %v; want alice's password", name, user, password.Reveal(), ok)
	}
	b.mu.Lock()
	b.asked = append(b.asked, name)
	b.mu.Unlock()
	return b.does[name](ctx)
}

func says(e *stanza.Element) func(context.Context) (*stanza.Element, error) {
	return func(context.Context) (*stanza.Element, error) {
		return stanza.New(stanza.NSClient, "iq", "type", "result").Add(e), nil
	}
}

func unanswered(ctx context.Context) (*stanza.Element, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

func lost(context.Context) (*stanza.Element, error) { return nil, router.ErrUnanswered }

func refuses(context.Context) (*stanza.Element, error) {
	return stanza.New(stanza.NSClient, "iq", "type", "error"), nil
}

func TestCheckPassword(t *testing.T) {
	yes, no := says(authenticator.Verdict(true)), says(authenticator.Verdict(false))
	type does = []func(context.Context) (*stanza.Element, error)
	for _, tt := range []struct {
		name string
		does does
		want verdict
		took time.Duration
	}{
		{"nobody offers", nil, unasked, 0},
		{"right", does{yes}, right, 0},
		{"wrong", does{no}, wrong, 0},
		{"all silent", does{unanswered, unanswered}, undecided, 2 * askWait},
		{"all without a verdict", does{refuses, lost}, undecided, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := &bridgesOf{t: t}
				for i, d := range tt.does {
					b.add("cb"+strconv.Itoa(i), d)
				}
				var a asking
				begun := time.Now()
				got, err := a.check(t.Context(), b, passwordQuestion{"alice", "Wonder-land1", ""})
				if decided := got.Verdict == right || got.Verdict == wrong; decided != (got.By == "cb0") {
					t.Errorf("check = %v by %q; want cb0 where it decided", got.Verdict, got.By)
				}
				if got.Verdict != tt.want || err != nil || time.Since(begun) != tt.took {
					t.Errorf("check = %v, %v after %v; want %v after %v", got, err, time.Since(begun), tt.want, tt.took)
				}
			})
		})
	}
	t.Run("one that does not answer is asked last for a while", func(t *testing.T) {
		for _, bad := range []func(context.Context) (*stanza.Element, error){unanswered, lost, refuses} {
			synctest.Test(t, func(t *testing.T) {
				b := &bridgesOf{t: t}
				b.add("bad", bad)
				b.add("good", yes)
				var a asking
				check := func() (asked []string) {
					b.asked = nil
					if got, err := a.check(t.Context(), b, passwordQuestion{"alice", "Wonder-land1", ""}); got.Verdict != right || err != nil {
						t.Fatalf("check = %v, %v; want right", got, err)
					}
					return b.asked
				}
				meet := func() {
					for range 1000 {
						if slices.Contains(check(), "bad") {
							return
						}
					}
					t.Fatal("the bad one is never asked")
				}
				meet()
				for range 20 {
					if diff := cmp.Diff([]string{"good"}, check()); diff != "" {
						t.Fatalf("asked (-want +got):\n%s", diff)
					}
				}
				time.Sleep(shunned)
				meet()
			})
		}
	})
	t.Run("who asks gives up", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			b := &bridgesOf{t: t}
			b.add("cb1", unanswered)
			b.add("cb2", unanswered)
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			defer cancel()
			var a asking
			if got, err := a.check(ctx, b, passwordQuestion{"alice", "Wonder-land1", ""}); got.Verdict != undecided || err != nil || len(b.asked) != 1 {
				t.Errorf("check = %v, %v, %d asked; want undecided after one", got, err, len(b.asked))
			}
		})
	})
}

// TestWrongPasswords: a directory is not asked so often that it locks an
// account, however the attempts are made.
func TestWrongPasswords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := &bridgesOf{t: t}
		b.add("cb1", func(context.Context) (*stanza.Element, error) {
			time.Sleep(time.Second)
			return says(authenticator.Verdict(false))(t.Context())
		})
		var a asking
		var all sync.WaitGroup
		for range 20 {
			all.Go(func() { a.check(t.Context(), b, passwordQuestion{"alice", "Wonder-land1", ""}) })
		}
		all.Wait()
		if n := len(b.asked); n != maxAttempts {
			t.Errorf("20 at once: asked %d times; want %d", n, maxAttempts)
		}
		if got, _ := a.check(t.Context(), b, passwordQuestion{"alice", "Wonder-land1", ""}); got.Verdict != tooMany || len(b.asked) != maxAttempts {
			t.Errorf("check = %v, asked %d times; want too many, and nobody asked", got, len(b.asked))
		}
		time.Sleep(attemptsOver + time.Second)
		if got, _ := a.check(t.Context(), b, passwordQuestion{"alice", "Wonder-land1", ""}); got.Verdict != wrong {
			t.Errorf("check after %v = %v; want wrong", attemptsOver, got)
		}
	})
}

func TestAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a attempts
		try := func(name, from string, v verdict) bool {
			home, ok := a.begin(name, from)
			if ok {
				a.end(name, from, home, v)
			}
			return ok
		}
		for i := range 3 * maxAttempts {
			if !try("alice", "", []verdict{right, undecided}[i%2]) {
				t.Fatalf("attempt %d is not made; want it, as the ones before were not wrong", i)
			}
		}
		for range maxAttempts - 1 {
			try("alice", "", wrong)
		}
		try("alice", "", right)
		if !try("alice", "", undecided) {
			t.Error("no attempt after the right one; want one")
		}
		if n := len(a.byName); n != 0 {
			t.Errorf("%d names are remembered; want none", n)
		}
		for i := range maxAttempted {
			try(strconv.Itoa(i), "", wrong)
		}
		if try("one more", "", wrong) {
			t.Error("an attempt for one name too many; want none")
		}
		time.Sleep(attemptsOver + time.Second)
		if !try("one more", "", wrong) || len(a.byName) != 1 {
			t.Errorf("after %v: %d names; want one", attemptsOver, len(a.byName))
		}
	})
}

// TestAttemptsAtHome: strangers can use up what strangers have, and what a user
// has at home is a few more and no more than that.
func TestAttemptsAtHome(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const home, abroad = "10.0.0.1", "192.0.2."
		for _, tt := range []struct {
			name string
			// wrong are where wrong ones come from until none is asked for.
			wrong []string
			// then may be tried from home and from elsewhere.
			atHome, away int
		}{
			{"nobody", nil, maxAttempts, maxAttempts},
			{"one stranger", []string{abroad + "1"}, homeAttempts, 0},
			{"many strangers", []string{abroad + "1", abroad + "2", abroad + "3", abroad + "4", abroad + "5", abroad + "6"}, homeAttempts, 0},
			{"at home", []string{home}, 0, 0},
			{"strangers, then at home", []string{abroad + "1", home}, 0, 0},
		} {
			var a attempts
			try := func(from string, v verdict) bool {
				h, ok := a.begin("alice", from)
				if ok {
					a.end("alice", from, h, v)
				}
				return ok
			}
			until := func(from string) (n int) {
				for try(from, wrong) {
					n++
				}
				return n
			}
			asked := 0
			begin := func() {
				a = attempts{}
				try(home, right)
				asked = 0
				for _, from := range tt.wrong {
					asked += until(from)
				}
			}
			begin()
			if got := until(abroad + "9"); got != tt.away {
				t.Errorf("%s: %d more from elsewhere; want %d", tt.name, got, tt.away)
			}
			begin()
			if got := until(home); got != tt.atHome {
				t.Errorf("%s: %d more from home; want %d", tt.name, got, tt.atHome)
			} else if asked+got > maxAttempts+homeAttempts {
				t.Errorf("%s: asked %d times; want no more than %d", tt.name, asked+got, maxAttempts+homeAttempts)
			}
			begin()
			if tt.atHome > 0 && (!try(home, right) || until(abroad+"9") != maxAttempts) {
				t.Errorf("%s: the right one from home does not begin anew", tt.name)
			}
		}
		var a attempts
		for i := range maxHomes + 1 {
			h, _ := a.begin("alice", strconv.Itoa(i))
			a.end("alice", strconv.Itoa(i), h, right)
		}
		if got := a.homes["alice"]; len(got) != maxHomes || slices.Contains(got, "0") {
			t.Errorf("homes = %v; want the last %d", got, maxHomes)
		}
	})
}

// TestCheckPasswordStopped: the error of a router that has stopped is told, so
// that the next leader is asked.
func TestCheckPasswordStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		// It may stop before anybody is asked, or meanwhile.
		stopped := &bridgesOf{t: t}
		for _, name := range []string{"cb1", "cb2"} {
			stopped.add(name, func(context.Context) (*stanza.Element, error) { return nil, router.ErrStopped })
		}
		var a asking
		if got, err := a.check(t.Context(), stopped, passwordQuestion{"alice", "Wonder-land1", ""}); !errors.Is(err, router.ErrStopped) || got.Verdict != undecided || len(stopped.asked) != 1 {
			t.Errorf("check = %v, %v, %d asked; want the error of the first", got, err, len(stopped.asked))
		}
		b := failing{router.ErrStopped}
		if got, err := a.check(t.Context(), b, passwordQuestion{"alice", "x", ""}); !errors.Is(err, router.ErrStopped) || got.Verdict != undecided {
			t.Errorf("check = %v, %v; want the error", got, err)
		}
	})
}

// failing is a router that has stopped.
type failing struct{ err error }

func (f failing) Offers(context.Context) ([]router.Offer, error) { return nil, f.err }

func (f failing) Ask(context.Context, string, *stanza.Element) (*stanza.Element, error) {
	return nil, f.err
}
