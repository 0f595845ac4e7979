package router

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/store"
)

// fleet is some nodes with their relays, under one leader after another, and
// devices whose clients have XEP-0198 and resume.
type fleet struct {
	t     testing.TB
	store *store.Store
	f     *faulty
	r     *Router
	stop  func()

	// mu guards the nodes and devices; the router's goroutine takes it.
	mu      sync.Mutex
	nodes   []*node
	devices []*device
	// home is the leader's own node.
	home *node
}

// node is one node's relay: what it knows of its sessions.
type node struct {
	fleet  *fleet
	wire   *cable
	copies map[link.SessionID]*copied
	// early are deliveries of a session whose Resume is not answered yet.
	early map[link.Ref][]link.Delivery
}

// cable is one connection of a node to the leader.
type cable struct {
	node *node
	cut  bool
}

// copied is a relay's copy of a session.
type copied struct {
	link.Session
	// sent stanzas are not confirmed; they are of number Confirmed+1 on.
	sent []string
	// delivered is what the peer has. The Queue begins before it.
	delivered uint64
	device    *device
	// left: the client has gone from the connection, unnoticed.
	left bool
	// kept: the leader has handed it over; what its lost node has sent may yet
	// be confirmed.
	kept bool
}

// live says that what is told to the node's edge comes to the client.
func (c *copied) live() bool { return !c.Detached && !c.left }

// device is a client.
type device struct {
	fleet *fleet
	name  string
	ref   link.Ref
	jid   jid.JID
	// node that it is connected to, nil while it is not.
	node *node
	// out is Enable.Out, h what came since.
	out uint64
	h   uint32
	// unacked stanzas were sent; first is the number of the first of them.
	unacked []string
	first   uint64
	ended   string

	got []string
	// seen messages, and the last of each sender.
	seen map[string]int
	last map[string]int
	// lacking are deliveries that a mirror did not know of: they may come again
	// to a session that is bound anew, and messages of again have.
	lacking []string
	again   map[string]int
	shared  bool
	// confirmed messages.
	confirmed []string
}

func newFleet(t testing.TB, nodes int, accounts ...string) *fleet {
	w := newWorld(t, accounts...)
	fl := &fleet{t: t, store: w.store, f: &faulty{Store: w.store}}
	for range nodes {
		fl.nodes = append(fl.nodes, &node{fleet: fl, copies: map[link.SessionID]*copied{}, early: map[link.Ref][]link.Delivery{}})
	}
	t.Cleanup(func() {
		if fl.stop != nil {
			fl.stop()
		}
	})
	fl.elect(fl.nodes[0])
	fl.settle(nil)
	return fl
}

// keeper is who is left the sessions of a node that is lost.
func (fl *fleet) keeper(lost *node) link.Keeper {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if fl.home == lost || fl.home.wire == nil {
		return nil
	}
	return fl.home.wire
}

// elect replaces the leader by one at home. No node has attached yet.
func (fl *fleet) elect(home *node) {
	if fl.stop != nil {
		fl.stop()
	}
	fl.mu.Lock()
	for _, n := range fl.nodes {
		if n.wire != nil {
			n.wire.cut = true
		}
		n.wire = nil
	}
	r := New(Config{Domain: domain}, Deps{Store: fl.f, Log: slog.New(slog.DiscardHandler)})
	fl.r, fl.home = r, home
	fl.mu.Unlock()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- r.Run(ctx) }()
	fl.stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			fl.t.Error(err)
		}
	})
}

// settle has all nodes attach, in the order of rnd, and settles.
func (fl *fleet) settle(rnd *rand.Rand) {
	order := slices.Clone(fl.nodes)
	if rnd != nil {
		rnd.Shuffle(len(order), func(i, j int) { order[i], order[j] = order[j], order[i] })
	}
	for _, n := range order {
		n.attach()
	}
	fl.r.Settled()
}

func (fl *fleet) sync() {
	fl.t.Helper()
	if _, err := fl.r.Connected(context.Background()); err != nil {
		fl.t.Fatal(err)
	}
}

// attach connects a node with the leader and announces its sessions.
func (n *node) attach() {
	fl := n.fleet
	fl.mu.Lock()
	defer fl.mu.Unlock()
	n.wire = &cable{node: n}
	copies := slices.Collect(func(yield func(*copied) bool) {
		for _, c := range n.copies {
			if !yield(c) {
				return
			}
		}
	})
	for _, c := range copies {
		s := c.Session
		s.Queue = slices.Clone(c.Queue)
		s.Detached = c.Detached && len(c.sent) == 0
		fl.r.Attach(s, n.wire)
		fl.r.Delivered(c.Ref, c.delivered)
	}
	for _, c := range copies {
		for i, xml := range c.sent {
			fl.r.Send(c.Ref, c.Confirmed+1+uint64(i), parse(fl.t, xml))
		}
		if c.Detached && len(c.sent) > 0 {
			fl.r.Detach(c.Ref)
		}
	}
}

// up is the leader for a node that is connected to it. The caller holds mu.
func (n *node) up(f func(*Router)) {
	if n.wire != nil && !n.wire.cut {
		f(n.fleet.r)
	}
}

func (w *cable) take(ref link.Ref, f func(*copied)) {
	w.node.fleet.mu.Lock()
	defer w.node.fleet.mu.Unlock()
	if c := w.node.copies[ref.ID]; !w.cut && c != nil && c.Ref == ref {
		f(c)
	}
}

func (w *cable) Deliver(ref link.Ref, d link.Delivery) {
	n := w.node
	n.fleet.mu.Lock()
	defer n.fleet.mu.Unlock()
	switch c := n.copies[ref.ID]; {
	case w.cut:
	case c != nil && c.Ref == ref:
		c.deliver(d)
	default:
		n.early[ref] = append(n.early[ref], d)
	}
}

func (c *copied) deliver(d link.Delivery) {
	if d.N != c.Last+1 {
		c.device.fleet.t.Errorf("%s: delivery %d after %d", c.JID, d.N, c.Last)
	}
	c.Last = d.N
	c.Queue = append(c.Queue, d)
	if c.live() {
		c.device.take(d)
	}
}

func (w *cable) Confirm(ref link.Ref, seq uint64) {
	w.take(ref, func(c *copied) {
		if c.kept {
			c.Confirmed = max(c.Confirmed, seq)
			return
		}
		if seq > c.Confirmed+uint64(len(c.sent)) {
			w.node.fleet.t.Errorf("%s: confirmed %d of %d", c.JID, seq, c.Confirmed+uint64(len(c.sent)))
			return
		}
		if seq > c.Confirmed {
			c.sent = c.sent[seq-c.Confirmed:]
			c.Confirmed = seq
			if c.live() {
				c.device.confirm(seq)
			}
		}
	})
}

func (w *cable) Keep(s link.Session) {
	fl := w.node.fleet
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if w.cut {
		return
	}
	for _, d := range fl.devices {
		if d.ref.ID == s.Ref.ID {
			w.node.copies[s.Ref.ID] = &copied{Session: s, delivered: s.Last - uint64(len(s.Queue)), device: d, kept: true}
		}
	}
}

func (w *cable) Memo(ref link.Ref, memo []byte) { w.take(ref, func(c *copied) { c.Memo = memo }) }

func (w *cable) End(ref link.Ref, condition string) {
	w.take(ref, func(c *copied) {
		delete(w.node.copies, ref.ID)
		w.node.fleet.t.Logf("%s ended at %d: %s, live %v", c.device.name, slices.Index(w.node.fleet.nodes, w.node), condition, c.live())
		if c.live() {
			c.device.node, c.device.ended = nil, condition
		}
	})
}

// take is called with what came over the device's connection.
func (d *device) take(v link.Delivery) {
	if v.N > d.out {
		d.h++
	}
	text := string(v.Bytes)
	d.got = append(d.got, text)
	if v.Item == 0 {
		return
	}
	id := ids([]string{text})[0]
	if d.seen[id]++; d.seen[id] > 1+d.again[id] {
		d.fleet.t.Errorf("%s got %s twice", d.name, id)
	}
	sender, number, _ := strings.Cut(id, "-")
	if n, err := strconv.Atoi(number); err == nil {
		// Of two resources of the same priority one may come later to what
		// the other has not taken.
		if n <= d.last[sender] && !d.shared {
			d.fleet.t.Errorf("%s got %s after %s-%d", d.name, id, sender, d.last[sender])
		}
		d.last[sender] = n
	}
}

// confirm is called with what the client's <a/> covers.
func (d *device) confirm(seq uint64) {
	for ; d.first <= seq; d.first++ {
		d.confirmed = append(d.confirmed, ids(d.unacked[:1])...)
		d.unacked = d.unacked[1:]
	}
}

// open binds a device at a node and enables XEP-0198.
func (fl *fleet) open(n *node, account, resource string) *device {
	fl.t.Helper()
	d := &device{fleet: fl, name: account + "/" + resource, ref: newRef(), first: 1, seen: map[string]int{}, again: map[string]int{}, last: map[string]int{}}
	var err error
	if d.jid, err = jid.New(account, domain, ""); err != nil {
		fl.t.Fatal(err)
	}
	fl.bind(d, n, resource)
	fl.mu.Lock()
	defer fl.mu.Unlock()
	fl.devices = append(fl.devices, d)
	return d
}

// bind opens the device's session at a node.
func (fl *fleet) bind(d *device, n *node, resource string) {
	fl.t.Helper()
	fl.mu.Lock()
	c := &copied{Session: link.Session{Ref: d.ref}, device: d}
	n.copies[d.ref.ID] = c
	fl.mu.Unlock()
	var err error
	if d.jid, err = fl.r.Open(context.Background(), link.Open{Ref: d.ref, JID: d.jid.Bare(), Resource: resource}, n.wire); err != nil {
		fl.t.Fatal(err)
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	d.node, c.JID = n, d.jid
	c.Enabled, c.Enable = true, link.Enable{Out: c.Last, Keep: time.Minute}
	d.out, c.delivered = c.Last, c.Last
	d.h = 0
	fl.r.Enable(d.ref, c.Enable)
}

// send has a connected device send; others keep it for later.
func (d *device) send(xml string) {
	d.fleet.mu.Lock()
	defer d.fleet.mu.Unlock()
	d.unacked = append(d.unacked, xml)
	if d.node == nil {
		return
	}
	c := d.node.copies[d.ref.ID]
	c.sent = append(c.sent, xml)
	d.node.up(func(r *Router) { r.Send(d.ref, c.Confirmed+uint64(len(c.sent)), parse(d.fleet.t, xml)) })
}

// acknowledge has the device say how much it has.
func (d *device) acknowledge() {
	d.fleet.mu.Lock()
	defer d.fleet.mu.Unlock()
	if d.node == nil {
		return
	}
	c := d.node.copies[d.ref.ID]
	c.delivered = d.out + uint64(d.h)
	for len(c.Queue) > 300 && c.Queue[0].N < c.delivered-300 {
		c.Queue = c.Queue[1:]
	}
	d.node.up(func(r *Router) { r.Delivered(d.ref, c.delivered) })
}

// comeBack resumes the device, or binds it anew where it has more than the
// leader knows.
func (d *device) comeBack(n *node) {
	d.fleet.t.Helper()
	err := d.resume(n)
	if err == link.ErrCount && len(d.lacking) > 0 {
		d.bindAnew(n)
	} else if err != nil {
		d.fleet.t.Errorf("%s: Resume = %v", d.name, err)
	}
}

func (d *device) bindAnew(n *node) {
	fl := d.fleet
	fl.mu.Lock()
	for _, id := range ids(d.lacking) {
		d.again[id]++
	}
	d.lacking, d.last = nil, map[string]int{}
	d.ref, d.first, d.out, d.h, d.ended = newRef(), 1, 0, 0, ""
	unacked := d.unacked
	d.unacked = nil
	fl.mu.Unlock()
	fl.bind(d, n, d.jid.Resource())
	if !strings.HasSuffix(d.name, "/s") {
		d.send("<presence/>")
	}
	for _, xml := range unacked {
		d.send(xml)
	}
}

// drop breaks the device's connection; its node notices.
func (d *device) drop() {
	d.fleet.mu.Lock()
	defer d.fleet.mu.Unlock()
	if d.node == nil {
		return
	}
	d.node.copies[d.ref.ID].Detached = true
	d.node.up(func(r *Router) { r.Detach(d.ref) })
	d.node = nil
}

// resume connects the device to another node.
func (d *device) resume(n *node) error {
	fl := d.fleet
	fl.mu.Lock()
	if d.node != nil {
		d.node.copies[d.ref.ID].left = true
		d.node = nil
	}
	w, h := n.wire, d.h
	fl.mu.Unlock()
	s, err := fl.r.Resume(context.Background(), link.Resume{ID: d.ref.ID, Account: d.jid.Bare(), H: h}, w)
	if err != nil {
		return err
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	if s.Ref.ID != d.ref.ID || s.Ref.Epoch <= d.ref.Epoch || s.JID != d.jid || s.Detached || !s.Enabled {
		fl.t.Errorf("Resume = %+v", s)
	}
	d.ref, d.node, d.ended = s.Ref, n, ""
	c := &copied{Session: s, delivered: d.out + uint64(d.h), device: d}
	c.Queue = slices.Clone(s.Queue)
	n.copies[s.Ref.ID] = c
	for i, v := range s.Queue {
		if want := d.out + uint64(d.h) + 1; v.N != want {
			fl.t.Errorf("%s: resumed with delivery %d at %d; want %d", d.name, v.N, i, want)
		}
		d.take(v)
	}
	for _, v := range n.early[s.Ref] {
		if v.N > c.Last {
			c.deliver(v)
		}
	}
	delete(n.early, s.Ref)
	if s.Confirmed+1 < d.first || s.Confirmed+1 > d.first+uint64(len(d.unacked)) {
		fl.t.Errorf("%s: resumed with %d confirmed; %d to %d are not", d.name, s.Confirmed, d.first, d.first+uint64(len(d.unacked))-1)
		return nil
	}
	d.confirm(s.Confirmed)
	for i, xml := range d.unacked {
		c.sent = append(c.sent, xml)
		n.up(func(r *Router) { r.Send(d.ref, d.first+uint64(i), parse(fl.t, xml)) })
	}
	return nil
}

// cut breaks a node's connection to the leader.
func (n *node) cut(told bool) {
	n.fleet.mu.Lock()
	w := n.wire
	w.cut = true
	n.fleet.mu.Unlock()
	if told {
		n.fleet.r.Lost(w, n.fleet.keeper(n))
	}
}

// kill ends a node. Its sessions are only where they were mirrored: at another
// node, or nowhere.
// What the mirror lags behind, it does not know of.
func (n *node) kill(mirror *node, lag uint64) {
	fl := n.fleet
	fl.mu.Lock()
	defer fl.mu.Unlock()
	n.wire.cut = true
	for id, c := range n.copies {
		if c.device.node == n {
			c.device.node = nil
		}
		if mirror != nil {
			if own := mirror.copies[id]; own != nil && own.Ref.Epoch >= c.Ref.Epoch {
				continue
			}
			c.Detached = true
			for c.Last > c.delivered && lag > 0 && len(c.Queue) > 0 {
				d := c.Queue[len(c.Queue)-1]
				c.Queue = c.Queue[:len(c.Queue)-1]
				if c.Ref == c.device.ref {
					c.device.lacking = append(c.device.lacking, string(d.Bytes))
				}
				c.Last, lag = c.Last-1, lag-1
			}
			mirror.copies[id] = c
		}
	}
	clear(n.copies)
}

// trace is shown where a history fails.
func (fl *fleet) trace(step, choice int) {
	fl.mu.Lock()
	defer fl.mu.Unlock()
	var b strings.Builder
	for _, d := range fl.devices {
		fmt.Fprintf(&b, " %s epoch %d h %d at %d;", d.name, d.ref.Epoch, d.h, slices.Index(fl.nodes, d.node))
	}
	for i, n := range fl.nodes {
		fmt.Fprintf(&b, " node %d:", i)
		for _, c := range n.copies {
			fmt.Fprintf(&b, " %s/%d last %d detached %v;", c.device.name, c.Ref.Epoch, c.Last, c.Detached)
		}
	}
	fl.t.Logf("step %d choice %d:%s", step, choice, b.String())
}

// finish reconnects all devices and lets them take what there is.
func (fl *fleet) finish(accounts ...string) {
	fl.t.Helper()
	for _, d := range fl.devices {
		if d.node == nil {
			d.comeBack(fl.nodes[0])
		}
	}
	for begin := time.Now(); ; time.Sleep(time.Millisecond) {
		fl.sync()
		left := 0
		for _, d := range fl.devices {
			d.acknowledge()
			fl.mu.Lock()
			left += len(d.unacked)
			fl.mu.Unlock()
		}
		for _, a := range accounts {
			n, err := fl.store.Pending(a)
			if err != nil {
				fl.t.Fatal(err)
			}
			left += n
		}
		if left == 0 {
			break
		}
		if time.Since(begin) > 20*time.Second {
			fl.t.Errorf("%d messages are not confirmed or wait", left)
			break
		}
	}
	fl.mu.Lock()
	defer fl.mu.Unlock()
	lost, total := 0, 0
	for _, s := range fl.devices {
		for _, id := range s.confirmed {
			got := false
			for _, d := range fl.devices {
				got = got || d.seen[id] > 0
			}
			total++
			if !got && !strings.HasPrefix(id, "x") {
				lost++
			}
		}
	}
	if lost > 0 {
		fl.t.Errorf("%d of %d confirmed messages are lost", lost, total)
	}
}

// TestFleets runs random histories of nodes, links and leaders: each message
// confirmed comes once to a client that resumes and acknowledges, in the order
// of its sender.
func TestFleets(t *testing.T) {
	seeds := uint64(24)
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 7))
			fl := newFleet(t, 3, "ada", "bob", "cleo", "dan")
			pick := func() *node { return fl.nodes[rnd.IntN(len(fl.nodes))] }
			senders := []*device{fl.open(pick(), "ada", "s"), fl.open(pick(), "bob", "s")}
			receivers := []*device{fl.open(pick(), "cleo", "r"), fl.open(pick(), "dan", "r1"), fl.open(pick(), "dan", "r2")}
			for _, d := range receivers {
				d.shared = d.jid.Local() == "dan"
				d.send("<presence/>")
			}
			fl.sync()
			count := 0
			burst := func(n int) {
				for range n {
					count++
					i := rnd.IntN(len(senders))
					to := []string{"cleo@example.com", "dan@example.com"}[rnd.IntN(2)]
					senders[i].send(fmt.Sprintf("<message type='chat' to='%s' id='s%d-%d'/>", to, i, count))
					if rnd.IntN(8) == 0 {
						senders[i].send(fmt.Sprintf("<message type='headline' to='%s' id='x%d'/>", receivers[rnd.IntN(3)].jid, count))
					}
				}
			}
			for i := range 150 {
				burst(rnd.IntN(8))
				n := rnd.IntN(100)
				fl.trace(i, n)
				switch {
				case n < 30:
					receivers[rnd.IntN(len(receivers))].acknowledge()
				case n < 45:
					fl.devices[rnd.IntN(len(fl.devices))].drop()
				case n < 75:
					if d := fl.devices[rnd.IntN(len(fl.devices))]; d.node == nil || rnd.IntN(4) == 0 {
						d.comeBack(pick())
					}
				case n < 80:
					// A link breaks and is there again, under the same leader, which
					// needs none itself.
					nd := pick()
					if nd == fl.home {
						continue
					}
					nd.cut(rnd.IntN(3) > 0)
					burst(3)
					fl.sync()
					nd.attach()
				case n < 85:
					// A follower dies; its clients go to others, at once or, where
					// their sessions are in the keeper's hands, later.
					nd := pick()
					var homeless []*device
					for _, d := range fl.devices {
						if d.node == nd || d.node == nil {
							homeless = append(homeless, d)
						}
					}
					w, to := nd.wire, fl.keeper(nd)
					nd.kill(nil, 0)
					told := rnd.IntN(3) > 0
					if told {
						fl.r.Lost(w, to)
						fl.sync()
					}
					burst(3)
					nd.attach()
					for _, d := range homeless {
						if !told || to == nil || rnd.IntN(2) == 0 {
							d.comeBack(pick())
						}
					}
				case n < 95:
					// The leader dies, perhaps with something committed that
					// it could not confirm; its own sessions are mirrored.
					if rnd.IntN(2) == 0 {
						fl.f.set(nil, store.ErrOutcome)
						burst(3)
						if rnd.IntN(2) == 0 && slices.ContainsFunc(senders, func(d *device) bool { return d.node != nil }) {
							fl.f.waitApplies(1)
						}
					}
					led := fl.home
					fl.stop()
					fl.f.set(nil, nil)
					if rnd.IntN(2) == 0 {
						mirror := fl.nodes[(slices.Index(fl.nodes, led)+1)%len(fl.nodes)]
						led.kill(mirror, uint64(rnd.IntN(6)))
					}
					fl.elect(pick())
					burst(2)
					if rnd.IntN(2) == 0 {
						d := fl.devices[rnd.IntN(len(fl.devices))]
						d.drop()
					}
					fl.settle(rnd)
				default:
					fl.sync()
				}
				if t.Failed() {
					return
				}
			}
			fl.finish("cleo", "dan")
		})
	}
}
