package callbridge

import (
	"context"
	"log/slog"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/xmpp/stanza"
)

// Detailed tracing is debug records, which package trace makes info records
// while the Call Bridge is traced. Nothing that a stanza holds is in them, and
// no secret.

// trace is of a step towards a server.
func (b *Bridge) trace(s callbridgeapi.Step) {
	b.log.Debug("step", "target", s.Target, "what", s.What, "ok", s.OK, "detail", s.Detail, "hint", s.Hint, "took", s.Took.Round(time.Microsecond))
}

// trace is of a stanza that came or goes.
func (w *wire) trace(way string, e *stanza.Element) {
	if w.log == nil || !w.log.Enabled(context.Background(), slog.LevelDebug) {
		return
	}
	args := []any{"server", w.target.String(), "name", e.Name.Local}
	for _, name := range []string{"type", "id", "from", "to"} {
		if value := e.Attr(name); value != "" {
			args = append(args, name, short(value))
		}
	}
	w.log.Debug(way, args...)
}
