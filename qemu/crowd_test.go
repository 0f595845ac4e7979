package qemu_test

import (
	"fmt"
	"strings"
	"time"

	"parley/services/xmpp/realclient"
)

// crowd are clients that talk while something becomes of the leader: eve is on
// it; ada, and bob, whom both write to, are on the others.
type crowd struct {
	*rack
	// title makes what is said differ from what other crowds say.
	title, ca             string
	leader, other, third  *node
	ada, bob, eve, bridge *realclient.Client
}

// gather has the clients log in, and a component that is not built in.
func (r *rack) gather(title, ca, secret string) *crowd {
	r.t.Helper()
	c := &crowd{rack: r, title: title, ca: ca}
	c.leader, c.other, c.third = r.leader()
	c.ada = c.other.client(realclient.Slixmpp, "ada", ca)
	c.bob = c.third.client(realclient.Aioxmpp, "bob", ca)
	c.eve = c.leader.client(realclient.Slixmpp, "eve", ca)
	c.bridge = c.other.start(realclient.Config{
		Library: realclient.Slixmpp, Component: true, JID: "cb4.tptac9.com", Password: secret, Host: c.other.address, Port: 5223, CA: ca,
	})
	for _, client := range []*realclient.Client{c.ada, c.bob, c.eve} {
		client.AwaitOnline()
	}
	c.bridge.AwaitKind("connected")
	c.ada.Do("subscribe", "bob@tptac9.com")
	c.ada.Await("bob's presence", presenceOf("bob"))
	c.bob.Await("ada's presence", presenceOf("ada"))
	c.talk("from ada to bob", c.ada, c.bob, "bob@tptac9.com")
	c.talk("from bob to eve", c.bob, c.eve, "eve@tptac9.com")
	c.talk("from eve to ada", c.eve, c.ada, "ada@tptac9.com")
	c.talk("from the bridge to bob", c.bridge, c.bob, "bob@tptac9.com")
	return c
}

// talk has one say something to another.
func (c *crowd) talk(body string, from, to *realclient.Client, address string) {
	c.t.Helper()
	body += ", " + c.title
	from.Do("send", address, body, body)
	to.Await(body, said(body))
}

// row is what all messages of a client's row to bob begin with.
func (c *crowd) row(user string) string { return user + ", " + c.title }

// writes has a client write to bob all the while.
func (c *crowd) writes(user string, client *realclient.Client) {
	client.Do("steady", "bob@tptac9.com", c.row(user), "20")
}

// halts ends that row, and waits until the last of it is acknowledged.
func (c *crowd) halts(user string, client *realclient.Client) {
	c.t.Helper()
	client.Do("halt", c.row(user))
	n := client.Await("the end of its row", func(e realclient.Event) bool { return e.Event == "halted" && e.ID == c.row(user) }).Count
	client.Await("the last acknowledgement", acknowledged(fmt.Sprintf("%s-%d", c.row(user), n-1)))
}

// nothingLost waits until bob has all of a user's row that is acknowledged, and
// says how many that are.
func (c *crowd) nothingLost(user string, client *realclient.Client) int {
	c.t.Helper()
	n := 0
	for _, id := range client.IDs("acked") {
		if strings.HasPrefix(id, c.row(user)+"-") {
			c.bob.Await("acknowledged message "+id, said(id))
			n++
		}
	}
	return n
}

// gap is the longest pause in ada's row, as bob sees it, that ended after an
// instant.
func (c *crowd) gap(after time.Time) (longest time.Duration) {
	last := int64(0)
	for _, e := range c.bob.Events(func(e realclient.Event) bool {
		return e.Event == "message" && strings.HasPrefix(e.Body, c.row("ada")+"-")
	}) {
		if last != 0 && e.At > after.UnixNano() {
			longest = max(longest, time.Duration(e.At-last))
		}
		last = e.At
	}
	return longest
}

// undisturbed checks that those on living nodes have kept their streams.
func (c *crowd) undisturbed() {
	c.t.Helper()
	for name, client := range map[string]*realclient.Client{"ada": c.ada, "bob": c.bob, "the Call Bridge": c.bridge} {
		if client.Count(lost) != 0 {
			c.t.Errorf("%s, on a living node, lost the stream", name)
		}
	}
}

// loseLeader has clients talk on all nodes, cuts the power of the leader, and
// has it come back.
func (r *rack) loseLeader(title, ca, secret string) {
	t := r.t
	t.Helper()
	c := r.gather(title, ca, secret)
	c.writes("ada", c.ada)
	const certain, more = 20, 100
	eves := func(i int) string { return fmt.Sprintf("%s-%d", c.row("eve"), i) }
	for i := range certain + more {
		c.eve.Do("send", "bob@tptac9.com", eves(i), eves(i))
	}
	c.eve.Await("acknowledgements", acknowledged(eves(certain-1)))
	cut := time.Now()
	c.leader.powerCut()
	time.Sleep(3 * time.Second) // traffic while there is no leader, and under the next
	c.eve.Kill()
	c.halts("ada", c.ada)
	c.talk("the last from ada", c.ada, c.bob, "bob@tptac9.com")
	gap := c.gap(cut)
	adas, others := c.nothingLost("ada", c.ada), c.nothingLost("eve", c.eve)
	c.undisturbed()
	t.Logf("power cut of the leader: a gap of %v in delivery; %d of ada's and %d of eve's messages were acknowledged, none lost",
		gap.Round(time.Millisecond), adas, others)

	if r.shared {
		// There is one Call Bridge less to ask the LDAP server.
		began := time.Now()
		alice := c.third.client(realclient.Slixmpp, "alice", ca)
		alice.AwaitOnline()
		t.Logf("an LDAP user is logged in after %.1f s", time.Since(began).Seconds())
		c.talk("from an LDAP user to bob", alice, c.bob, "bob@tptac9.com")
		r.leave(alice)
	}

	elsewhere := c.other.client(realclient.Slixmpp, "eve", ca)
	elsewhere.AwaitOnline()
	c.talk("from bob to eve elsewhere", c.bob, elsewhere, "eve@tptac9.com")
	r.leave(elsewhere)

	c.leader.powerOn()
	began := time.Now()
	r.awaitWhole(c.leader)
	t.Logf("in the cluster again %.1f s after its login prompt", time.Since(began).Seconds())
	r.awaitMended()
	if r.shared {
		c.leader.awaitDatabase()
	}
	back := c.leader.client(realclient.Slixmpp, "eve", ca)
	back.AwaitOnline()
	c.talk("from bob to eve again", c.bob, back, "eve@tptac9.com")
	c.talk("from eve to ada again", back, c.ada, "ada@tptac9.com")
	r.leave(c.ada, c.bob, back, c.bridge)
}

// freezeLeader has clients talk on all nodes, and the leader stand still for a
// while, in which the others choose another. It does not know of that when it
// goes on.
func (r *rack) freezeLeader(title, ca, secret string) {
	t := r.t
	t.Helper()
	c := r.gather(title, ca, secret)
	c.writes("ada", c.ada)
	c.writes("eve", c.eve)
	c.eve.Await("an acknowledgement", acknowledged(c.row("eve")+"-20"))
	began := time.Now()
	if err := c.leader.vm.Freeze(r.ctx); err != nil {
		t.Fatal(err)
	}
	time.Sleep(3 * time.Second)
	c.bob.Await("a message by another leader", func(e realclient.Event) bool {
		return strings.HasPrefix(e.Body, c.row("ada")+"-") && e.At > began.Add(time.Second).UnixNano()
	})
	if err := c.leader.vm.Thaw(r.ctx); err != nil {
		t.Fatal(err)
	}
	frozen := time.Since(began)
	r.awaitWhole(c.leader)
	c.halts("ada", c.ada)
	c.halts("eve", c.eve)
	adas, eves := c.nothingLost("ada", c.ada), c.nothingLost("eve", c.eve)
	c.undisturbed()
	t.Logf("the leader was frozen for %v: a gap of %v in delivery; %d of ada's and %d of eve's messages were acknowledged, none lost; eve's stream broke %d times",
		frozen.Round(time.Millisecond), c.gap(began).Round(time.Millisecond), adas, eves, c.eve.Count(lost))
	r.leave(c.ada, c.bob, c.eve, c.bridge)
}

func presenceOf(user string) func(realclient.Event) bool {
	return func(e realclient.Event) bool {
		return e.Event == "presence" && e.Type == "available" && strings.HasPrefix(e.From, user+"@tptac9.com/")
	}
}

func said(body string) func(realclient.Event) bool {
	return func(e realclient.Event) bool { return e.Event == "message" && e.Body == body }
}

func acknowledged(id string) func(realclient.Event) bool {
	return func(e realclient.Event) bool { return e.Event == "acked" && e.ID == id }
}

// lost is the end of a stream.
func lost(e realclient.Event) bool { return e.Event == "disconnected" || e.Event == "stream-error" }
