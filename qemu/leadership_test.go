package qemu_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// leaderOf is the peer that 'xmpp cluster status' marks.
func leaderOf(status []string) string {
	for _, l := range status {
		if peer, ok := strings.CutSuffix(l, " (Leader)"); ok {
			return peer
		}
	}
	return ""
}

// withLeader is a status with another leader than the transcript's. An election
// may give it to any node, on a machine that is busy more than the node's
// timeouts stand; the rest has to be as written.
func withLeader(status []string, self, leader string) []string {
	var out []string
	for _, l := range status {
		address, _, _ := strings.Cut(l, " ")
		peer := strings.TrimSuffix(l, " (Leader)")
		switch {
		case strings.HasPrefix(l, "State: ") && self == leader:
			l = "State: LEADER"
		case strings.HasPrefix(l, "State: "):
			l = "State: FOLLOWER"
		case !strings.HasSuffix(address, ":5222"):
		case peer == leader:
			l = peer + " (Leader)"
		case peer == address:
			l = peer
		case address == self && self == leader:
			l = strings.TrimSuffix(strings.TrimSuffix(l, "follower"), "leader") + "leader"
		case address == self:
			l = strings.TrimSuffix(strings.TrimSuffix(l, "follower"), "leader") + "follower"
		case address == leader:
			l = strings.TrimSuffix(l, ", leader") + ", leader"
		default:
			l = strings.TrimSuffix(l, ", leader")
		}
		out = append(out, l)
	}
	return out
}

func TestWithLeader(t *testing.T) {
	status := func(state string, lines ...string) []string { return append([]string{"State: " + state}, lines...) }
	first := status("LEADER", "10.0.0.2:5222", "10.0.0.1:5222 (Leader)", "Node  Condition",
		"10.0.0.2:5222  reachable for <words>", "10.0.0.1:5222 (me)  leader")
	second := status("FOLLOWER", "10.0.0.2:5222 (Leader)", "10.0.0.1:5222", "Node  Condition",
		"10.0.0.2:5222  reachable for <words>, leader", "10.0.0.1:5222 (me)  follower")
	if diff := cmp.Diff(second, withLeader(first, "10.0.0.1:5222", "10.0.0.2:5222")); diff != "" {
		t.Errorf("withLeader, the other (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(first, withLeader(second, "10.0.0.1:5222", "10.0.0.1:5222")); diff != "" {
		t.Errorf("withLeader, this one (-want +got):\n%s", diff)
	}
}

// primaryOf is the node that 'database cluster status' says has the last word.
func primaryOf(status []string) string {
	for _, l := range status {
		if primary, ok := strings.CutPrefix(l, "Node in use              : "); ok && primary != "none" {
			return primary
		}
	}
	return ""
}

// withPrimary is a status with another primary than the transcript's, for the
// same reason.
func withPrimary(status []string, primary string) []string {
	const leads, follows = "Connected Primary", "Connected Replica ( In Sync )"
	var out []string
	for _, l := range status {
		label, state, node := strings.Cut(l, " : ")
		address, _, _ := strings.Cut(strings.TrimSpace(label), " ")
		switch {
		case strings.HasPrefix(l, "Node in use "):
			l = label + " : " + primary
		case node && address == primary:
			l = label + " : " + leads
		case node && state == leads:
			l = label + " : " + follows
		}
		out = append(out, l)
	}
	return out
}

func TestWithPrimary(t *testing.T) {
	first := []string{"Status                   : Enabled", "Nodes:",
		"    10.0.0.1             : Connected Primary", "    10.0.0.2 (me)        : Connected Replica ( In Sync )",
		"Node in use              : 10.0.0.1", "Interface                : a"}
	second := []string{"Status                   : Enabled", "Nodes:",
		"    10.0.0.1             : Connected Replica ( In Sync )", "    10.0.0.2 (me)        : Connected Primary",
		"Node in use              : 10.0.0.2", "Interface                : a"}
	if got := primaryOf(second); got != "10.0.0.2" {
		t.Errorf("primaryOf = %s; want 10.0.0.2", got)
	}
	if diff := cmp.Diff(second, withPrimary(first, "10.0.0.2")); diff != "" {
		t.Errorf("withPrimary (-want +got):\n%s", diff)
	}
}
