package edge

import (
	"context"
	"log/slog"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// Detailed tracing is debug records, which package trace makes info records
// while XMPP is traced. They name stanzas and who they are from and to; nothing
// that a stanza holds is in them, and nothing of authentication.

func (s *session) traced() bool {
	return s.peer.edge.log.Enabled(context.Background(), slog.LevelDebug)
}

// traceIn is of a stanza that the peer has sent.
func (s *session) traceIn(e *stanza.Element) {
	if s.traced() {
		s.trace("stanza in", e)
	}
}

// traceOut is of a stanza that goes to the peer. The caller does not hold mu.
func (s *session) traceOut(d link.Delivery) {
	if !s.traced() {
		return
	}
	if e, err := stream.ParseStanza(d.Bytes); err == nil {
		s.trace("stanza out", e)
	}
}

func (s *session) trace(way string, e *stanza.Element) {
	s.mu.Lock()
	full := s.jid.String()
	s.mu.Unlock()
	args := []any{"session", full, "name", e.Name.Local}
	for _, name := range []string{"type", "id", "from", "to"} {
		if value := e.Attr(name); value != "" {
			args = append(args, name, clip(value))
		}
	}
	if q := e.First(); q != nil && e.Name.Local == "iq" {
		args = append(args, "of", clip(q.Name.Space+" "+q.Name.Local))
	}
	s.peer.edge.log.Debug(way, args...)
}

// clip is value, or the beginning of one that would fill the log.
func clip(value string) string {
	const most = 200
	if len(value) <= most {
		return value
	}
	return value[:most] + "…"
}
