package xmpp

import (
	"crypto/sha1"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"net"
	"slices"
	"testing"

	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// component is a Call Bridge that has connected; it does nothing.
func component(t *testing.T, m *member, name, secret string) net.Conn {
	t.Helper()
	c, err := tls.Dial("tcp", m.addr.Load().String()+":5223", &tls.Config{InsecureSkipVerify: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := stream.NewScanner(c, stanza.NSComponent, &stream.Limits{})
	if _, err := c.Write(stream.Header{Content: stanza.NSComponent, To: name + ".example.com"}.Append(nil)); err != nil {
		t.Fatal(err)
	}
	h, err := s.Header()
	if err != nil {
		t.Fatal(err)
	}
	sum := sha1.Sum([]byte(h.ID + secret))
	if _, err := fmt.Fprintf(c, "<handshake>%s</handshake>", hex.EncodeToString(sum[:])); err != nil {
		t.Fatal(err)
	}
	if e, err := s.Next(); err != nil || e.Name.Local != "handshake" {
		t.Fatalf("handshake of %s = %v, %v", name, e, err)
	}
	return c
}

// TestCensus: each node knows who is connected to the others.
func TestCensus(t *testing.T) {
	ms := newCluster(t, 2)
	bridge, err := ms[0].AddCallBridge(t.Context(), "cb1", "")
	if err != nil {
		t.Fatal(err)
	}
	talk(t, "ada", ms[1])
	c := component(t, ms[1], "cb1", bridge.Secret)
	wants := func(what string, sessions int, bridges ...string) {
		t.Helper()
		for _, m := range ms {
			await(t, what+", as "+m.addr.Load().String()+" has it", func() error {
				cl, err := m.Cluster(t.Context())
				if err != nil {
					return err
				}
				for _, n := range cl.Nodes {
					has, names := sessions, bridges
					if n.Self == (m == ms[0]) {
						has, names = 0, nil
					}
					if n.Sessions != has || !slices.Equal(n.CallBridges, names) {
						return fmt.Errorf("%s has %d sessions and Call Bridges %v; want %d, %v", n.Address, n.Sessions, n.CallBridges, has, names)
					}
				}
				return nil
			})
		}
	}
	wants("one of each", 1, "cb1")
	c.Close()
	wants("no Call Bridge any more", 1)
}
