package webadmin

import (
	"encoding/json"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/init/initapi"
	"parley/services/callbridge/callbridgeapi"
)

func TestMetrics(t *testing.T) {
	s := newAPISite(t)
	s.bridge.directory = callbridgeapi.Directory{Configured: true, Users: 12, Synced: start, Trouble: "it is down"}
	b := s.program("api", password)
	got := b.get("/metrics")
	for _, want := range []string{
		`parley_info{hostname="cb1",version="2.2.5"} 1`, `parley_service_up{service="xmpp"} 1`, "parley_xmpp_running 1", "parley_xmpp_client_sessions 12", "parley_xmpp_messages_waiting 7",
		"parley_cluster_margin 1", `parley_cluster_node_lag{node="10.106.81.31:5222"} 2`, `parley_cluster_node_clock_seconds{node="10.106.81.31:5222"} 1.5`,
		`parley_cluster_node_leader{node="10.106.81.30:5222"} 1`, "parley_callbridge_connected 0", "parley_faults 2",
		`parley_service_up{service="database"} 1`, `parley_service_up{service="network"} 1`, "parley_database_clustered 1", "parley_database_takes_changes 0",
		`parley_database_node_primary{node="10.106.81.30"} 1`, `parley_database_node_behind{node="10.106.81.31"} 3`, `parley_database_node_connected{node="10.106.81.32"} 0`,
		"parley_directory_configured 1", "parley_directory_answers 0", "parley_directory_offered 0", "parley_directory_users 12", "parley_directory_synced_seconds 1.7953776e+09", `parley_fault_since_seconds{key="callbridge.xmpp"} 1.79537754e+09`,
	} {
		if !strings.Contains(got.body, want+"\n") {
			t.Errorf("no line %s in\n%s", want, got.body)
		}
	}
	s.bridge.status.State = callbridgeapi.Off
	if got = b.get("/metrics"); !strings.Contains(got.body, `parley_service_up{service="callbridge"} 1`) || strings.Contains(got.body, "parley_directory") {
		t.Errorf("with the Call Bridge disabled:\n%s\nwant nothing of the LDAP server", got.body)
	}
	s.xmpp.gone, s.events.gone, s.bridge.gone, s.database.gone, s.network.gone = true, true, true, true, true
	got = b.get("/metrics")
	for _, service := range []string{"callbridge", "database", "network"} {
		if !strings.Contains(got.body, `parley_service_up{service="`+service+`"} 0`) || strings.Contains(got.body, "parley_"+service) || strings.Contains(got.body, "parley_directory") {
			t.Errorf("with %s gone:\n%s\nwant to be told, and no values made up", service, got.body)
		}
	}
	if got.status != 200 || !strings.Contains(got.body, `parley_service_up{service="xmpp"} 0`) || strings.Contains(got.body, "parley_xmpp_running") || strings.Contains(got.body, "parley_cluster") {
		t.Errorf("with XMPP gone = %d\n%s\nwant to be told, and no values made up", got.status, got.body)
	}
}

// TestDashboard: the file for Grafana asks for all that /metrics has, and for
// nothing else, in panels that do not cover one another.
func TestDashboard(t *testing.T) {
	s := newAPISite(t)
	s.bridge.directory = callbridgeapi.Directory{Configured: true, Users: 12, Synced: start}
	s.init.status.Services = []initapi.Service{{Name: "xmpp"}}
	b := s.program("api", password)
	var dashboard struct {
		Templating struct{ List []struct{ Query string } }
		Panels     []struct {
			ID      int
			Title   string
			GridPos struct{ X, Y, W, H int }
			Targets []struct{ RefID, Expr string }
		}
	}
	check(t, json.Unmarshal([]byte(b.get("/static/grafana.json").body), &dashboard))
	there := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^# TYPE (\S+) gauge$`).FindAllStringSubmatch(b.get("/metrics").body, -1) {
		there[m[1]] = true
	}
	name := regexp.MustCompile(`parley_[a-z_]+`)
	asked := map[string]bool{}
	for _, v := range dashboard.Templating.List {
		for _, f := range name.FindAllString(v.Query, -1) {
			asked[f] = true
		}
	}
	type cell struct{ x, y int }
	at, ids := map[cell]string{}, map[int]bool{}
	for _, p := range dashboard.Panels {
		if ids[p.ID] {
			t.Errorf("panel %q has the number %d of another", p.Title, p.ID)
		}
		ids[p.ID] = true
		for x := p.GridPos.X; x < p.GridPos.X+p.GridPos.W; x++ {
			for y := p.GridPos.Y; y < p.GridPos.Y+p.GridPos.H; y++ {
				if other, taken := at[cell{x, y}]; taken || x >= 24 {
					t.Fatalf("panel %q is over %q, or the edge, at %d, %d", p.Title, other, x, y)
				}
				at[cell{x, y}] = p.Title
			}
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			found := name.FindAllString(target.Expr, -1)
			if len(found) != strings.Count(target.Expr, `{instance=~"$node"}`) || len(found) == 0 || refs[target.RefID] {
				t.Errorf("panel %q: %s %q; want metrics of the chosen nodes, by a reference of its own", p.Title, target.RefID, target.Expr)
			}
			refs[target.RefID] = true
			for _, f := range found {
				asked[f] = true
			}
		}
		if len(p.Targets) == 0 {
			t.Errorf("panel %q asks for nothing", p.Title)
		}
	}
	if diff := cmp.Diff(there, asked); diff != "" {
		t.Errorf("what the dashboard asks for (-/metrics +dashboard):\n%s", diff)
	}
}
