package callbridge

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/problem"
)

// byName is the zone in which servers are found, in this order.
func byName(servers ...*server) (records []string) {
	for i, s := range servers {
		name := fmt.Sprintf("cb%d.%s", i+1, domain)
		records = append(records, srv(10*i, name, s.addr), a(name, s.addr))
	}
	return records
}

func TestConnectsToTheServer(t *testing.T) {
	s := newServer(t, domain)
	secret := s.register("cb1", "")
	w := newWorld(t, config.BridgeLink{Name: "cb1", Domain: domain, Server: s.addr.String(), Secret: config.Secret(secret)}, s.cert)
	w.run()
	st := w.until(callbridgeapi.Connected)
	if host := s.addr.Addr().String(); st.Server != host || st.Address != s.addr || !strings.HasPrefix(st.XMPPRow, "connected to "+host+" (secure) for ") {
		t.Errorf("status %+v; want connected to %v", st, s.addr)
	}
	await(t, "the server to know it", func() bool { return s.connected("cb1") })

	if err := w.change(func(c *config.CallBridge) { c.Listen, c.Key = []string{"a"}, "callbridge.key" }); err != nil {
		t.Fatal(err)
	}
	if got := w.now(); got.Since != st.Since || got.State != callbridgeapi.Connected {
		t.Errorf("status %+v after a change of something else; want the connection to stay", got)
	}
	if err := w.change(func(c *config.CallBridge) { c.Enabled = false }); err != nil {
		t.Fatal(err)
	}
	if got := w.until(callbridgeapi.Off); got.XMPPRow != "disabled; type 'callbridge enable'" {
		t.Errorf("row %q; want that it is disabled", got.XMPPRow)
	}
	await(t, "the server to see it go", func() bool { return !s.connected("cb1") })
	if err := w.change(func(c *config.CallBridge) { c.Enabled, c.XMPP.Domain = true, "" }); err != nil {
		t.Fatal(err)
	}
	w.until(callbridgeapi.Unconfigured)
}

func TestReloadRefuses(t *testing.T) {
	w := newWorld(t, config.BridgeLink{Name: "cb1"}, newAuthority(t).pem)
	w.run()
	w.until(callbridgeapi.Unconfigured)
	before, err := os.ReadFile(w.paths.Live())
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name   string
		change func(*config.CallBridge)
		want   problem.Code
	}{
		{"name", func(c *config.CallBridge) { c.XMPP.Name = "cb1.tptac9.com" }, problem.BridgeName},
		{"server", func(c *config.CallBridge) { c.XMPP.Server = "a b" }, problem.LinkServer},
		{"trust", func(c *config.CallBridge) { c.Trust = "absent.crt" }, problem.LinkTrust},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := w.change(tt.change); problem.CodeOf(err) != tt.want {
				t.Errorf("Reload = %v; want %q", err, tt.want)
			}
			after, err := os.ReadFile(w.paths.Live())
			if err != nil || string(after) != string(before) {
				t.Errorf("live.json is %s, %v; want it as before", after, err)
			}
		})
	}
}

// TestAuthenticationFailure is the article's second scenario: cb1 has cb3's
// secret.
func TestAuthenticationFailure(t *testing.T) {
	s := newServer(t, domain)
	s.register("cb1", "")
	wrong := s.register("cb3", "")
	w := newWorld(t, config.BridgeLink{Name: "cb1", Domain: domain, Server: "localhost:5223", Secret: config.Secret(wrong)}, s.cert)
	w.own = append(w.own, s.addr.Addr())
	if err := w.store.Update(func(d *config.Document) error {
		d.CallBridge.XMPP.Server = fmt.Sprintf("localhost:%d", s.addr.Port())
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.run()
	st := w.until(callbridgeapi.Failed)
	if !strings.HasPrefix(st.XMPPRow, "failed to connect to localhost due to authentication failure (") || !strings.Contains(st.Hint, "'xmpp callbridge list'") {
		t.Errorf("status %+v; want the article's row and the command", st)
	}
	await(t, "the fault", func() bool { return w.log.fault().Key == faultKey })
	if got := w.log.messages(); !slices.Contains(got, `XMPP component connection disconnected due to failure reason: "authentication failure"`) {
		t.Errorf("events %q; want the failure", got)
	}
	w.log.mu.Lock()
	for _, e := range w.log.events {
		if strings.Contains(e.Hint, wrong) {
			t.Errorf("hint %q holds the secret", e.Hint)
		}
	}
	w.log.mu.Unlock()
	// It is mended by the name that the secret belongs to, at once.
	if err := w.change(func(c *config.CallBridge) { c.XMPP.Name = "cb3" }); err != nil {
		t.Fatal(err)
	}
	if st := w.until(callbridgeapi.Connected); st.Server != localhost || st.Name != "cb3" {
		t.Errorf("status %+v; want localhost, as cb3", st)
	}
	await(t, "no fault", func() bool { return w.log.fault().Key == "" })

	if err := w.change(func(c *config.CallBridge) { c.XMPP.Name = "cb9" }); err != nil {
		t.Fatal(err)
	}
	if st := w.until(callbridgeapi.Failed); st.Reason != callbridgeapi.AuthenticationFailure || !strings.Contains(st.Hint, "xmpp callbridge add-secret cb9") {
		t.Errorf("status %+v; want the unknown name, and how to register it", st)
	}
}

// TestClientPort: a record that points to the port of clients.
func TestClientPort(t *testing.T) {
	s := newServer(t, domain)
	secret := s.register("cb1", "")
	w := newWorld(t, config.BridgeLink{Name: "cb1", Domain: domain, Secret: config.Secret(secret)}, s.cert)
	w.zone.set(srv(0, "cb1."+domain, s.clients), a("cb1."+domain, s.clients))
	w.run()
	st := w.until(callbridgeapi.Failed)
	if st.Reason != callbridgeapi.ServiceUnavailable || st.Detail != "that is no component port" || !strings.Contains(st.Hint, "5223") {
		t.Errorf("status %+v; want the port named", st)
	}
}

// TestServersAreKilled: the server in use dies, again and again; each time the
// bridge is connected to another one within 2 s.
func TestServersAreKilled(t *testing.T) {
	const kills = 6
	servers := []*server{newServer(t, domain), newServer(t, domain), newServer(t, domain)}
	secret := servers[0].register("cb1", "")
	for _, s := range servers[1:] {
		s.register("cb1", secret)
	}
	w := newWorld(t, config.BridgeLink{Name: "cb1", Domain: domain, Secret: config.Secret(secret)}, servers[0].cert, servers[1].cert, servers[2].cert)
	w.zone.set(byName(servers...)...)
	w.run()
	w.until(callbridgeapi.Connected)
	var took []time.Duration
	for range kills {
		address := w.now().Address
		used := servers[slices.IndexFunc(servers, func(s *server) bool { return s.addr == address })]
		begun := time.Now()
		used.kill()
		await(t, "another connection", func() bool {
			st := w.now()
			return st.State == callbridgeapi.Connected && st.Address != used.addr
		})
		took = append(took, time.Since(begun))
		used.start()
	}
	slices.Sort(took)
	t.Logf("gaps: %v", took)
	// A machine that does other things makes some longer.
	if middle := took[kills/2]; middle > 2*time.Second {
		t.Errorf("half of the gaps are %v or longer; want 2 s at most", middle)
	}
	if f := w.log.fault(); f.Key != "" {
		t.Errorf("fault %+v; want none", f)
	}
}

// verdicts are what a test came to, without times.
func verdicts(steps []callbridgeapi.Step) []string {
	var out []string
	for _, s := range steps {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%s %s %v", s.Target, s.What, s.OK)))
	}
	return out
}

func TestWalk(t *testing.T) {
	servers := []*server{newServer(t, domain), newServer(t, "mail.example"), newServer(t, domain)}
	secret := servers[0].register("cb1", "")
	w := newWorld(t, config.BridgeLink{Name: "cb1", Domain: domain, Secret: config.Secret(secret)}, servers[0].cert, servers[2].cert)
	w.zone.set(append(byName(servers...), srv(40, "gone."+domain, servers[0].addr))...)
	ways := []string{
		"DNS SRV true",
		"cb1.tptac9.com DNS A true", "cb1.tptac9.com TCP true", "cb1.tptac9.com TLS true", "cb1.tptac9.com authentication true",
		"cb2.tptac9.com DNS A true", "cb2.tptac9.com TCP true", "cb2.tptac9.com TLS false",
		"cb3.tptac9.com DNS A true", "cb3.tptac9.com TCP true", "cb3.tptac9.com TLS true", "cb3.tptac9.com authentication false",
		"gone.tptac9.com DNS A false",
	}
	steps, err := w.Test(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(ways, verdicts(steps)); d != "" {
		t.Errorf("steps before there is a connection (-want +got):\n%s", d)
	}
	for _, s := range steps {
		if (s.Hint == "") != s.OK || s.Detail == "" {
			t.Errorf("step %+v; want a detail, and a hint where it failed", s)
		}
	}

	w.run()
	before := w.until(callbridgeapi.Connected)
	client := callbridgeapi.NewClient(w.paths.Socket("callbridge"))
	if steps, err = client.Test(t.Context()); err != nil {
		t.Fatal(err)
	}
	if d := cmp.Diff(ways, verdicts(steps)); d != "" {
		t.Errorf("steps while there is one (-want +got):\n%s", d)
	}
	if after, err := client.Status(t.Context()); err != nil || after.State != callbridgeapi.Connected || !after.Since.Equal(before.Since) {
		t.Errorf("status %+v, %v; want the connection since %v untouched", after, err, before.Since)
	}
	if err := client.Restart(t.Context()); err != nil {
		t.Fatal(err)
	}
	await(t, "a new connection", func() bool { st := w.now(); return st.State == callbridgeapi.Connected && st.Since.After(before.Since) })
}

// TestWalkEndsNoConnection: whatever the bridge is about, a Test does not take
// its place at the server.
func TestWalkEndsNoConnection(t *testing.T) {
	s := newServer(t, domain)
	secret := s.register("cb1", "")
	w := newWorld(t, config.BridgeLink{Name: "cb1", Domain: domain, Server: s.addr.String(), Secret: config.Secret(secret)}, s.cert)
	w.run()
	for range 20 {
		if err := w.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		for range 3 {
			steps, err := w.Test(t.Context())
			if err != nil || slices.ContainsFunc(steps, func(s callbridgeapi.Step) bool { return !s.OK }) {
				t.Fatalf("Test = %+v, %v; want success", steps, err)
			}
		}
	}
	w.until(callbridgeapi.Connected)
	await(t, "the events", func() bool { return len(w.log.messages()) > 0 })
	for _, m := range w.log.messages() {
		if !strings.HasPrefix(m, "XMPP component connection established") {
			t.Errorf("event %q; want none but of connections made", m)
		}
	}
}

func TestWalkOfNothing(t *testing.T) {
	w := newWorld(t, config.BridgeLink{Domain: domain})
	for _, tt := range []struct {
		name string
		link config.BridgeLink
		want string
	}{
		{"no name", config.BridgeLink{Domain: domain}, "callbridge xmpp name <name>"},
		{"no domain", config.BridgeLink{Name: "cb1"}, "callbridge xmpp domain <domain>"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if err := w.store.Update(func(d *config.Document) error { d.CallBridge.XMPP = tt.link; d.CallBridge.Trust = ""; return nil }); err != nil {
				t.Fatal(err)
			}
			if _, err := w.Test(t.Context()); problem.CodeOf(err) != problem.LinkUnready || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("Test = %v; want LinkUnready with %q", err, tt.want)
			}
		})
	}
}

// TestTakesTheSocketOfAKilledOne: the socket of one that was killed is replaced.
func TestTakesTheSocketOfAKilledOne(t *testing.T) {
	w := newWorld(t, config.BridgeLink{}, newAuthority(t).pem)
	if err := os.MkdirAll(filepath.Dir(w.paths.Socket("callbridge")), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.paths.Socket("callbridge"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.run()
	client := callbridgeapi.NewClient(w.paths.Socket("callbridge"))
	await(t, "an answer", func() bool {
		st, err := client.Status(t.Context())
		return err == nil && st.State == callbridgeapi.Unconfigured
	})
}

func TestRows(t *testing.T) {
	now := time.Date(2017, 8, 13, 5, 16, 17, 0, time.UTC)
	failure := &failure{reason: callbridgeapi.AuthenticationFailure, detail: "d", hint: "h"}
	for _, tt := range []struct {
		name string
		s    status
		want string
	}{
		{"before Run", status{}, "not configured"},
		{"off", status{state: callbridgeapi.Off}, "not configured"},
		{"off, with a name alone", status{state: callbridgeapi.Off, conf: config.BridgeLink{Name: "cb1"}}, "not configured"},
		{"disabled", status{state: callbridgeapi.Off, conf: config.BridgeLink{Name: "cb1", Domain: domain}}, "disabled; type 'callbridge enable'"},
		{"enabled without a name", status{state: callbridgeapi.Unconfigured, conf: config.BridgeLink{Domain: domain}}, "not configured"},
		{"first try", status{state: callbridgeapi.Connecting}, "connecting"},
		{"connected", status{state: callbridgeapi.Connected, server: "cb1", since: now.Add(-24*time.Minute - 26*time.Second)}, "connected to cb1 (secure) for 24 minutes, 26 seconds"},
		{"the article's", status{state: callbridgeapi.Failed, server: "localhost", failure: failure, failedAt: now.Add(-62 * time.Second)}, "failed to connect to localhost due to authentication failure (1 minute, 2 seconds ago)"},
		{"while it tries again", status{state: callbridgeapi.Connecting, server: "localhost", failure: failure, failedAt: now.Add(-64 * time.Second)}, "failed to connect to localhost due to authentication failure (1 minute, 4 seconds ago)"},
		{"no server found", status{state: callbridgeapi.Failed, failure: failure, failedAt: now.Add(-26 * time.Hour)}, "failed to connect due to authentication failure (1 day, 2 hours, 0 minutes, 0 seconds ago)"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := tt.s.tell(now, "")
			if got.XMPPRow != tt.want || got.AuthenticationRow != "no authentication components found" {
				t.Errorf("rows %q, %q; want %q", got.XMPPRow, got.AuthenticationRow, tt.want)
			}
		})
	}
}
