package router

import (
	"context"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// memory is a store in memory, for tests of time.
type memory struct {
	mu       sync.Mutex
	accounts map[string]bool
	bridges  map[string]bool
	friends  map[string][]store.Entry
	inbox    map[string][]store.Message
	marks    map[link.SessionID]store.SessionMark
	last     link.Item
	applies  int
}

func newMemory(accounts ...string) *memory {
	m := &memory{accounts: map[string]bool{}, bridges: map[string]bool{}, friends: map[string][]store.Entry{},
		inbox: map[string][]store.Message{}, marks: map[link.SessionID]store.SessionMark{}}
	for _, a := range accounts {
		m.accounts[a] = true
	}
	return m
}

// befriend lets two accounts see each other.
func (m *memory) befriend(a, b string) {
	m.friends[a] = append(m.friends[a], store.Entry{Contact: b + "@" + domain, From: true, To: true})
	m.friends[b] = append(m.friends[b], store.Entry{Contact: a + "@" + domain, From: true, To: true})
}

func (m *memory) Apply(_ context.Context, ops ...store.Op) (rs []store.Result, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.applies++
	for _, op := range ops {
		rs = append(rs, m.apply(op))
	}
	return rs, nil
}

func (m *memory) apply(op store.Op) store.Result {
	switch o := op.(type) {
	case *store.MessagePut:
		switch {
		case m.marks[o.Session].Seq >= o.Seq:
			return store.Result{Again: true}
		case !m.accounts[o.Account]:
			return store.Result{Err: problem.New(problem.UserUnknown, "name", o.Account)}
		}
		m.last++
		mark := store.SessionMark{ID: o.Session, From: o.Seq, Seq: o.Seq, Stamp: o.Stamp}
		if old, ok := m.marks[o.Session]; ok && o.Seq == old.Seq+1 {
			mark.From = old.From
		}
		m.marks[o.Session] = mark
		m.inbox[o.Account] = append(m.inbox[o.Account], store.Message{Item: m.last, Resource: o.Resource, Stamp: o.Stamp, Stanza: o.Stanza})
		return store.Result{Item: m.last}
	case *store.Delivered:
		m.inbox[o.Account] = slices.DeleteFunc(m.inbox[o.Account], func(v store.Message) bool { return slices.Contains(o.Items, v.Item) })
	case *store.SessionEnd:
		for _, id := range o.IDs {
			delete(m.marks, id)
		}
	case *store.AccountDel:
		delete(m.accounts, o.Name)
	}
	return store.Result{}
}

func (m *memory) Account(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.accounts[name]
}

func (m *memory) MayLogIn(name string) bool { return m.Account(name) }

// News is nothing: who is elsewhere is for the real store.
func (m *memory) News(store.Listing) (*store.AccountsListed, error) { return nil, nil }

func (m *memory) CallBridge(name string) (store.CallBridge, bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return store.CallBridge{Name: name}, m.bridges[name], nil
}

func (m *memory) Roster(account string) ([]store.Entry, uint64, error) {
	return m.friends[account], 1, nil
}

func (m *memory) Entry(account, contact string) (store.Entry, error) {
	for _, e := range m.friends[account] {
		if e.Contact == contact {
			return e, nil
		}
	}
	return store.Entry{Contact: contact}, nil
}

func (m *memory) Inbox(account string, after link.Item, limit int) (ms []store.Message, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.inbox[account] {
		if v.Item > after && len(ms) < limit {
			ms = append(ms, v)
		}
	}
	return ms, nil
}

func (m *memory) Pending(account string) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.inbox[account]), nil
}

func (m *memory) Session(id link.SessionID) (mark store.SessionMark, ok bool, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	mark, ok = m.marks[id]
	return mark, ok, nil
}

func (m *memory) Sessions() (ms []store.SessionMark, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, v := range m.marks {
		ms = append(ms, v)
	}
	return ms, nil
}

// put puts a message in an inbox as another leader would have.
func (m *memory) put(account, id string) link.Item {
	m.mu.Lock()
	defer m.mu.Unlock()
	text := stanza.New(stanza.NSClient, "message", "to", account+"@"+domain, "id", id).Append(nil, "")
	return m.apply(&store.MessagePut{Session: newRef().ID, Seq: 1, Account: account, Stamp: time.Now(), Stanza: text}).Item
}

// inMemory runs a router that has not settled, in a time of its own.
func inMemory(t *testing.T, m *memory, f func(t *testing.T, w *world)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &world{t: t, r: New(Config{Domain: domain}, Deps{Store: m, Log: discard})}
		stop := w.run()
		defer func() { stop() }()
		f(t, w)
	})
}

// run runs w.r.
func (w *world) run() (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	r := w.r
	go func() { done <- r.Run(ctx) }()
	return func() {
		cancel()
		if err := <-done; err != nil {
			w.t.Error(err)
		}
	}
}

// attach announces a session to the router; the peer is its edge.
func (w *world) attach(s link.Session) *peer {
	p := &peer{w: w, ref: s.Ref, jid: s.JID, seq: s.Confirmed, last: s.Last}
	w.r.Attach(s, p)
	return p
}

// attached is the state of a session that another leader has had.
func attached(address string, m memo) link.Session {
	j, err := jid.Parse(address)
	if err != nil {
		panic(err)
	}
	s := link.Session{Ref: newRef(), JID: j, Memo: m.encode()}
	if j.Local() == "" {
		s.Kind = link.Component
	}
	return s
}

// here is the memo of a session that is available.
func here(address string) memo {
	return memo{presence: stanza.New(stanza.NSClient, "presence", "from", address)}
}

// now returns what a peer has got, once the router is idle.
func (p *peer) now() []string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	lines := []string{}
	for _, d := range p.got {
		lines = append(lines, string(d.Bytes))
	}
	p.got = nil
	return lines
}

func (p *peer) over() string {
	synctest.Wait()
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.ended
}
