package peer

import (
	"context"
	"encoding/json"
	"net"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// BenchmarkCall is a call's round trip on a kept connection.
func BenchmarkCall(b *testing.B) {
	from := newNode(b, "a", nil)
	to := newNode(b, "b", func(n *node) {
		n.HandleCall("x", func(context.Context, Hello, json.RawMessage) (any, error) { return 1, nil })
	})
	for b.Loop() {
		if err := from.Call(context.Background(), to.addr, "x", 1, nil); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkDial is TCP, TLS and the opening.
func BenchmarkDial(b *testing.B) {
	from := newNode(b, "a", nil)
	to := newNode(b, "b", func(n *node) { n.Handle("x", func(_ context.Context, c net.Conn, _ Hello) { c.Close() }) })
	for b.Loop() {
		c, err := from.Dial(context.Background(), to.addr, "x")
		if err != nil {
			b.Fatal(err)
		}
		c.Close()
	}
}

// BenchmarkRaftRoundTrip is an AppendEntries without entries by Raft's own transport.
func BenchmarkRaftRoundTrip(b *testing.B) {
	x, y := newNode(b, "a", nil), newNode(b, "b", nil)
	transport := func(n *node) *raft.NetworkTransport {
		return raft.NewNetworkTransport(n.StreamLayer(func() string { return n.addr }), 3, 2*time.Second, testWriter{b})
	}
	tx, ty := transport(x), transport(y)
	defer tx.Close()
	defer ty.Close()
	go func() {
		for r := range ty.Consumer() {
			r.Respond(&raft.AppendEntriesResponse{Success: true}, nil)
		}
	}()
	var req raft.AppendEntriesRequest
	var resp raft.AppendEntriesResponse
	for b.Loop() {
		if err := tx.AppendEntries("b", raft.ServerAddress(y.addr), &req, &resp); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkRaftApply is an entry committed by three, without disks.
func BenchmarkRaftApply(b *testing.B) {
	l := leaderOf(b, newVoters(b, 3))
	for b.Loop() {
		if err := l.Apply([]byte("x"), time.Second).Error(); err != nil {
			b.Fatal(err)
		}
	}
}
