package webadmin

import (
	"context"
	"net/http"

	"parley/services/eventlog/eventlogapi"
)

// statusView is Status > General.
type statusView struct {
	Rows   []statusRow
	Faults []eventlogapi.Fault
	Recent []eventlogapi.Event
	// FaultsFailure and RecentFailure are why there are none to show.
	FaultsFailure, RecentFailure string
}

// statusRow is a label, by its key, and its value. Hint is ours beside it.
type statusRow struct {
	Label, Value, Hint string
	// English says that Value is another service's text.
	English bool
}

// noCalls are the rows about calls: this product has none, and tools that read
// the page expect them.
var noCalls = []string{
	"status.cma", "status.sip", "status.lync", "status.forwarded", "status.completed", "status.conferences",
	"status.subscribers", "status.outgoing", "status.incoming",
}

// recentEvents is how many errors and warnings the page shows.
const recentEvents = 20

func (s *Server) statusPage(w http.ResponseWriter, r *http.Request, v *visitor) error {
	ctx, cancel := brief(r)
	defer cancel()
	data := statusView{Rows: s.statusRows(ctx, s.words(r))}
	var err error
	if data.Faults, err = s.deps.Events.Faults(ctx); err != nil {
		data.FaultsFailure = s.explain(err)
	}
	data.Recent, err = s.deps.Events.Events(ctx, eventlogapi.Query{
		Limit: recentEvents, Levels: []eventlogapi.Level{eventlogapi.Warning, eventlogapi.Error},
	})
	if err != nil {
		data.RecentFailure = s.explain(err)
	}
	s.show(w, r, http.StatusOK, v, "status", data)
	return nil
}

// statusRows are the article's, in its order. What is not known says why.
func (s *Server) statusRows(ctx context.Context, in words) []statusRow {
	uptime, version := statusRow{Label: "status.uptime"}, statusRow{Label: "status.version"}
	if st, err := s.deps.Init.Status(ctx); err != nil {
		uptime.Value = in.text("status.unknown")
		uptime.Hint = s.explain(err)
		version.Value = uptime.Value
	} else {
		uptime.Value, version.Value = in.duration(s.deps.Now().Sub(st.Booted)), st.Version
	}
	xmpp, authentication := statusRow{Label: "status.xmpp"}, statusRow{Label: "status.authentication"}
	if st, err := s.deps.CallBridge.Status(ctx); err != nil {
		xmpp.Value = in.text("status.unknown")
		xmpp.Hint = s.explain(err)
		authentication.Value = xmpp.Value
	} else {
		xmpp.Value, xmpp.Hint, authentication.Value = st.XMPPRow, st.Hint, st.AuthenticationRow
		xmpp.English, authentication.English = true, true
	}
	rows := []statusRow{uptime, version, xmpp, authentication, {Label: "status.edge", Value: in.text("status.edge.none")}}
	for _, label := range noCalls {
		rows = append(rows, statusRow{Label: label, Value: "0"})
	}
	return rows
}
