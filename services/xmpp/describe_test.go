package xmpp

import (
	"fmt"
	"testing"

	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// TestCallBridgeDescription: it stays as long as its Call Bridge.
func TestCallBridgeDescription(t *testing.T) {
	w := newWorld(t)
	ctx := t.Context()
	check := func(when string, want xmppapi.Description) {
		t.Helper()
		bs, err := w.CallBridges(ctx)
		if err != nil || len(bs) != 1 || bs[0].Description != want {
			t.Errorf("%s: CallBridges = %+v, %v; want one with %+v", when, bs, err, want)
		}
	}
	add := func() {
		t.Helper()
		if _, err := w.AddCallBridge(ctx, "cb1", ""); err != nil {
			t.Fatal(err)
		}
	}
	d := xmppapi.Description{Address: "https://cb1.tptac9.com:445", SIPDomain: "tptac9.com"}
	if err := w.DescribeCallBridge(ctx, "cb1", d); problem.CodeOf(err) != problem.BridgeUnknown {
		t.Errorf("DescribeCallBridge without one = %v; want %s", err, problem.BridgeUnknown)
	}
	add()
	check("new", xmppapi.Description{})
	for _, d := range []xmppapi.Description{{SIPDomain: "x"}, {}, {}, d} {
		if err := w.DescribeCallBridge(ctx, "CB1", d); err != nil {
			t.Errorf("DescribeCallBridge(%+v) = %v", d, err)
		}
		check("described", d)
	}
	if err := w.DelCallBridge(ctx, "cb1"); err != nil {
		t.Fatal(err)
	}
	add()
	check("made again", xmppapi.Description{})
}

// TestDescriptionIsEverywhere: each node takes it, and each node has it.
func TestDescriptionIsEverywhere(t *testing.T) {
	ms := newCluster(t, 2)
	for i, m := range ms {
		name := fmt.Sprintf("cb%d", i)
		m.change(problem.BridgeExists, func() error {
			_, err := m.AddCallBridge(t.Context(), name, "")
			return err
		})
		m.change("", func() error {
			return m.DescribeCallBridge(t.Context(), name, xmppapi.Description{SIPDomain: name + ".example.com"})
		})
	}
	for _, m := range ms {
		await(t, "descriptions on "+m.addr.Load().String(), func() error {
			bs, err := m.CallBridges(t.Context())
			if err != nil {
				return err
			}
			for _, b := range bs {
				if b.Description.SIPDomain != b.Name+".example.com" {
					return fmt.Errorf("%s has %+v", b.Name, b.Description)
				}
			}
			if len(bs) != len(ms) {
				return fmt.Errorf("%d Call Bridges; want %d", len(bs), len(ms))
			}
			return nil
		})
	}
}
