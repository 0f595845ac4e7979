package callbridge

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"parley/services/callbridge/callbridgeapi"
)

// TestForgetfulEventLog: a condition that lasts is raised again.
func TestForgetfulEventLog(t *testing.T) {
	inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
		b.begin()
		b.log.Drop(t.Context(), faultKey)
		pass(remindEvery)
		if b.log.fault().Key == "" {
			t.Error("no fault; want the one that was lost")
		}
	})
}

// TestDeafEventLog: what it does not take is told later, in order; the
// connection does not wait.
func TestDeafEventLog(t *testing.T) {
	inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
		b.log.hear(true)
		b.begin()
		pass(2 * time.Second)
		b.mesh.server("10.0.0.1:5223", &fake{})
		pass(10 * time.Second)
		b.want(callbridgeapi.Connected, b.now().XMPPRow)
		b.log.hear(false)
		pass(reportAgain)
		got := b.log.messages()
		if len(got) < 2 || got[0] != `XMPP component connection disconnected due to failure reason: "connection failure"` || got[len(got)-1] != "XMPP component connection established to 10.0.0.1:5223 (10.0.0.1)" {
			t.Errorf("events %q; want all, in order", got)
		}
		if f := b.log.fault(); f.Key != "" {
			t.Errorf("fault %+v; want none", f)
		}
	})
}

// TestEventLogThatStarts: one that does not answer at first is no news, one that
// goes on so is told of once.
func TestEventLogThatStarts(t *testing.T) {
	for _, tt := range []struct {
		name string
		deaf time.Duration
		want int
	}{
		{"starting", deafAfter - reportAgain, 0},
		{"silent", 10 * deafAfter, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
				b.mesh.server("10.0.0.1:5223", &fake{})
				var lines bytes.Buffer
				b.reporter.log = slog.New(slog.NewTextHandler(&lines, nil))
				b.log.hear(true)
				b.begin()
				pass(tt.deaf)
				b.log.hear(false)
				pass(time.Minute)
				if got := strings.Count(lines.String(), "the event log does not answer"); got != tt.want {
					t.Errorf("%d warnings after %v; want %d\n%s", got, tt.deaf, tt.want, &lines)
				}
			})
		})
	}
}
