package router

import (
	"context"
	"errors"
	"fmt"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/authenticator"
	"parley/services/xmpp/stanza"
)

func newOffer(t testing.TB) (key, offer string) {
	t.Helper()
	k, err := authenticator.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	return k.Public(), string(authenticator.Offer(k).Append(nil, stanza.NSClient))
}

// offers are who can be asked.
func (w *world) offers() []Offer {
	w.t.Helper()
	offers, err := w.r.Offers(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	return offers
}

// says has a component send a request to the domain, and returns the answer.
func (p *peer) says(payload string) string {
	p.w.t.Helper()
	p.send("<iq type='set' id='o' from='" + p.jid.String() + "' to='example.com'>" + payload + "</iq>")
	got := p.take()
	if len(got) != 1 {
		p.w.t.Fatalf("%s got %q; want one answer", p.jid, got)
	}
	return got[0]
}

func TestOffers(t *testing.T) {
	w := newWorld(t, "ada")
	cb1, cb2 := w.component("cb1"), w.component("cb2")
	if got := w.offers(); len(got) != 0 {
		t.Errorf("offers = %v; want none", got)
	}
	key, offer := newOffer(t)
	if got := cb2.says(offer); !strings.Contains(got, "count='1'") {
		t.Errorf("answer to the offer = %s; want count 1", got)
	}
	other, again := newOffer(t)
	if got := cb1.says(again); !strings.Contains(got, "count='2'") {
		t.Errorf("answer to the second offer = %s; want count 2", got)
	}
	if diff := cmp.Diff([]Offer{{"cb1", other}, {"cb2", key}}, w.offers()); diff != "" {
		t.Errorf("offers (-want +got):\n%s", diff)
	}
	for _, bad := range []string{"<offer xmlns='urn:parley:authentication:0'/>", "<offer xmlns='urn:parley:authentication:0' key='AAAA'/>"} {
		if got := cb1.says(bad); !strings.Contains(got, "<bad-request") {
			t.Errorf("answer to %s = %s; want bad-request", bad, got)
		}
	}
	// Whoever is not a component may not offer.
	ada := w.online("ada", "a", 0)
	ada.send("<iq type='set' id='o' to='example.com'>" + offer + "</iq>")
	if got := ada.take(); len(got) != 1 || !strings.Contains(got[0], "<service-unavailable") {
		t.Errorf("answer to a client's offer = %q; want service-unavailable", got)
	}
	if got := cb1.says("<withdraw xmlns='urn:parley:authentication:0'/>"); !strings.Contains(got, "count='1'") {
		t.Errorf("answer to the withdrawal = %s; want count 1", got)
	}
	cb2.close()
	if got := w.offers(); len(got) != 0 {
		t.Errorf("offers after withdrawal and end = %v; want none", got)
	}
}

// TestOfferOutlivesLeader: the next leader is told by the memo.
func TestOfferOutlivesLeader(t *testing.T) {
	key, _ := newOffer(t)
	m := newMemory()
	m.bridges["cb1"] = true
	inMemory(t, m, func(t *testing.T, w *world) {
		w.attach(attached("cb1.example.com", memo{offer: key}))
		w.r.Settled()
		if diff := cmp.Diff([]Offer{{"cb1", key}}, w.offers()); diff != "" {
			t.Errorf("offers (-want +got):\n%s", diff)
		}
	})
}

func TestAsk(t *testing.T) {
	w := newWorld(t)
	cb1, cb2 := w.component("cb1"), w.component("cb2")
	type result struct {
		e   *stanza.Element
		err error
	}
	ask := func(ctx context.Context, name string) chan result {
		done := make(chan result, 1)
		go func() {
			e, err := w.r.Ask(ctx, name, stanza.New("some:thing", "question"))
			done <- result{e, err}
		}()
		return done
	}
	id := regexp.MustCompile(` id='([0-9a-f]{32})'`)
	// asked waits for the question, and returns its id.
	asked := func(p *peer) string {
		t.Helper()
		for end := time.Now().Add(time.Minute); time.Now().Before(end); time.Sleep(time.Millisecond) {
			for _, got := range p.take() {
				if m := id.FindStringSubmatch(got); m != nil && strings.Contains(got, "from='example.com'") && strings.Contains(got, "<question xmlns='some:thing'/>") {
					return m[1]
				}
			}
		}
		t.Fatalf("%s is not asked", p.jid)
		return ""
	}
	answer := func(p *peer, id, kind string) {
		p.send(fmt.Sprintf("<iq type='%s' id='%s' from='%s' to='example.com'/>", kind, id, p.jid))
	}
	t.Run("answered", func(t *testing.T) {
		for _, kind := range []string{"result", "error"} {
			done := ask(t.Context(), "cb1")
			q := asked(cb1)
			// Neither another component nor another id will do.
			answer(cb2, q, "result")
			answer(cb1, strings.Repeat("0", 32), "result")
			w.sync()
			select {
			case r := <-done:
				t.Fatalf("answered by somebody else: %v, %v", r.e, r.err)
			default:
			}
			answer(cb1, q, kind)
			if r := <-done; r.err != nil || r.e.Attr("type") != kind {
				t.Errorf("Ask = %v, %v; want the %s", r.e, r.err, kind)
			}
		}
	})
	t.Run("asked by who gives up", func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		done := ask(ctx, "cb1")
		q := asked(cb1)
		cancel()
		if r := <-done; !errors.Is(r.err, context.Canceled) {
			t.Errorf("Ask = %v, %v; want %v", r.e, r.err, context.Canceled)
		}
		answer(cb1, q, "result")
		w.sync()
		if n := len(w.r.questions.open); n != 0 {
			t.Errorf("%d questions are left; want none", n)
		}
	})
	t.Run("its end", func(t *testing.T) {
		done := ask(t.Context(), "cb1")
		asked(cb1)
		cb1.close()
		if r := <-done; !errors.Is(r.err, ErrUnanswered) {
			t.Errorf("Ask = %v, %v; want %v", r.e, r.err, ErrUnanswered)
		}
	})
	t.Run("replaced", func(t *testing.T) {
		done := ask(t.Context(), "cb2")
		asked(cb2)
		w.component("cb2")
		if r := <-done; !errors.Is(r.err, ErrUnanswered) {
			t.Errorf("Ask = %v, %v; want %v", r.e, r.err, ErrUnanswered)
		}
	})
	t.Run("not there", func(t *testing.T) {
		if r := <-ask(t.Context(), "cb1"); !errors.Is(r.err, ErrUnanswered) {
			t.Errorf("Ask = %v, %v; want %v", r.e, r.err, ErrUnanswered)
		}
	})
}
