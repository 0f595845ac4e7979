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
				got, err := a.check(t.Context(), b, passwordQuestion{"alice", "Wonder-land1"})
				if got != tt.want || err != nil || time.Since(begun) != tt.took {
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
					if got, err := a.check(t.Context(), b, passwordQuestion{"alice", "Wonder-land1"}); got != right || err != nil {
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
			if got, err := a.check(ctx, b, passwordQuestion{"alice", "Wonder-land1"}); got != undecided || err != nil || len(b.asked) != 1 {
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
			all.Go(func() { a.check(t.Context(), b, passwordQuestion{"alice", "Wonder-land1"}) })
		}
		all.Wait()
		if n := len(b.asked); n != maxAttempts {
			t.Errorf("20 at once: asked %d times; want %d", n, maxAttempts)
		}
		if got, _ := a.check(t.Context(), b, passwordQuestion{"alice", "Wonder-land1"}); got != undecided || len(b.asked) != maxAttempts {
			t.Errorf("check = %v, asked %d times; want undecided, and nobody asked", got, len(b.asked))
		}
		time.Sleep(attemptsOver + time.Second)
		if got, _ := a.check(t.Context(), b, passwordQuestion{"alice", "Wonder-land1"}); got != wrong {
			t.Errorf("check after %v = %v; want wrong", attemptsOver, got)
		}
	})
}

func TestAttempts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var a attempts
		for i := range 3 * maxAttempts {
			if !a.begin("alice") {
				t.Fatalf("begin %d = false; want true, as the ones before were not wrong", i)
			}
			a.end("alice", []verdict{right, undecided}[i%2])
		}
		for range maxAttempts - 1 {
			a.begin("alice")
			a.end("alice", wrong)
		}
		a.begin("alice")
		a.end("alice", right)
		if !a.begin("alice") {
			t.Error("begin after the right one = false; want true")
		}
		a.end("alice", undecided)
		if n := len(a.byName); n != 0 {
			t.Errorf("%d names are remembered; want none", n)
		}
		for i := range maxAttempted {
			name := strconv.Itoa(i)
			a.begin(name)
			a.end(name, wrong)
		}
		if a.begin("one more") {
			t.Error("begin of one name too many = true; want false")
		}
		time.Sleep(attemptsOver + time.Second)
		if !a.begin("one more") || len(a.byName) != 1 {
			t.Errorf("begin after %v: %d names; want one", attemptsOver, len(a.byName))
		}
	})
}

// TestCheckPasswordStopped: the error of a router that has stopped is told, so
// that the next leader is asked.
func TestCheckPasswordStopped(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := failing{router.ErrStopped}
		var a asking
		if got, err := a.check(t.Context(), b, passwordQuestion{"alice", "x"}); !errors.Is(err, router.ErrStopped) || got != undecided {
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
