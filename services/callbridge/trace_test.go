package callbridge

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"
	"time"

	"parley/services/callbridge/callbridgeapi"
)

// TestTrace: in detail, the log has the steps to a server and the stanzas' names,
// and nothing of what they hold.
func TestTrace(t *testing.T) {
	var log bytes.Buffer
	inBubble(t, "10.106.81.30", func(t *testing.T, b *bubble) {
		b.Bridge.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		b.mesh.server("10.106.81.30:5223", &fake{words: []string{"<message from='ada@tptac9.com' to='cb1.tptac9.com'><body>hidden words</body></message>"}})
		b.begin()
		b.until(callbridgeapi.Connected)
		pass(2 * pingEvery)
	})
	got := log.String()
	for _, want := range []string{
		"msg=step target=10.106.81.30 what=TCP ok=true detail=10.106.81.30:5223",
		"what=TLS ok=true", "what=authentication ok=true",
		`msg="stanza in" server=10.106.81.30:5223 name=message from=ada@tptac9.com to=cb1.tptac9.com`,
		`msg="stanza out" server=10.106.81.30:5223 name=iq type=get id=ping-1 from=cb1.tptac9.com to=tptac9.com`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the log has no %q:\n%s", want, got)
		}
	}
	for _, secret := range []string{"hidden", "kvgP1SRzWVabhi01Ab1"} {
		if strings.Contains(got, secret) {
			t.Errorf("the log has %q:\n%s", secret, got)
		}
	}
}

// TestNoTrace: without one there is nothing of stanzas in the log.
func TestNoTrace(t *testing.T) {
	var log bytes.Buffer
	inBubble(t, "10.106.81.30", func(t *testing.T, b *bubble) {
		b.Bridge.log = slog.New(slog.NewTextHandler(&log, nil))
		b.mesh.server("10.106.81.30:5223", &fake{})
		b.begin()
		b.until(callbridgeapi.Connected)
		pass(pingEvery + time.Second)
	})
	if got := log.String(); strings.Contains(got, "stanza") || strings.Contains(got, "step") {
		t.Errorf("the log is in detail:\n%s", got)
	}
}
