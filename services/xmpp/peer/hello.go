package peer

import (
	"fmt"
	"net"
	"strings"
	"time"
	"unicode"

	"parley/services/problem"
)

// Hello is what a node says of itself, at the start of each connection and in
// each ping.
type Hello struct {
	ID string `json:"id"`
	// Address is where the node can be dialed, "10.106.81.30:5222".
	Address  string `json:"address"`
	Version  string `json:"version"`
	Protocol int    `json:"protocol"`
	// Cluster is the cluster's ID, "" for a node in none.
	Cluster string `json:"cluster,omitempty"`
	Domain  string `json:"domain,omitempty"`
	// Time is the node's clock; filled in where it is zero.
	Time      time.Time `json:"time"`
	LastIndex uint64    `json:"last_index"`
	Applied   uint64    `json:"applied"`
	Term      uint64    `json:"term"`
	LeaderID  string    `json:"leader_id,omitempty"`
	// LeaderAge is how long ago the node last heard of that leader.
	LeaderAge time.Duration `json:"leader_age,omitempty"`
	// Sessions is the number of clients that are connected to the node,
	// Components the domains of components that are, the first of them.
	Sessions   int      `json:"sessions,omitempty"`
	Components []string `json:"components,omitempty"`
}

// MaxComponents is how many a Hello names at most: it fits a frame.
const MaxComponents = 20

// check keeps out what could not be shown or dialed.
func (h *Hello) check() error {
	if len(h.Components) > MaxComponents {
		return fmt.Errorf("hello of %d components: %w", len(h.Components), errFrame)
	}
	for _, f := range append([]string{h.ID, h.Address, h.Version, h.Cluster, h.Domain, h.LeaderID}, h.Components...) {
		if len(f) > 256 || strings.ContainsFunc(f, func(r rune) bool { return !unicode.IsPrint(r) }) {
			return fmt.Errorf("hello: %w", errFrame)
		}
	}
	if h.ID == "" {
		return fmt.Errorf("hello without an ID: %w", errFrame)
	}
	if h.Address != "" {
		if _, _, err := net.SplitHostPort(h.Address); err != nil {
			return fmt.Errorf("hello: %w: %w", errFrame, err)
		}
	}
	return nil
}

// opening is the first frame, by the node that dialed.
type opening struct {
	Kind  string `json:"kind"`
	Hello Hello  `json:"hello"`
	// To is the ID of the node that is meant; "" is whichever answers.
	To string `json:"to,omitempty"`
}

// answer is the first frame of the other side: a Hello, or a refusal.
type answer struct {
	Hello *Hello `json:"hello,omitempty"`
	// Untrusted says what is wrong with the dialer's certificate, as the end
	// of a sentence.
	Untrusted string `json:"untrusted,omitempty"`
	// Refused says why a trusted node is refused.
	Refused string           `json:"refused,omitempty"`
	Problem *problem.Problem `json:"problem,omitempty"`
}

// hello is this node's, now.
func (n *Net) hello() Hello {
	h := n.deps.Self()
	if h.Time.IsZero() {
		h.Time = time.Now()
	}
	return h
}
