package watch

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/problem"
)

func TestServiceThatDoesNotAnswer(t *testing.T) {
	n := healthy(t)
	n.unreachable(0, addr3)
	w := n.watcher()
	before := standing(looks(t, w, 2))
	n.statusErr = problem.New(problem.NotReachable, "service", "xmpp")
	var got []Condition
	for range patienceService - 1 {
		if got = w.Look(t.Context(), before).Conditions; len(got) != 1 || got[0].Fault != before["xmpp.cluster.node."+addr3] {
			t.Fatalf("conditions %v; want that what stood, stands", lines(got))
		}
	}
	got = w.Look(t.Context(), before).Conditions
	want := "xmpp.service  Error  XMPP service does not answer  > see 'syslog tail', then 'reboot' if it stays so"
	if len(got) != 2 || lines(got)[0] != want {
		t.Errorf("conditions\n%s\nwant\n%s\nand what stood", strings.Join(lines(got), "\n"), want)
	}
	n.statusErr = errors.New("disk I/O error")
	got = w.Look(t.Context(), standing(got)).Conditions
	if want := "xmpp.service  Error  XMPP service does not answer  > disk I/O error; see 'syslog tail'"; lines(got)[0] != want {
		t.Errorf("condition %q; want %q", lines(got)[0], want)
	}
	n.statusErr = nil
	if got := w.Look(t.Context(), standing(got)).Conditions; len(got) != 1 || got[0].Key != "xmpp.cluster.node."+addr3 {
		t.Errorf("conditions %v; want the peer alone", lines(got))
	}
	n.clusterErr = errors.New("timeout")
	if got := w.Look(t.Context(), before).Conditions; len(got) != 1 {
		t.Errorf("conditions %v; want that what stood, stands", lines(got))
	}
	n.clusterErr, n.cluster = nil, healthy(t).cluster
	if got := w.Look(t.Context(), before).Conditions; len(got) != 0 {
		t.Errorf("conditions %v; want none", lines(got))
	}
}

func TestOtherServices(t *testing.T) {
	n := healthy(t)
	n.networkErr, n.bridgeErr = problem.New(problem.NotReachable, "service", "network"), errors.New("broken")
	w := n.watcher()
	if got := looks(t, w, patienceService-1); len(got) != 0 {
		t.Errorf("conditions %v; want patience", lines(got))
	}
	got := looks(t, w, 1)
	want := []string{
		"network.service  Error  Network service does not answer  > see 'syslog tail', then 'reboot' if it stays so",
		"callbridge.service  Error  Call Bridge service does not answer  > broken; see 'syslog tail'",
	}
	if diff := cmp.Diff(want, lines(got)); diff != "" {
		t.Errorf("conditions (-want +got):\n%s", diff)
	}
	// Not asked for want of time: neither is there news, nor is it over.
	late, cancel := context.WithCancel(t.Context())
	cancel()
	n.bridgeErr = nil
	if again := w.Look(late, standing(got[:1])).Conditions; len(again) != 1 || again[0].Fault != got[0].Fault {
		t.Errorf("conditions without time %v; want what stood", lines(again))
	}
	n.bridgeErr, n.doc.CallBridge.Enabled = errors.New("broken"), false
	n.clusterErr = errors.New("timeout")
	if again := w.Look(t.Context(), standing(got)).Conditions; len(again) != 1 || again[0].Key != "network.service" {
		t.Errorf("conditions %v; want nothing of a Call Bridge that is disabled", lines(again))
	}
}
