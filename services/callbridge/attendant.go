package callbridge

import (
	"context"
	"strconv"
	"sync"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/authenticator"
	"parley/services/xmpp/stanza"
)

// attendant is the authentication service on one connection: it offers to check
// passwords while there is a directory, checks them, and tells who exists.
type attendant struct {
	bridge *Bridge
	wire   *wire
	// self and domain are the component's address and the server's.
	self, domain string
	// slots are taken by checks.
	slots  chan struct{}
	checks sync.WaitGroup
	// answers are to own requests, of which there is one at a time.
	answers chan *stanza.Element

	mu sync.Mutex
	// waits is the id of the request that has no answer yet.
	waits string
	// key is for passwords on this connection; set by run.
	key   authenticator.Key
	keyed bool
}

const (
	// maxChecks of passwords are under way at once; more are not answered for.
	maxChecks = 64
	// offerEvery is how often the offer is said again, and how many others
	// there are is learnt.
	offerEvery = 10 * time.Second
	// answerTime is how long the server may take over a request.
	answerTime = 20 * time.Second
	// fresh is how long a list of who exists is told. An older one, as after a
	// loss of the connection, would put back or shut out who has come or gone
	// since by what another Call Bridge says, so a new one is made.
	fresh = time.Minute
)

func (b *Bridge) attend(c *wire, w *way) *attendant {
	return &attendant{
		bridge: b, wire: c, self: w.address(), domain: w.link.Domain,
		slots: make(chan struct{}, maxChecks), answers: make(chan *stanza.Element, 1),
	}
}

// run goes on until ctx ends with the connection.
func (a *attendant) run(ctx context.Context) {
	key, err := authenticator.NewKey()
	if err != nil {
		a.bridge.log.Error("passwords cannot be checked", "err", err)
		return
	}
	a.mu.Lock()
	a.key, a.keyed = key, true
	a.mu.Unlock()
	tick := time.NewTicker(offerEvery)
	defer tick.Stop()
	told, asked := 0, false
	for n := 0; ctx.Err() == nil; {
		there, last, changed := a.bridge.people.look()
		ask := func(e *stanza.Element) *stanza.Element {
			n++
			return a.request(ctx, n, e)
		}
		say := authenticator.Withdraw()
		if there {
			say = authenticator.Offer(key)
		}
		if answer := ask(say); answer != nil {
			a.bridge.registered(there && answer.Attr("type") == "result", authenticator.ReadOffers(answer))
		}
		switch {
		case !there || last.number == told:
		case time.Since(last.at) < fresh:
			if a.tell(last, ask) {
				told = last.number
			}
		case !asked:
			asked = true
			a.bridge.people.wake()
		}
		select {
		case <-ctx.Done():
		case <-changed:
		case <-tick.C:
		}
	}
}

// tell tells who exists, and says whether all were taken.
func (a *attendant) tell(l listing, ask func(*stanza.Element) *stanza.Element) bool {
	for _, e := range authenticator.People(l.source, l.names) {
		if answer := ask(e); answer == nil || answer.Attr("type") != "result" {
			return false
		}
	}
	return true
}

// request sends a request to the domain and returns the answer, or nil.
func (a *attendant) request(ctx context.Context, n int, e *stanza.Element) *stanza.Element {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	id := "authentication-" + strconv.Itoa(n)
	a.mu.Lock()
	a.waits = id
	a.mu.Unlock()
	// One that came too late.
	select {
	case <-a.answers:
	default:
	}
	if a.wire.writeOnce(stanza.New(stanza.NSClient, "iq", "type", "set", "from", a.self, "to", a.domain, "id", id).Add(e)) != nil {
		return nil
	}
	select {
	case answer := <-a.answers:
		return answer
	case <-ctx.Done():
		return nil
	}
}

// takes says whether a stanza is for the attendant; it is called by the one who
// reads, and does not wait.
func (a *attendant) takes(ctx context.Context, e *stanza.Element) bool {
	if !e.Is(stanza.NSClient, "iq") || e.Attr("from") != a.domain {
		return false
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	q := e.First()
	switch kind := e.Attr("type"); {
	case kind == "result" || kind == "error":
		if e.Attr("id") != a.waits {
			return false
		}
		a.waits = ""
		a.answers <- e
		return true
	case kind != "get" || q == nil || !q.Is(authenticator.NS, "check") || !a.keyed:
		return false
	}
	select {
	case a.slots <- struct{}{}:
	default:
		return false
	}
	key := a.key
	a.checks.Go(func() {
		defer func() { <-a.slots }()
		// A write that fails ends the connection under the reader.
		if a.wire.write(a.check(ctx, key, e)) != nil {
			a.wire.conn.NetConn().Close()
		}
	})
	return true
}

// check answers a question.
func (a *attendant) check(ctx context.Context, key authenticator.Key, e *stanza.Element) *stanza.Element {
	user, password, ok := authenticator.Question(e.First(), key)
	if !ok {
		return stanza.ErrorReply(e, stanza.BadRequest, "")
	}
	right, err := a.bridge.people.check(ctx, user, password)
	if err != nil {
		a.bridge.log.Warn("password not checked", "user", user, "err", err)
		return stanza.ErrorReply(e, stanza.ResourceConstraint, problem.Text(err))
	}
	return stanza.Result(e).Add(authenticator.Verdict(right))
}

// registered notes what the server says of those who check passwords.
func (b *Bridge) registered(own bool, components int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if own && !b.status.own {
		b.status.registered = time.Now()
	}
	b.status.own, b.status.components = own, components
}
