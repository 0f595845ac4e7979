package xmpp

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"parley/services/config"
	"parley/services/problem"
	"parley/services/xmpp/authenticator"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/router"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// callCheckPassword asks the leader, whose router knows the Call Bridges that
// can be asked.
const callCheckPassword = "check-password"

const (
	// askWait is how long one Call Bridge may take; then the next is asked.
	askWait = 2 * time.Second
	// checkWait bounds a check in all, and leaderPause is between tries while
	// there is no leader.
	checkWait   = 10 * time.Second
	leaderPause = 100 * time.Millisecond
	// shunned is how long one that has not answered is asked last.
	shunned = 30 * time.Second
)

// errUndecided: nobody who was asked has decided.
var errUndecided = errors.New("no Call Bridge could check the password")

// errTooMany: there were too many wrong ones, so nobody was asked.
var errTooMany = errors.New("too many wrong passwords")

// passwordQuestion is what a node asks of the leader. It goes over the nodes'
// TLS and is kept nowhere.
type passwordQuestion struct {
	User     string `json:"user"`
	Password string `json:"password"`
	// From is the client's address.
	From string `json:"from,omitempty"`
}

// verdict on a password.
type verdict string

// The verdicts. Undecided is for a later try; unasked: there is nobody to ask;
// tooMany: nobody is asked, as too many were wrong.
const (
	unasked   verdict = "unasked"
	right     verdict = "right"
	wrong     verdict = "wrong"
	undecided verdict = "undecided"
	tooMany   verdict = "too many"
)

// answer is the verdict on a password, and the Call Bridge whose it is.
type answer struct {
	Verdict verdict `json:"verdict"`
	By      string  `json:"by,omitempty"`
}

// passwords implements sasl.Passwords: those that Call Bridges check.
type passwords struct {
	server *Server
	core   *core
}

// Used implements sasl.Passwords. It goes by the replicated store, so that all
// nodes offer the same, whichever Call Bridges are connected.
func (p *passwords) Used() bool { return p.core.Elsewhere() > 0 }

// Check implements sasl.Passwords. After a success there is an account, which is
// one of the directory's again where it was gone.
func (p *passwords) Check(ctx context.Context, from, local string, password config.Secret) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, checkWait)
	defer cancel()
	q := passwordQuestion{local, password.Reveal(), from}
	a, err := p.ask(ctx, q)
	v := a.Verdict
	switch {
	case err != nil:
		p.server.log.Warn("password not checked", "user", local, "err", err)
		return false, err
	case v == tooMany:
		p.server.log.Warn("password not checked: too many wrong ones for this user, so the directory is not asked, lest it locks the account", "user", local, "from", from, "within", attemptsOver)
		return false, errTooMany
	case v == undecided, v == unasked && p.Used():
		return false, errUndecided
	case v != right:
		return false, nil
	}
	if p.core.MayLogIn(local) {
		return true, nil
	}
	err = p.server.apply(ctx, &store.AccountsListed{Bridge: a.By, Listed: []string{local}})
	return err == nil, err
}

// ask has the leader find out, wherever it is. Elections are waited for.
func (p *passwords) ask(ctx context.Context, q passwordQuestion) (a answer, err error) {
	for {
		if r := p.server.routerHere(); r != nil {
			a, err = p.server.asking.check(ctx, r, q)
		} else if st := p.core.State(); p.core.peers == nil || st.LeaderAddr == "" || st.LeaderID == st.ID {
			err = problem.New(problem.NoLeader)
		} else {
			err = p.core.peers.Call(ctx, st.LeaderAddr, callCheckPassword, q, &a)
		}
		if code := problem.CodeOf(err); code != problem.NoLeader && code != problem.ClusterRoute && !errors.Is(err, router.ErrStopped) {
			return a, err
		}
		select {
		case <-time.After(leaderPause):
		case <-ctx.Done():
			return a, err
		}
	}
}

// handlePasswords offers the leader's part to the other nodes.
func (s *Server) handlePasswords(c *core) {
	c.peers.HandleCall(callCheckPassword, func(ctx context.Context, _ peer.Hello, in json.RawMessage) (any, error) {
		var q passwordQuestion
		if err := json.Unmarshal(in, &q); err != nil {
			return nil, errors.New("question not readable")
		}
		r := s.routerHere()
		if r == nil {
			return nil, problem.New(problem.NoLeader)
		}
		a, err := s.asking.check(ctx, r, q)
		if errors.Is(err, router.ErrStopped) {
			err = problem.New(problem.NoLeader)
		}
		return a, err
	})
}

// asking is the leader's way to whoever checks passwords.
type asking struct {
	attempts attempts

	mu sync.Mutex
	// silent are those who have not answered, since when.
	silent map[string]time.Time
}

// asker is what asking needs of a router.
type asker interface {
	Offers(ctx context.Context) ([]router.Offer, error)
	Ask(ctx context.Context, component string, payload *stanza.Element) (*stanza.Element, error)
}

// check goes over those who offer, begun at a random one, until one decides.
func (a *asking) check(ctx context.Context, r asker, q passwordQuestion) (answer, error) {
	offers, err := r.Offers(ctx)
	if err != nil {
		return answer{Verdict: undecided}, err
	}
	if len(offers) == 0 {
		return answer{Verdict: unasked}, nil
	}
	home, ok := a.attempts.begin(q.User, q.From)
	if !ok {
		return answer{Verdict: tooMany}, nil
	}
	said := answer{Verdict: undecided}
	for _, o := range a.order(offers) {
		var v verdict
		if v, err = a.ask(ctx, r, o, q); v != undecided {
			said = answer{v, o.Name}
		}
		if v != undecided || err != nil || ctx.Err() != nil {
			break
		}
	}
	a.attempts.end(q.User, q.From, home, said.Verdict)
	return said, err
}

// ask asks one of them. The error is that of a router whose leadership has ended
// meanwhile: another leader can be asked.
func (a *asking) ask(ctx context.Context, r asker, o router.Offer, q passwordQuestion) (verdict, error) {
	e, err := authenticator.Check(o.Key, q.User, config.Secret(q.Password))
	if err != nil {
		return undecided, nil
	}
	ctx, cancel := context.WithTimeout(ctx, askWait)
	defer cancel()
	answer, err := r.Ask(ctx, o.Name, e)
	if errors.Is(err, router.ErrStopped) {
		return undecided, err
	}
	ok, decided := false, false
	if err == nil {
		ok, decided = authenticator.ReadVerdict(answer)
	}
	a.note(o.Name, decided)
	switch {
	case !decided:
		return undecided, nil
	case ok:
		return right, nil
	}
	return wrong, nil
}

// order begins at a random one; those who have not answered lately come last.
func (a *asking) order(offers []router.Offer) []router.Offer {
	rand.Shuffle(len(offers), func(i, j int) { offers[i], offers[j] = offers[j], offers[i] })
	a.mu.Lock()
	defer a.mu.Unlock()
	is := func(o router.Offer) int {
		if t, ok := a.silent[o.Name]; ok && time.Since(t) < shunned {
			return 1
		}
		return 0
	}
	slices.SortStableFunc(offers, func(x, y router.Offer) int { return is(x) - is(y) })
	return offers
}

func (a *asking) note(name string, answered bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if answered {
		delete(a.silent, name)
		return
	}
	if a.silent == nil {
		a.silent = map[string]time.Time{}
	}
	a.silent[name] = time.Now()
}
