package peer

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"net"
	"syscall"
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

// BenchmarkDial is TCP, TLS and the opening, with the certificates that openssl
// makes. The processor time is that of both sides.
func BenchmarkDial(b *testing.B) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		b.Fatal(err)
	}
	rsaCert := (*authority)(nil).issueFor(spec{cn: testDomain}, key)
	id := &Identity{Certificate: rsaCert.tls(), Trust: bundle(b, rsaCert), Domain: testDomain}
	from := newNode(b, "a", func(n *node) { n.identity.Store(id) })
	to := newNode(b, "b", func(n *node) {
		n.identity.Store(id)
		n.Handle("x", func(_ context.Context, c net.Conn, _ Hello) { c.Close() })
	})
	for _, way := range []string{"full", "resumed"} {
		b.Run(way, func(b *testing.B) {
			before := processorTime(b)
			for b.Loop() {
				if way == "full" {
					from.sessions.forget()
				}
				c, err := from.Dial(context.Background(), to.addr, "x")
				if err != nil {
					b.Fatal(err)
				}
				c.Close()
			}
			b.ReportMetric(float64(processorTime(b)-before)/float64(b.N)/1e3, "cpu-µs/op")
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "handshakes/s")
		})
	}
}

func processorTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
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
