package webadmin

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"parley/services/eventlog/eventlogapi"
	"parley/services/journal"
)

// eventsView is Logs > Event log.
type eventsView struct {
	Events []eventlogapi.Event
	// The filter, as it was given.
	Levels []levelChoice
	Text   string
	Limit  int
	Limits []int
	// Query is the filter for links.
	Query string
	// Clear asks whether the log is to be cleared, in place of all else.
	Clear bool
}

type levelChoice struct {
	Level  eventlogapi.Level
	Chosen bool
}

const maxEvents = 1000

func (s *Server) eventsPage(w http.ResponseWriter, r *http.Request, v *visitor) error {
	if r.FormValue("do") == "clear" {
		s.show(w, r, http.StatusOK, v, "events", eventsView{Clear: true})
		return nil
	}
	q := eventQuery(r)
	data := eventsView{Text: q.Text, Limit: q.Limit, Limits: []int{100, 500, maxEvents}, Query: r.URL.RawQuery}
	for _, l := range []eventlogapi.Level{eventlogapi.Info, eventlogapi.Warning, eventlogapi.Error} {
		data.Levels = append(data.Levels, levelChoice{l, slices.Contains(q.Levels, l)})
	}
	var err error
	if data.Events, err = s.events(r, q); err != nil {
		return err
	}
	s.show(w, r, http.StatusOK, v, "events", data)
	return nil
}

// eventQuery reads a filter; what makes no sense does not count.
func eventQuery(r *http.Request) eventlogapi.Query {
	q := eventlogapi.Query{Text: strings.TrimSpace(r.FormValue("text")), Limit: 100}
	if n, err := strconv.Atoi(r.FormValue("limit")); err == nil {
		q.Limit = min(max(n, 1), maxEvents)
	}
	for _, l := range []eventlogapi.Level{eventlogapi.Info, eventlogapi.Warning, eventlogapi.Error} {
		if slices.Contains(r.Form["level"], string(l)) {
			q.Levels = append(q.Levels, l)
		}
	}
	return q
}

// events are those that a filter lets through, the newest first.
func (s *Server) events(r *http.Request, q eventlogapi.Query) ([]eventlogapi.Event, error) {
	ctx, cancel := brief(r)
	defer cancel()
	return s.deps.Events.Events(ctx, q)
}

// downloadEvents is the log as text, a line an event, with tabs between date,
// time, level and message, in their order as logs in files are.
func (s *Server) downloadEvents(w http.ResponseWriter, r *http.Request, _ *visitor) error {
	q := eventQuery(r)
	q.Limit = maxEvents
	es, err := s.events(r, q)
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.Header().Set("Content-Disposition", fmt.Sprintf(`attachment; filename="eventlog-%s-%s.txt"`, s.host(), s.deps.Now().UTC().Format("20060102-150405")))
	for _, e := range slices.Backward(es) {
		fmt.Fprintf(w, "%s\t%s\t%s\n", e.Time.UTC().Format("2006-01-02\t15:04:05.000"), e.Level, journal.Clean(e.Message))
	}
	return nil
}

func (s *Server) clearEvents(w http.ResponseWriter, r *http.Request, v *visitor) error {
	if err := s.audit(v.who(), "eventlog clear"); err != nil {
		return err
	}
	ctx, cancel := brief(r)
	defer cancel()
	if _, err := s.deps.Events.Clear(ctx, v.Name); err != nil {
		return err
	}
	http.Redirect(w, r, "/logs/events?done=cleared", http.StatusSeeOther)
	return nil
}
