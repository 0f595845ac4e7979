package node_test

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/xmpp/client"
	"parley/services/xmpp/stanza"
)

// TestCallBridgeOutlivesItsServers kills the server that a Call Bridge is
// connected to, again and again (BRIDGE_KILLS, 5; the last two are not killed
// but frozen, as one that loses its power says nothing either), while a client asks the
// bridge for answers: it is connected to another one within 2 s each time, and
// what the client was acknowledged is answered.
func TestCallBridgeOutlivesItsServers(t *testing.T) {
	kills := 5
	if s := os.Getenv("BRIDGE_KILLS"); s != "" {
		var err error
		if kills, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	// A connection that is lost within settled is not made anew at once.
	const most, settled = 2 * time.Second, 2 * time.Second
	c, secrets := newCluster(t, 3, "ada")
	bridge := c.bridgeAlone(secrets[0])
	asker := c.startAsker("ada", "cb1")

	var took, gaps []time.Duration
	late, planned := 0, c.leaderships()
	for n := range kills {
		victim, since := bridge.server()
		// Each second one shall lead; a leader that is restarted hands over
		// to either of the others.
		for range 4 {
			if n%2 == 0 || c.leader() == victim {
				break
			}
			c.leader().mmp("xmpp", "restart")
			planned++
			c.awaitMembers(c.nodes...)
		}
		role := "follower"
		if victim == c.leader() {
			role = "leader"
			planned++
		}
		asker.awaitAnswer(t, since.Add(settled))
		killed := time.Now()
		end, again := victim.kill, func() { victim.start() }
		if n >= kills-2 {
			end, again = victim.freeze, victim.thaw
			role = "frozen " + role
		}
		end()
		next, at := bridge.awaitOther(victim, since)
		answered := asker.awaitAnswer(t, killed)
		took, gaps = append(took, at.Sub(killed)), append(gaps, answered.Sub(killed))
		t.Logf("kill %d: %s, the %s; on %s after %v, an answer after %v", n+1, victim.address, role, next.address, took[n], gaps[n])
		if took[n] > most {
			// A machine that does other things freezes nodes.
			late++
		}
		again()
		c.awaitMembers(c.nodes...)
	}
	asker.finish(t, c.leaderships()-planned)
	bridge.keepsThroughItsOwn(t, 3*time.Second)
	slices.Sort(took)
	slices.Sort(gaps)
	t.Logf("connected again: median %v, worst %v; an answer again: median %v, worst %v", took[kills/2], took[kills-1], gaps[kills/2], gaps[kills-1])
	if late >= attempts {
		t.Errorf("%d of %d times it took more than %v", late, kills, most)
	}
}

// standalone is a node that has nothing but a Call Bridge.
type standalone struct {
	*program
	c   *cluster
	api *callbridgeapi.Client
}

// bridgeAlone starts the Call Bridge cb1, which finds the cluster's nodes by
// SRV, in their order.
func (c *cluster) bridgeAlone(secret string) *standalone {
	c.t.Helper()
	p := newProgram(c.t)
	p.start()
	p.put(c.root)
	for i, n := range c.nodes {
		name := fmt.Sprintf("cb%d.%s.", i+1, domain)
		p.mmp("dns", "add", "rr", fmt.Sprintf("_xmpp-component._tcp.%s. 86400 IN SRV %d 0 5223 %s", domain, 10*i, name))
		p.mmp("dns", "add", "rr", name+" 86400 IN A "+n.address)
	}
	p.mmp("callbridge", "xmpp", "name", "cb1")
	p.mmp("callbridge", "xmpp", "domain", domain)
	p.mmp("callbridge", "trust", "certall.cer")
	p.mmpWith(secret+"\n", "callbridge", "xmpp", "secret")
	p.mmp("callbridge", "enable")
	return &standalone{p, c, callbridgeapi.NewClient(config.FolderPaths(p.state).Socket("callbridge"))}
}

// server is the node that the bridge is connected to, and since when.
func (b *standalone) server() (*program, time.Time) {
	b.t.Helper()
	return b.awaitOther(nil, time.Time{})
}

// keepsThroughItsOwn freezes the bridge itself for a time, which is not the
// server's silence.
func (b *standalone) keepsThroughItsOwn(t *testing.T, frozen time.Duration) {
	t.Helper()
	_, before := b.server()
	b.freeze()
	time.Sleep(frozen)
	b.thaw()
	// Were it counted, the connection would be given up at once.
	time.Sleep(time.Second)
	if _, after := b.server(); !after.Equal(before) {
		t.Errorf("after it was frozen for %v itself the bridge has a connection since %v; want it kept since %v", frozen, after, before)
	}
}

// awaitOther waits for a connection that is later than since, to a node other
// than gone.
func (b *standalone) awaitOther(gone *program, since time.Time) (*program, time.Time) {
	b.t.Helper()
	at := -1
	var from time.Time
	for end := time.Now().Add(30 * time.Second); at < 0; time.Sleep(5 * time.Millisecond) {
		s, err := b.api.Status(b.t.Context())
		if err != nil {
			b.t.Fatal(err)
		}
		if s.State == callbridgeapi.Connected && s.Since.After(since) {
			from = s.Since
			at = slices.IndexFunc(b.c.nodes, func(p *program) bool { return p != gone && p.address == s.Address.Addr().String() })
		}
		if time.Now().After(end) {
			b.t.Fatalf("not connected: %+v", s)
		}
	}
	return b.c.nodes[at], from
}

// asker is a client that asks a component for an answer each few milliseconds.
type asker struct {
	stop func()

	mu sync.Mutex
	// sent are when requests were sent, in order; acked those that a server
	// has acknowledged.
	sent  []time.Time
	acked map[string]bool
	// answers to each request, and refusals by their text.
	answers  map[string]int
	refusals []string
	// answered is the latest request that has an answer, at when it came.
	answered int
	at       time.Time
}

// startAsker starts one on the nodes, with the last one first.
func (c *cluster) startAsker(user, component string) *asker {
	c.t.Helper()
	root, err := os.ReadFile(c.root)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := client.Config{Domain: domain, User: user, Password: "secret of " + user, Resource: "asker", Roots: x509.NewCertPool(), Attempt: time.Second,
		// Its own node may be the one that is frozen.
		Silence: time.Second}
	cfg.Roots.AppendCertsFromPEM(root)
	for _, n := range slices.Backward(c.nodes) {
		cfg.Addresses = append(cfg.Addresses, n.address+":5222")
	}
	a := &asker{acked: map[string]bool{}, answers: map[string]int{}, answered: -1}
	x := client.New(cfg, client.Deps{Received: a.received, Acked: func(id string) {
		a.mu.Lock()
		defer a.mu.Unlock()
		a.acked[id] = true
	}, Changed: func(e client.Event) { c.t.Logf("client: %v at %s %v", e.Kind, e.Addr, e.Err) }})
	ctx, cancel := context.WithCancel(context.Background())
	run, end := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := x.Run(run); err != nil {
			c.t.Errorf("client: %v", err)
		}
	})
	asking := make(chan struct{})
	go func() {
		defer close(asking)
		tick := time.NewTicker(10 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			a.mu.Lock()
			id := strconv.Itoa(len(a.sent))
			a.sent = append(a.sent, time.Now())
			a.mu.Unlock()
			err := x.Send(ctx, stanza.New(stanza.NSClient, "iq", "type", "get", "id", id, "to", component+"."+domain).Add(stanza.New(stanza.NSPing, "ping")))
			if err != nil && !errors.Is(err, context.Canceled) {
				c.t.Errorf("client: %v", err)
				return
			}
		}
	}()
	a.stop = func() {
		cancel()
		<-asking
	}
	c.t.Cleanup(func() {
		a.stop()
		end()
		running.Wait()
	})
	return a
}

func (a *asker) received(e *stanza.Element) {
	a.mu.Lock()
	defer a.mu.Unlock()
	n, err := strconv.Atoi(e.Attr("id"))
	switch {
	case err != nil:
	case e.Attr("type") == "result":
		a.answers[e.Attr("id")]++
		if n > a.answered {
			a.answered, a.at = n, time.Now()
		}
	default:
		a.refusals = append(a.refusals, e.String())
	}
}

// awaitAnswer waits for the answer to a request that was sent after a moment,
// and returns when it came.
func (a *asker) awaitAnswer(t *testing.T, after time.Time) (at time.Time) {
	t.Helper()
	await(t, "an answer of the bridge", func(context.Context) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		if a.answered < 0 || a.sent[a.answered].Before(after) {
			return fmt.Errorf("the last is to request %d of %d; refused: %v", a.answered, len(a.sent), a.refusals)
		}
		at = a.at
		return nil
	})
	return at
}

// leaderships are how often a node of the cluster has become its leader.
func (c *cluster) leaderships() (n int) {
	c.t.Helper()
	for _, p := range c.nodes {
		syslog, err := os.ReadFile(filepath.Join(p.state, "log", "syslog"))
		if err != nil {
			c.t.Fatal(err)
		}
		n += strings.Count(string(syslog), " router: settled ")
	}
	return n
}

// finish ends the asking, and checks that each request that was acknowledged
// has its answer, unless there were elections that the test has not made.
func (a *asker) finish(t *testing.T, unplanned int) {
	t.Helper()
	a.stop()
	if unplanned > 0 {
		t.Logf("%d elections of the machine's own; answers not counted", unplanned)
		return
	}
	await(t, "answers to all", func(context.Context) error {
		a.mu.Lock()
		defer a.mu.Unlock()
		var ids []string
		for id := range a.acked {
			if a.answers[id] == 0 {
				ids = append(ids, id)
			}
		}
		if slices.Sort(ids); len(ids) > 0 {
			return fmt.Errorf("none to %d requests that were acknowledged: %s; refused: %v", len(ids), strings.Join(ids, " "), a.refusals)
		}
		return nil
	})
	a.mu.Lock()
	defer a.mu.Unlock()
	twice := 0
	for _, n := range a.answers {
		if n > 1 {
			twice++
		}
	}
	t.Logf("%d requests, %d acknowledged, all of those answered, %d more than once", len(a.sent), len(a.acked), twice)
	if len(a.refusals) > 0 {
		t.Errorf("%d refusals, as in %s", len(a.refusals), a.refusals[0])
	}
}
