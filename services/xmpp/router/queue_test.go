package router

import (
	"strings"
	"testing"
)

func TestQueueIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name, fill string
		fits       int
	}{
		{"entries", "", maxQueue},
		{"bytes", strings.Repeat("x", 200<<10), 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory("ada", "bob")
			inMemory(t, m, func(t *testing.T, w *world) {
				w.r.Settled()
				ada, bob := w.attach(newAda()), w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
				ada.send("<message to='ada@example.com' id='kept'/>")
				w.r.Detach(ada.ref)
				xml := "<iq type='get' id='q' to='ada@example.com/a'><query xmlns='x'>" + tt.fill + "</query></iq>"
				for range tt.fits - 1 {
					bob.send(xml)
				}
				if ada.over() != "" || len(bob.now()) > 0 {
					t.Fatalf("ended with %q", ada.ended)
				}
				bob.send(xml)
				bob.send(xml)
				if got := ada.over(); got != "resource-constraint" {
					t.Errorf("ended with %q; want resource-constraint", got)
				}
				if bob.over() != "" || bob.confirmed != bob.seq || len(m.inbox["ada"]) != 1 {
					t.Errorf("sender confirmed %d of %d, ended with %q; %d messages kept", bob.confirmed, bob.seq, bob.ended, len(m.inbox["ada"]))
				}
			})
		})
	}
}
