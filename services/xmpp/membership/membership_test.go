package membership

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

func TestFind(t *testing.T) {
	members := []store.Member{{ID: "a", Addr: "127.0.0.1:5222"}, {ID: "b", Addr: "127.0.0.2:5222"}, {ID: "c", Addr: "127.0.0.2:15222"}, {ID: "d", Addr: "[::1]:5222"}}
	for _, tt := range []struct{ name, node, want string }{
		{"an address", "127.0.0.2", "b"},
		{"with its port", "127.0.0.2:5222", "b"},
		{"with another port", "127.0.0.2:15222", "c"},
		{"IPv6", "::1", "d"},
		{"IPv6 in brackets", "[::1]", "d"},
		{"an address of no member", "127.0.0.3", ""},
		{"a port of no member", "127.0.0.1:5223", ""},
		{"nothing", "", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m, ok := Find(t.Context(), nil, members, tt.node, 5222)
			if m.ID != tt.want || ok != (tt.want != "") {
				t.Errorf("Find(%q) = %q, %v; want %q", tt.node, m.ID, ok, tt.want)
			}
		})
	}
	// The hosts file has it on every machine.
	if m, ok := Find(t.Context(), nil, members[:1], "localhost", 5222); !ok || m.ID != "a" {
		t.Errorf("Find of a name = %q, %v; want a", m.ID, ok)
	}
}

func TestOthers(t *testing.T) {
	st, _ := group("b a +c")
	want := []peer.Member{{ID: "b", Addr: "b:5222"}, {ID: "c", Addr: "c:5222"}}
	if diff := cmp.Diff(want, Others(st)); diff != "" {
		t.Errorf("Others (-want +got):\n%s", diff)
	}
}
