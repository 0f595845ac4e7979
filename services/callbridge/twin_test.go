package callbridge

import (
	"context"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
)

// TestTwin: a bridge whose connection is ended again and again by another one of
// its name says so, also at a moment when it is connected, until that is over.
func TestTwin(t *testing.T) {
	inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
		f, _ := b.mesh.server("10.0.0.1:5223", &fake{})
		b.begin()
		want := func(when string, there bool) {
			t.Helper()
			got := b.log.faultOf(twinKey)
			if (got.Key != "") != there || there && !strings.Contains(got.Message, "'cb1'") {
				t.Errorf("%s: condition %+v; want one: %t", when, got, there)
			}
			steps, err := b.Test(t.Context())
			failed := slices.ContainsFunc(steps, func(s callbridgeapi.Step) bool { return !s.OK && s.What == "unique name" })
			if err != nil || failed != there {
				t.Errorf("%s: Test = %+v, %v; want that the name fails: %t", when, steps, err, there)
			}
		}
		evict := func() {
			t.Helper()
			pass(time.Minute)
			if s := b.now(); s.State != callbridgeapi.Connected {
				t.Fatalf("%s; want a connection", s.XMPPRow)
			}
			f.evict()
			pass(10 * time.Second)
		}
		want("at first", false)
		evict()
		evict()
		want("after two", false)
		evict()
		b.want(callbridgeapi.Connected, b.now().XMPPRow)
		want("after three", true)
		b.twins.seen("cb2 10.0.0.2")
		pass(twinLook + reportAgain)
		if hint := b.log.faultOf(twinKey).Hint; !strings.HasPrefix(hint, "the other one is on cb2 10.0.0.2; each has a name") {
			t.Errorf("hint %q; want the other node", hint)
		}
		pass(twinWindow)
		want("when it is over", false)
		if n := countOf(b.log.messages(), "Another Call Bridge connects as 'cb1'"); n != 1 {
			t.Errorf("%d events of it; want one", n)
		}
		if n := countOf(b.log.messages(), "No other Call Bridge"); n != 1 {
			t.Errorf("%d events of its end; want one", n)
		}
		for range 3 {
			evict()
		}
		want("again", true)
		d, err := b.store.Load()
		if err != nil {
			t.Fatal(err)
		}
		b.twins.begin(config.BridgeLink{Name: "cb2", Domain: d.CallBridge.XMPP.Domain, Secret: d.CallBridge.XMPP.Secret})
		pass(time.Second)
		want("with another name", false)
	})
}

func countOf(messages []string, beginning string) (n int) {
	for _, m := range messages {
		if strings.HasPrefix(m, beginning) {
			n++
		}
	}
	return n
}

// TestTwinIsFoundInTheDeployment: the table has the other node under this
// bridge's name.
func TestTwinIsFoundInTheDeployment(t *testing.T) {
	w := newWorld(t, config.BridgeLink{Name: "cb1", Domain: domain, Secret: "kvgP1SRzWVabhi01Ab1"})
	w.own = []netip.Addr{netip.MustParseAddr("10.0.0.1")}
	w.deps.Deployment = &table{rows: map[string]string{"bridges cb1": `{"host":"cb2","address":"10.0.0.2"}`}}
	if err := w.enlistOnce(context.Background()); err != nil {
		t.Fatal(err)
	}
	if w.twins.node != "cb2 10.0.0.2" {
		t.Errorf("the other node is %q; want cb2 10.0.0.2", w.twins.node)
	}
}
