package peer

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
)

// stocked waits until a has all spares to b.
func (n *node) stocked(t *testing.T, id string) {
	t.Helper()
	await(t, "spares to "+id, func() bool {
		n.Net.mu.Lock()
		defer n.Net.mu.Unlock()
		return len(n.members[id].spares) == spares
	})
}

// TestSpares: what is dialed is ready at once; where a spare is not what it was,
// another is made.
func TestSpares(t *testing.T) {
	for _, tt := range []struct {
		name string
		// change happens between stocking and dialing.
		change func(t *testing.T, a, b *node)
		// ready: the connection was there before. Otherwise it is new, or none
		// is to be had.
		ready, none bool
	}{
		{"as they were", func(*testing.T, *node, *node) {}, true, false},
		{"closed by the other side", func(t *testing.T, _, b *node) {
			for _, c := range b.open() {
				if c.kind == kindSpare {
					c.abort()
				}
			}
		}, false, false},
		{"the other node is not trusted any more", func(t *testing.T, a, b *node) {
			id := *a.identity.Load()
			id.Trust = bundle(t, (*authority)(nil).issue(spec{cn: "another"}))
			a.identity.Store(&id)
		}, false, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			served := make(chan *conn, 1)
			serve := func(n *node) {
				n.Handle("link", func(ctx context.Context, c net.Conn, from Hello) {
					served <- c.(*conn)
					<-ctx.Done()
				})
			}
			a, b := newNode(t, "a", serve), newNode(t, "b", serve)
			a.SetMembers([]Member{{"b", b.addr}})
			await(t, "a reaches b", a.reaches("b"))
			a.stocked(t, "b")
			before := map[*tls.Conn]bool{}
			for _, c := range b.open() {
				before[c.Conn] = true
			}
			tt.change(t, a, b)
			if _, err := a.Dial(t.Context(), b.addr, "link"); (err != nil) != tt.none {
				t.Errorf("Dial = %v; want an error: %v", err, tt.none)
			}
			if tt.none {
				return
			}
			if c := <-served; c.peer.ID != "a" || c.kind != "link" || before[c.Conn] != tt.ready {
				t.Errorf("served a connection of %s for %s, there before: %v; want a, link, %v", c.peer.ID, c.kind, before[c.Conn], tt.ready)
			}
			a.stocked(t, "b")
		})
	}
}
