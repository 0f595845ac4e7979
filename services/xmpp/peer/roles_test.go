package peer

import (
	"context"
	"encoding/json"
	"strings"
	"testing"

	"parley/services/problem"
)

// TestRoles: nodes that show one certificate where they dial and another one
// where they are dialed.
func TestRoles(t *testing.T) {
	var self *authority
	ca, otherCA := self.issue(spec{cn: "Our CA", ca: true}), self.issue(spec{cn: "Other CA", ca: true})
	server, client := ca.issue(spec{cn: "db1"}), ca.issue(spec{cn: "postgres"})
	identity := func(server, client, ca *authority) *Identity {
		id := &Identity{Client: client.tls(), ClientName: "postgres", Trust: bundle(t, ca)}
		if server != nil {
			id.Certificate = server.tls()
		}
		return id
	}
	for _, tt := range []struct {
		name       string
		from, to   *Identity
		want, back string
	}{
		{"both have both", identity(server, client, ca), identity(server, client, ca), "", ""},
		{"a client has no server's", identity(nil, client, ca), identity(server, client, ca), "", "has an error of its own, perhaps no certificate"},
		{"a client of another name", identity(server, server, ca), identity(server, client, ca), "it names db1 and not postgres, as that of a client must", ""},
		{"a client in the bundle itself", identity(server, server, ca), &Identity{Certificate: server.tls(), Client: client.tls(), ClientName: "postgres", Trust: bundle(t, ca, server)}, "it names db1 and not postgres", ""},
		{"a client of another authority", identity(server, otherCA.issue(spec{cn: "postgres"}), ca), identity(server, client, ca), "it is not in its trust bundle, nor is its authority CN=Other CA", ""},
		{"a server of another authority", identity(server, client, ca), identity(otherCA.issue(spec{cn: "db1"}), client, ca), "is not in the trust bundle, nor is its authority CN=Other CA", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			answer := func(n *node) {
				n.HandleCall("greet", func(context.Context, Hello, json.RawMessage) (any, error) { return "hello", nil })
			}
			a := newNode(t, "a", func(n *node) { n.identity.Store(tt.from); answer(n) })
			b := newNode(t, "b", func(n *node) { n.identity.Store(tt.to); answer(n) })
			for _, way := range []struct {
				from, to *node
				want     string
			}{{a, b, tt.want}, {b, a, tt.back}} {
				var got string
				err := way.from.Call(t.Context(), way.to.addr, "greet", nil, &got)
				if way.want == "" && (err != nil || got != "hello") {
					t.Errorf("Call from %s = %q, %v; want hello", way.from.id, got, err)
				}
				if way.want != "" && (problem.CodeOf(err) != problem.ClusterTLS || !strings.Contains(err.Error(), way.want)) {
					t.Errorf("Call from %s = %v; want %q", way.from.id, err, way.want)
				}
				if t.Failed() {
					return
				}
				if tt.want != "" {
					break
				}
			}
		})
	}
}

// TestRolesReview: connections end with the authority of what was shown, in
// either role.
func TestRolesReview(t *testing.T) {
	var self *authority
	ca, newCA := self.issue(spec{cn: "Our CA", ca: true}), self.issue(spec{cn: "New CA", ca: true})
	id := func(ca *authority, trust ...*authority) *Identity {
		return &Identity{Certificate: ca.issue(spec{cn: "db1"}).tls(), Client: ca.issue(spec{cn: "postgres"}).tls(), ClientName: "postgres", Trust: bundle(t, trust...)}
	}
	a := newNode(t, "a", func(n *node) { n.identity.Store(id(ca, ca)) })
	b := newNode(t, "b", func(n *node) { n.identity.Store(id(ca, ca)) })
	a.SetMembers([]Member{{ID: "b", Addr: b.addr}})
	b.SetMembers([]Member{{ID: "a", Addr: a.addr}})
	await(t, "both to reach each other", func() bool { return a.reaches("b")() && b.reaches("a")() })
	a.identity.Store(id(newCA, newCA))
	await(t, "neither to reach the other", func() bool { return !a.reaches("b")() && !b.reaches("a")() })
	b.identity.Store(id(newCA, newCA))
	await(t, "both to reach each other again", func() bool { return a.reaches("b")() && b.reaches("a")() })
}
