package resolver

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/miekg/dns"
)

func TestTrace(t *testing.T) {
	r, _ := setup{
		zones: []string{". 10.0.0.1", "broken.example 10.0.0.3"}, records: []string{"local.example.com 60 A 10.0.0.5"},
		servers: map[string]func(*dns.Msg, string) *dns.Msg{"10.0.0.1": zone(t, "cb1.example.com. 300 A 192.0.2.5"), "10.0.0.3": code(dns.RcodeServerFailure)},
	}.resolver(t)
	var log bytes.Buffer
	ask := func(level slog.Level) string {
		log.Reset()
		r.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))
		for _, name := range []string{"cb1.example.com", "cb1.example.com", "local.example.com", "nobody.example.com", "x.broken.example"} {
			// One of them fails.
			_, _ = r.Resolve(t.Context(), name, dns.TypeA)
		}
		return log.String()
	}
	got := ask(slog.LevelDebug)
	for _, want := range []string{
		`code=NOERROR records=1 from=server server=10.0.0.1:53`,
		`msg=question name=cb1.example.com type=A took=`, `code=NOERROR records=1 from=cache`,
		`code=NOERROR records=1 from="local record"`,
		`code=NXDOMAIN records=0 from=server`,
		`msg="question without an answer" name=x.broken.example type=A took=`,
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the log has no %q:\n%s", want, got)
		}
	}
	if got := ask(slog.LevelInfo); got != "" {
		t.Errorf("without a trace the log has:\n%s", got)
	}
}
