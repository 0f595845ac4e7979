package qemu_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/qemu/qemutest"
	"parley/services/xmpp/realclient"
)

// TestArticleCluster types the article's steps on three appliances that share
// one certificate, and does step 9 and the trouble section. Then members are
// reset and join again, real clients talk across the nodes, and a power cut
// takes the leader.
func TestArticleCluster(t *testing.T) {
	b := bindings{"<trust bundle>": "abhiall.cer"}
	for _, name := range nodeNames {
		b["<key of "+name+">"], b["<certificate of "+name+">"] = "abhiall.key", "abhiall.cer"
	}
	articleCluster(t, "article-shared.txt", b)
}

// TestArticleClusterOfThreeCertificates is the same with a certificate for each
// node. As it takes minutes more, it runs only by a target of its own.
func TestArticleClusterOfThreeCertificates(t *testing.T) {
	qemutest.ISO(t)
	if os.Getenv("PARLEY_ARTICLE") != "each" {
		t.Skip("run it by: make test-article")
	}
	b := bindings{"<trust bundle>": "xmpp-cluster-bundle.crt"}
	for _, name := range nodeNames {
		b["<key of "+name+">"], b["<certificate of "+name+">"] = name+".key", name+".cer"
	}
	r := articleCluster(t, "article-each.txt", b)
	r.resetLeader()
}

func articleCluster(t *testing.T, article string, b bindings) *rack {
	r := newRack(t)
	dir := t.TempDir()
	r.play(article, dir, b)
	r.play("accounts.txt", dir, b)
	r.callBridges(dir, b)

	// The article's trouble 3: a member is reset and joins again. First it can
	// tell the others, then it cannot.
	r.play("reset.txt", dir, b)
	r.play("rejoin.txt", dir, b)
	cb3 := r.node("cb3")
	r.lan.Unplug(cb3.name)
	cb3.screen = cb3.vm.Console()
	r.play("reset-alone.txt", dir, b)
	r.lan.Plug(cb3.name)
	cb3.screen = nil
	r.play("rejoin.txt", dir, b)

	// The serial console stays where it is when the address changes.
	r.serveDHCP(dir, cb3, "10.106.81.42")
	cb3.screen = cb3.vm.Console()
	r.play("address.txt", dir, b)
	cb3.screen = nil

	for round := range kills(t, 1) {
		r.loseLeader(round, filepath.Join(dir, "certall.cer"), b["<secret of cb4>"])
	}
	return r
}

// resetLeader resets the leader while it is a member, and has it join the
// cluster of the others, with certificates named after the node.
func (r *rack) resetLeader() {
	r.t.Helper()
	leader, other, _ := r.leader()
	leader.play(step{command: "xmpp reset", output: []string{"anything else to stop: Y", "(typed) Y"}}, nil)
	for _, command := range []string{
		"xmpp domain tptac9.com", "xmpp listen a", fmt.Sprintf("xmpp certs %[1]s.key %[1]s.cer certall.cer", leader.name),
		"xmpp cluster trust xmpp-cluster-bundle.crt", "xmpp cluster enable", "xmpp enable", "xmpp cluster join " + other.address,
	} {
		if output, status := leader.exec(command); status != 0 {
			r.t.Fatalf("%s> %s: exit status %d\n%s", leader.name, command, status, output)
		}
	}
	r.awaitWhole(leader)
}

// loseLeader has clients talk on all nodes, cuts the power of the leader, and
// has it come back.
func (r *rack) loseLeader(round int, ca, secret string) {
	t := r.t
	leader, other, third := r.leader()
	ada := other.client(realclient.Slixmpp, "ada", ca)
	ada.AwaitOnline()
	bob := third.client(realclient.Aioxmpp, "bob", ca)
	bob.AwaitOnline()
	eve := leader.client(realclient.Slixmpp, "eve", ca)
	eve.AwaitOnline()
	bridge := other.start(realclient.Config{
		Library: realclient.Slixmpp, Component: true, JID: "cb4.tptac9.com", Password: secret, Host: other.address, Port: 5223, CA: ca,
	})
	bridge.AwaitKind("connected")

	ada.Do("subscribe", "bob@tptac9.com")
	ada.Await("bob's presence", presenceOf("bob"))
	bob.Await("ada's presence", presenceOf("ada"))
	numbered := func(who string, i int) string { return fmt.Sprintf("%s %d in round %d", who, i, round) }
	talk := func(body string, from *realclient.Client, to *realclient.Client, address string) {
		t.Helper()
		body = fmt.Sprintf("%s in round %d", body, round)
		from.Do("send", address, body, body)
		to.Await(body, said(body))
	}
	talk("from ada to bob", ada, bob, "bob@tptac9.com")
	talk("from bob to eve", bob, eve, "eve@tptac9.com")
	talk("from eve to ada", eve, ada, "ada@tptac9.com")
	talk("from the bridge to bob", bridge, bob, "bob@tptac9.com")

	// ada, on a follower, and eve, on the leader, write to bob all the while.
	arrivals := watch(bob)
	stop := make(chan struct{})
	var writing sync.WaitGroup
	writing.Go(func() {
		for i := 0; ; i++ {
			id := numbered("ada", i)
			ada.Do("send", "bob@tptac9.com", id, id)
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	})
	defer writing.Wait()
	const certain, more = 20, 100
	for i := range certain + more {
		id := numbered("eve", i)
		eve.Do("send", "bob@tptac9.com", id, id)
	}
	eve.Await("acknowledgements", func(e realclient.Event) bool {
		return e.Event == "acked" && e.ID == numbered("eve", certain-1)
	})
	cut := time.Now()
	leader.powerCut()
	time.Sleep(3 * time.Second) // traffic while there is no leader, and under the next
	acknowledged := eve.IDs("acked")
	eve.Kill()
	close(stop)
	writing.Wait()

	talk("the last from ada", ada, bob, "bob@tptac9.com")
	gap := arrivals.stop(cut)
	sent := ada.IDs("acked")
	for _, id := range append(acknowledged, sent...) {
		if strings.HasPrefix(id, "ada ") || strings.HasPrefix(id, "eve ") {
			bob.Await("acknowledged message "+id, said(id))
		}
	}
	for name, c := range map[string]*realclient.Client{"ada": ada, "bob": bob, "the Call Bridge": bridge} {
		if n := c.Count(func(e realclient.Event) bool { return e.Event == "disconnected" || e.Event == "stream-error" }); n != 0 {
			t.Errorf("%s, on a living node, lost the stream", name)
		}
	}
	t.Logf("power cut of the leader: a gap of %v in delivery; %d of ada's and %d of eve's messages were acknowledged, none lost",
		gap.Round(time.Millisecond), len(sent), len(acknowledged))

	elsewhere := other.client(realclient.Slixmpp, "eve", ca)
	elsewhere.AwaitOnline()
	talk("from bob to eve elsewhere", bob, elsewhere, "eve@tptac9.com")
	elsewhere.Do("quit")
	elsewhere.AwaitKind("disconnected")

	leader.powerOn()
	began := time.Now()
	r.awaitWhole(leader)
	t.Logf("in the cluster again %.1f s after its login prompt", time.Since(began).Seconds())
	r.awaitMended()
	back := leader.client(realclient.Slixmpp, "eve", ca)
	back.AwaitOnline()
	talk("from bob to eve again", bob, back, "eve@tptac9.com")
	talk("from eve to ada again", back, ada, "ada@tptac9.com")
	for _, c := range []*realclient.Client{ada, bob, back, bridge} {
		c.Do("quit")
		c.AwaitKind("disconnected")
	}
}

func presenceOf(user string) func(realclient.Event) bool {
	return func(e realclient.Event) bool {
		return e.Event == "presence" && e.Type == "available" && strings.HasPrefix(e.From, user+"@tptac9.com/")
	}
}

func said(body string) func(realclient.Event) bool {
	return func(e realclient.Event) bool { return e.Event == "message" && e.Body == body }
}

// leader returns the one that leads, and the others.
func (r *rack) leader() (leader, other, third *node) {
	r.t.Helper()
	deadline := time.Now().Add(settle)
	for {
		for i, n := range r.nodes {
			if output, _ := n.exec("xmpp cluster status"); strings.HasPrefix(output, "State: LEADER") {
				return n, r.nodes[(i+1)%3], r.nodes[(i+2)%3]
			}
		}
		if time.Now().After(deadline) {
			r.t.Fatal("no node leads")
		}
	}
}

// awaitWhole waits until the node and all others list each other, and all are
// reachable and without lag.
func (r *rack) awaitWhole(n *node) {
	r.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		output, _ := n.exec("xmpp cluster status")
		if strings.Count(output, "reachable for") == 2 && !strings.Contains(output, "unreachable") && strings.Contains(output, "stands the failure of 1 more") {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s is not in the cluster again:\n%s", n.name, output)
		}
		time.Sleep(300 * time.Millisecond)
	}
	want := []string{"10.106.81.30:5222", "10.106.81.31:5222", "10.106.81.32:5222"}
	for _, n := range r.nodes {
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(n.peers()))); diff != "" {
			r.t.Errorf("%s lists (-want +got):\n%s", n.name, diff)
		}
	}
}

// arrivals are when messages came to a client, to a few milliseconds.
type arrivals struct {
	end   chan struct{}
	ended chan struct{}
	times []time.Time
}

func watch(c *realclient.Client) *arrivals {
	a := &arrivals{end: make(chan struct{}), ended: make(chan struct{})}
	go func() {
		defer close(a.ended)
		seen := 0
		for last := false; ; {
			n := c.Count(func(e realclient.Event) bool { return e.Event == "message" })
			if n > seen {
				seen = n
				a.times = append(a.times, time.Now())
			}
			if last {
				return
			}
			select {
			case <-a.end:
				last = true
			case <-time.After(3 * time.Millisecond):
			}
		}
	}()
	return a
}

// stop returns the longest pause that ended after an instant.
func (a *arrivals) stop(after time.Time) time.Duration {
	close(a.end)
	<-a.ended
	var longest time.Duration
	for i := 1; i < len(a.times); i++ {
		if a.times[i].After(after) {
			longest = max(longest, a.times[i].Sub(a.times[i-1]))
		}
	}
	return longest
}
