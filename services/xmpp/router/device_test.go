package router

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
)

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
