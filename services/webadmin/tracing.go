package webadmin

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"parley/services/eventlog/trace"
	"parley/services/problem"
)

// tracingView is Logs > Detailed tracing.
type tracingView struct {
	Rows []traceRow
	// Minutes are how long a trace may be asked for.
	Minutes []traceTime
}

// traceRow is a subsystem; Until is zero while it is not traced.
type traceRow struct {
	Subsystem string
	Until     time.Time
}

// traceTime is a number of minutes, and the key of its text.
type traceTime struct {
	Minutes int
	Label   string
}

// traceTimes are the original's.
var traceTimes = []traceTime{{1, "tracing.1"}, {10, "tracing.10"}, {30, "tracing.30"}, {24 * 60, "tracing.1440"}}

func (s *Server) tracingPage(w http.ResponseWriter, r *http.Request, v *visitor) error {
	ctx, cancel := brief(r)
	defer cancel()
	traces, err := s.deps.Events.Traces(ctx)
	if err != nil {
		return err
	}
	data := tracingView{Minutes: traceTimes}
	for _, subsystem := range trace.Subsystems() {
		data.Rows = append(data.Rows, traceRow{subsystem, traces[subsystem]})
	}
	s.show(w, r, http.StatusOK, v, "tracing", data)
	return nil
}

// setTrace starts a trace, or one anew, or, for 0 minutes, ends it.
func (s *Server) setTrace(w http.ResponseWriter, r *http.Request, v *visitor) error {
	subsystem := r.PostFormValue("subsystem")
	minutes, err := strconv.Atoi(r.PostFormValue("minutes"))
	known := minutes == 0 || slices.ContainsFunc(traceTimes, func(t traceTime) bool { return t.Minutes == minutes })
	if err != nil || !known || !slices.Contains(trace.Subsystems(), subsystem) {
		return problem.New(problem.PageUnknown, "page", r.URL.Path)
	}
	if err := s.audit(v.who(), traceCommand(subsystem, minutes)); err != nil {
		return err
	}
	ctx, cancel := brief(r)
	defer cancel()
	if err := s.deps.Events.Trace(ctx, subsystem, time.Duration(minutes)*time.Minute); err != nil {
		return err
	}
	http.Redirect(w, r, "/logs/tracing", http.StatusSeeOther)
	return nil
}

// traceCommand is the console's.
func traceCommand(subsystem string, minutes int) string {
	command := "eventlog trace " + trace.Word(subsystem)
	if minutes == 0 {
		return command + " off"
	}
	return fmt.Sprintf("%s %d", command, minutes)
}
