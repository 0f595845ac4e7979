package edge

import (
	"io"
	"strings"
	"testing"

	"parley/services/xmpp/stanza"
)

// BenchmarkEcho is a client over TLS whose messages of about 400 bytes come
// back: two stanzas through the edge a turn.
func BenchmarkEcho(b *testing.B) {
	s := start(b, Limits{})
	l := s.leader
	l.onSend = func(fs *fakeSession, _ uint64, e *stanza.Element) {
		l.deliver(fs, e, 1)
	}
	c := login(b, s.clients, "x")
	const batch = 50
	message := "<message to='bob@example.com/balcony' type='chat' id='4f3c2b1a-7d6e-4c5b-9a8f-0e1d2c3b4a59'><body>" + strings.Repeat("art thou ", 25) +
		"</body><active xmlns='http://jabber.org/protocol/chatstates'/></message>"
	out := strings.Repeat(message, batch)
	b.SetBytes(int64(len(out)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := io.WriteString(c.conn, out); err != nil {
			b.Fatal(err)
		}
		for range batch {
			if r := c.receive(); r.err != nil {
				b.Fatal(r.err)
			}
		}
	}
	b.ReportMetric(float64(batch*b.N)/b.Elapsed().Seconds(), "messages/s")
}
