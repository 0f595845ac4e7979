// Package membership is what the servers on the replicated store, XMPP's and the
// database's, ask of the group of nodes in the same way: who is meant by a name,
// who can be spared, whether this node is a member still, and which cluster that
// is. When nodes join and leave, and what becomes of their data, is the servers'.
package membership

import (
	"context"
	"net"
	"slices"
	"strconv"
	"strings"

	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// Others are the members beside this node.
func Others(st store.State) (ms []peer.Member) {
	for _, m := range st.Members {
		if m.ID != st.ID {
			ms = append(ms, peer.Member{ID: m.ID, Addr: m.Addr})
		}
	}
	return ms
}

// Find is the member that node stands for: its address or a name, where need be
// with another port than the one that nodes are reached at.
func Find(ctx context.Context, names *net.Resolver, members []store.Member, node string, port int) (m store.Member, ok bool) {
	addr := WithPort(node, port)
	wanted := []string{addr}
	if host, port, err := net.SplitHostPort(addr); err == nil {
		// What is not found may be an address all the same.
		found, _ := names.LookupHost(ctx, host)
		for _, a := range found {
			wanted = append(wanted, net.JoinHostPort(a, port))
		}
	}
	at := slices.IndexFunc(members, func(m store.Member) bool { return slices.Contains(wanted, m.Addr) })
	if at < 0 {
		return m, false
	}
	return members[at], true
}

// WithPort gives a name or an address a port, unless it has one.
func WithPort(node string, port int) string {
	if _, _, err := net.SplitHostPort(node); err == nil {
		return node
	}
	return net.JoinHostPort(strings.Trim(node, "[]"), strconv.Itoa(port))
}

// Host is an address without the port.
func Host(addr string) string {
	if host, _, err := net.SplitHostPort(addr); err == nil {
		return host
	}
	return addr
}
