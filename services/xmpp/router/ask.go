package router

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"maps"
	"slices"
	"sync"

	"parley/services/xmpp/authenticator"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// ErrUnanswered: the component has not answered, and will not.
var ErrUnanswered = errors.New("component does not answer")

// Offer is a connected component's, to check passwords.
type Offer struct {
	// Name of the component, and the Key that questions to it are sealed to.
	Name, Key string
}

// Offers returns who can be asked, by name.
func (r *Router) Offers(ctx context.Context) ([]Offer, error) {
	// Where do fails it may still be written to.
	var offers *[]Offer
	err := r.do(ctx, nil, func(store.Result) {
		all := r.offers()
		offers = &all
	})
	if err != nil {
		return nil, err
	}
	return *offers, nil
}

func (r *Router) offers() (offers []Offer) {
	for domain, s := range r.components {
		if name, ok := r.componentName(domain); ok && s.offer != "" && !s.detached {
			offers = append(offers, Offer{name, s.offer})
		}
	}
	slices.SortFunc(offers, func(a, b Offer) int { return cmp.Compare(a.Name, b.Name) })
	return offers
}

// questions wait for an answer. They are not the goroutine's alone: who asks
// may give up.
type questions struct {
	mu   sync.Mutex
	open map[string]*question
}

// question is one to a component's session.
type question struct {
	session *session
	answer  chan *stanza.Element
}

func (q *questions) add(id string, one *question) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.open == nil {
		q.open = map[string]*question{}
	}
	q.open[id] = one
}

func (q *questions) drop(id string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	delete(q.open, id)
}

// take hands over an answer, and says whether anybody has waited for it.
func (q *questions) take(s *session, e *stanza.Element) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	one := q.open[e.Attr("id")]
	if one == nil || one.session != s {
		return false
	}
	delete(q.open, e.Attr("id"))
	one.answer <- e
	return true
}

// end is the end of all questions to a session.
func (q *questions) end(s *session) {
	q.mu.Lock()
	defer q.mu.Unlock()
	maps.DeleteFunc(q.open, func(_ string, one *question) bool {
		if one.session == s {
			close(one.answer)
		}
		return one.session == s
	})
}

// Ask sends a component a request of the domain's own, and returns the IQ that
// answers it. It is for the connection that there is now: without one, or when
// that ends, it is ErrUnanswered.
func (r *Router) Ask(ctx context.Context, component string, payload *stanza.Element) (*stanza.Element, error) {
	b := make([]byte, 16)
	rand.Read(b)
	id := hex.EncodeToString(b)
	one := &question{answer: make(chan *stanza.Element, 1)}
	defer r.questions.drop(id)
	err := r.do(ctx, nil, func(store.Result) {
		s := r.components[component+"."+r.domain]
		if s == nil || s.detached || s.edge == nil {
			close(one.answer)
			return
		}
		one.session = s
		r.questions.add(id, one)
		iq := stanza.New(stanza.NSClient, "iq", "type", "get", "id", id, "from", r.domain, "to", s.jid.String())
		r.deliver(s, iq.Add(payload))
	})
	if err != nil {
		return nil, err
	}
	select {
	case e, ok := <-one.answer:
		if !ok {
			return nil, ErrUnanswered
		}
		return e, nil
	case <-r.done:
		return nil, ErrStopped
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// authentication plans what a component says to the domain as one that checks
// passwords; false is for anything else.
func (p *planned) authentication() bool {
	r, s, e := p.r, p.s, p.e
	if s.kind != link.Component || p.to.Domain() != r.domain || p.to.Local() != "" {
		return false
	}
	if kind := e.Attr("type"); kind == "result" || kind == "error" {
		p.then(func([]store.Result) { r.questions.take(s, e) })
		return true
	}
	q, set := e.First(), e.Attr("type") == "set"
	switch {
	case set && q.Is(authenticator.NS, "offer"):
		key := q.Attr("key")
		if authenticator.CheckKey(key) != nil {
			p.refuse(stanza.BadRequest, "")
			return true
		}
		p.then(func([]store.Result) { r.noteOffer(s, e, key) })
	case set && q.Is(authenticator.NS, "withdraw"):
		p.then(func([]store.Result) { r.noteOffer(s, e, "") })
	case set && q.Is(authenticator.NS, "people"):
		p.people(authenticator.ReadPeople(q))
	default:
		return false
	}
	return true
}

// noteOffer notes that a session can be asked by key, or with "" cannot.
func (r *Router) noteOffer(s *session, e *stanza.Element, key string) {
	if s.offer != key {
		s.offer = key
		r.remember(s)
	}
	r.reply(s, stanza.Result(e).Add(authenticator.Offers(len(r.offers()))))
}
