package webadmin

import (
	"context"
	"net/http"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/database/databaseapi"
)

// metrics answers Prometheus, which logs in as other programs do.
func (s *Server) metrics(w http.ResponseWriter, r *http.Request) {
	if _, err := s.programOf(r); err != nil {
		s.refuse(w, err)
		return
	}
	ctx, cancel := brief(r)
	defer cancel()
	registry := prometheus.NewRegistry()
	registry.MustRegister(&gauges{s, ctx})
	promhttp.HandlerFor(registry, promhttp.HandlerOpts{DisableCompression: true}).ServeHTTP(w, r)
}

// gauges is the node's state at the moment of one request. What a service
// that does not answer would have told is missing, and parley_service_up says
// so.
type gauges struct {
	s   *Server
	ctx context.Context
}

// Describe sends nothing: which metrics there are depends on what answers.
func (*gauges) Describe(chan<- *prometheus.Desc) {}

// Collect implements prometheus.Collector.
func (g *gauges) Collect(out chan<- prometheus.Metric) {
	g.init(out)
	g.xmpp(out)
	g.cluster(out)
	if g.bridge(out) {
		g.directory(out)
	}
	g.database(out)
	g.network(out)
	g.faults(out)
}

// gauge sends one value; labels are names and values in turn.
func gauge(out chan<- prometheus.Metric, name, help string, value float64, labels ...string) {
	var names, values []string
	for i := 0; i < len(labels); i += 2 {
		names, values = append(names, labels[i]), append(values, labels[i+1])
	}
	out <- prometheus.MustNewConstMetric(prometheus.NewDesc("parley_"+name, help, names, nil), prometheus.GaugeValue, value, values...)
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

func up(out chan<- prometheus.Metric, service string, err error) bool {
	gauge(out, "service_up", "Whether a service answers.", number(err == nil), "service", service)
	return err == nil
}

// at is a time in seconds since 1970.
func at(t time.Time) float64 { return float64(t.UnixMilli()) / 1000 }

func (g *gauges) init(out chan<- prometheus.Metric) {
	st, err := g.s.deps.Init.Status(g.ctx)
	if !up(out, "init", err) {
		return
	}
	gauge(out, "info", "The node's version and name.", 1, "version", st.Version, "hostname", g.s.host())
	gauge(out, "start_time_seconds", "When the node started, in seconds since 1970.", at(st.Booted))
	for _, v := range st.Services {
		gauge(out, "service_restarts", "Ends of a service that nobody asked for.", float64(v.Restarts), "service", v.Name)
	}
}

func (g *gauges) xmpp(out chan<- prometheus.Metric) {
	st, err := g.s.deps.XMPP.Status(g.ctx)
	if !up(out, "xmpp", err) {
		return
	}
	gauge(out, "xmpp_running", "Whether clients are served.", number(st.Running))
	gauge(out, "xmpp_client_sessions", "Clients that are connected to this node.", float64(st.Sessions))
	gauge(out, "xmpp_callbridges_connected", "Call Bridges that are connected to this node.", float64(st.Components))
	gauge(out, "xmpp_accounts", "Chat accounts.", float64(st.Accounts))
	gauge(out, "xmpp_messages_waiting", "Messages that wait for their recipient.", float64(st.Pending))
	gauge(out, "xmpp_log_index", "Last index of the replicated log.", float64(st.LastIndex))
	if !st.Expires.IsZero() {
		gauge(out, "xmpp_certificate_expiry_seconds", "When the certificate ends, in seconds since 1970.", at(st.Expires))
	}
}

func (g *gauges) cluster(out chan<- prometheus.Metric) {
	c, err := g.s.deps.XMPP.Cluster(g.ctx)
	if err != nil {
		// xmpp has told that it does not answer.
		return
	}
	gauge(out, "cluster_member", "Whether this node is in a cluster.", number(c.Member))
	if !c.Member {
		return
	}
	gauge(out, "cluster_leader_known", "Whether the cluster has a leader.", number(c.Leader))
	gauge(out, "cluster_margin", "How many more nodes may fail; -1 without a majority.", float64(c.Margin))
	gauge(out, "cluster_state_change_seconds", "When this node's state last changed, in seconds since 1970.", at(c.StateChange))
	for _, n := range c.Nodes {
		gauge(out, "cluster_node_leader", "Whether a node leads.", number(n.Leader), "node", n.Address)
		gauge(out, "cluster_node_reachable", "Whether a node can be reached from this one.", number(n.Self || n.Reachable), "node", n.Address)
		gauge(out, "cluster_node_lag", "Log entries that a node is behind the leader.", float64(n.Lag), "node", n.Address)
		gauge(out, "cluster_node_clock_seconds", "How far a node's clock is ahead of this node's.", n.Clock.Seconds(), "node", n.Address)
	}
}

// bridge returns whether the Call Bridge answers and is enabled.
func (g *gauges) bridge(out chan<- prometheus.Metric) bool {
	st, err := g.s.deps.CallBridge.Status(g.ctx)
	if !up(out, "callbridge", err) {
		return false
	}
	gauge(out, "callbridge_connected", "Whether this node's Call Bridge is connected.", number(st.State == callbridgeapi.Connected))
	return st.State != callbridgeapi.Off
}

// directory is the LDAP server as this node's Call Bridge knows it. One that is
// disabled asks nothing of it that a person could miss.
func (g *gauges) directory(out chan<- prometheus.Metric) {
	d, err := g.s.deps.CallBridge.Directory(g.ctx)
	if err != nil {
		// callbridge has told that it does not answer.
		return
	}
	gauge(out, "directory_configured", "Whether an LDAP server is set.", number(d.Configured))
	if !d.Configured {
		return
	}
	gauge(out, "directory_answers", "Whether the LDAP server could be asked when it was last.", number(d.Trouble == ""))
	gauge(out, "directory_offered", "Whether XMPP may ask this Call Bridge for passwords.", number(d.Offered))
	if !d.Synced.IsZero() {
		gauge(out, "directory_users", "Users in the last list of the LDAP server.", float64(d.Users))
		gauge(out, "directory_synced_seconds", "When the users were last listed, in seconds since 1970.", at(d.Synced))
	}
}

func (g *gauges) database(out chan<- prometheus.Metric) {
	d, err := g.s.deps.Database.Status(g.ctx)
	if !up(out, "database", err) {
		return
	}
	gauge(out, "database_clustered", "Whether this node shares the Call Bridges' database.", number(d.Mode != databaseapi.Alone))
	gauge(out, "database_takes_changes", "Whether the database takes changes.", number(d.Trouble == ""))
	for _, n := range d.Nodes {
		gauge(out, "database_node_primary", "Whether changes of the database go to a node.", number(n.Primary), "node", n.Address)
		gauge(out, "database_node_connected", "Whether a node's database can be reached.", number(n.Connected), "node", n.Address)
		if n.Connected {
			gauge(out, "database_node_behind", "Changes that a node's database has yet to take.", float64(n.Behind), "node", n.Address)
		}
	}
}

func (g *gauges) network(out chan<- prometheus.Metric) {
	_, err := g.s.deps.Network.Interfaces(g.ctx)
	up(out, "network", err)
}

func (g *gauges) faults(out chan<- prometheus.Metric) {
	faults, err := g.s.deps.Events.Faults(g.ctx)
	if !up(out, "eventlog", err) {
		return
	}
	gauge(out, "faults", "Fault conditions.", float64(len(faults)))
	for _, f := range faults {
		gauge(out, "fault_since_seconds", "Since when a fault condition lasts, in seconds since 1970.", at(f.Since), "key", f.Key)
	}
}
