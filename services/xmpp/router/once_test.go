package router

import (
	"maps"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/link"
)

// known is the session as its relay has it when the leader is lost: nothing is
// confirmed, and what the peer has acknowledged has no bytes.
func (p *peer) known(kind link.Kind, acknowledged bool) link.Session {
	p.mu.Lock()
	defer p.mu.Unlock()
	s := link.Session{Ref: p.ref, Kind: kind, JID: p.jid, Last: p.last, Queue: slices.Clone(p.got), Memo: p.memo}
	for i := range s.Queue {
		if acknowledged {
			s.Queue[i].Bytes = nil
		}
	}
	return s
}

// What is not in the log is done once all the same, though its sender's relay
// sends it to the next leader again.
func TestOnce(t *testing.T) {
	const (
		toBob    = "<iq type='get' id='1' to='bob@example.com/b'><ping xmlns='urn:xmpp:ping'/></iq>"
		toBridge = "<iq type='get' id='1' to='cb1.example.com'><ping xmlns='urn:xmpp:ping'/></iq>"
	)
	for _, tt := range []struct {
		name string
		// sent under the first leader are numbered from 1 on; again, if not
		// nil, is what is sent under the second.
		sent, again []string
		// lost: whose relay has none of it.
		lost string
		// anew: the component has connected under the second leader before.
		anew bool
		// first and second are how many stanzas come under each leader.
		first, second map[string]int
	}{
		{name: "an IQ to another", sent: []string{toBob}, first: map[string]int{"bob/b": 1}},
		{name: "an IQ that did not come", sent: []string{toBob}, lost: "bob/b", first: map[string]int{"bob/b": 1}, second: map[string]int{"bob/b": 1}},
		{name: "an IQ of its own", sent: []string{"<iq type='get' id='1' to='ada@example.com/a'><ping xmlns='urn:xmpp:ping'/></iq>"}, first: map[string]int{"ada/a": 1}},
		{name: "an answer", sent: []string{"<iq type='result' id='1' to='bob@example.com/b'/>"}, first: map[string]int{"bob/b": 1}},
		{name: "the server's answer", sent: []string{"<iq type='get' id='1' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>"}, first: map[string]int{"ada/a": 1}},
		{name: "an answer that did not come", sent: []string{"<iq type='get' id='1' to='example.com'><ping xmlns='urn:xmpp:ping'/></iq>"}, lost: "ada/a", first: map[string]int{"ada/a": 1}, second: map[string]int{"ada/a": 1}},
		{name: "an error", sent: []string{"<iq type='get' id='1' to='bob@example.com/x'><ping xmlns='urn:xmpp:ping'/></iq>"}, first: map[string]int{"ada/a": 1}},
		{name: "a headline", sent: []string{"<message type='headline' id='1' to='bob@example.com'><body>x</body></message>"}, first: map[string]int{"bob/b": 1, "bob/c": 1}},
		{name: "a headline that came to one", sent: []string{"<message type='headline' id='1' to='bob@example.com'><body>x</body></message>"}, lost: "bob/c", first: map[string]int{"bob/b": 1, "bob/c": 1}, second: map[string]int{"bob/c": 1}},
		{name: "a chat state", sent: []string{"<message type='chat' to='bob@example.com/b'><composing xmlns='http://jabber.org/protocol/chatstates'/></message>"}, first: map[string]int{"bob/b": 1}},
		{name: "to a component", sent: []string{toBridge}, first: map[string]int{"cb1": 1}},
		// It is given what its old connection has not acknowledged.
		{name: "to a component that has connected anew", sent: []string{toBridge}, anew: true, first: map[string]int{"cb1": 1}, second: map[string]int{"cb1": 1}},
		{name: "an IQ like the one before", sent: []string{toBob, toBob}, first: map[string]int{"bob/b": 2}},
		{name: "in another order", sent: []string{toBob, toBob[:len(toBob)-len("</iq>")] + "<other/></iq>"}, first: map[string]int{"bob/b": 1, "ada/a": 1},
			again: []string{"<iq type='get' id='3' to='bob@example.com/b'><ping xmlns='urn:xmpp:ping'/></iq>"}, second: map[string]int{"bob/b": 1}},
	} {
		for _, acknowledged := range []bool{false, true} {
			if acknowledged && tt.anew {
				continue
			}
			name := tt.name
			if acknowledged {
				name += ", acknowledged"
			}
			t.Run(name, func(t *testing.T) {
				m := newMemory("ada", "bob")
				m.bridges["cb1"] = true
				inMemory(t, m, func(t *testing.T, w *world) {
					w.r.Settled()
					peers := map[string]*peer{"ada/a": w.connect("ada", "a"), "bob/b": w.connect("bob", "b"), "bob/c": w.connect("bob", "c"), "cb1": w.component("cb1")}
					for _, name := range []string{"bob/b", "bob/c"} {
						peers[name].send("<presence/>")
					}
					synctest.Wait()
					states := map[string]link.Session{}
					for name, p := range peers {
						p.now()
						if name == tt.lost {
							states[name] = p.known(p.kind(), acknowledged)
						}
					}
					for _, xml := range tt.sent {
						peers["ada/a"].send(xml)
					}
					synctest.Wait()
					first := map[string]int{}
					for name, p := range peers {
						if _, lost := states[name]; !lost {
							states[name] = p.known(p.kind(), acknowledged)
						}
						if n := len(p.now()); n > 0 {
							first[name] = n
						}
					}
					if diff := cmp.Diff(tt.first, first); diff != "" {
						t.Errorf("under the first leader came (-want +got):\n%s", diff)
					}

					next := &world{t: t, r: New(Config{Domain: domain}, Deps{Store: m, Log: discard})}
					stop := next.run()
					defer stop()
					for name, s := range states {
						s.Detached = tt.anew && name == "cb1"
						s.Confirmed = 0
						if name != "ada/a" {
							s.Confirmed = peers[name].seq
						}
						peers[name] = next.attach(s)
					}
					if tt.anew {
						peers["cb1"] = next.component("cb1")
					}
					again := tt.again
					if again == nil {
						again = tt.sent
					}
					for _, xml := range again {
						peers["ada/a"].send(xml)
					}
					next.r.Settled()
					time.Sleep(SettleMax)
					second := map[string]int{}
					for name, p := range peers {
						if n := len(p.now()); n > 0 {
							second[name] = n
						}
					}
					if want := tt.second; !maps.Equal(want, second) {
						t.Errorf("under the second leader came %v; want %v", second, want)
					}
					if got := peers["ada/a"].confirmed; got != uint64(len(again)) {
						t.Errorf("%d confirmed; want %d", got, len(again))
					}
				})
			})
		}
	}
}

func (p *peer) kind() link.Kind {
	if p.jid.Local() == "" {
		return link.Component
	}
	return link.Client
}
