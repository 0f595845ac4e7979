package webadmin

import (
	"net/http"
	"time"

	"parley/services/eventlog/eventlogapi"
	"parley/services/xmpp/xmppapi"
)

// clusterView is Status > Cluster.
type clusterView struct {
	Status  xmppapi.Status
	Cluster xmppapi.Cluster
	Nodes   []clusterNode
	Bridges []xmppapi.CallBridge
	// Stands is how the cluster stands: "outside", "down", "leaderless",
	// "brittle" or "good".
	Stands string
	// Timeline are the last changes of the leader, TimelineFailure why they are
	// not known.
	Timeline        timeline
	TimelineFailure string
}

// clusterNode is a member, as words.
type clusterNode struct {
	xmppapi.Node
	// Known says that its log is.
	Known bool
	// Clock is how far its clock is off, "" while that does not matter.
	Clock string
	// X and Y are its place in the picture, X2 and Y2 this node's.
	X, Y, X2, Y2 int
}

// clockMatters is from when on a clock is told of.
const clockMatters = time.Second

func (s *Server) clusterPage(w http.ResponseWriter, r *http.Request, v *visitor) error {
	ctx, cancel := brief(r)
	defer cancel()
	var data clusterView
	var err error
	if data.Status, err = s.deps.XMPP.Status(ctx); err != nil {
		return err
	}
	if data.Cluster, err = s.deps.XMPP.Cluster(ctx); err != nil {
		return err
	}
	if data.Bridges, err = s.deps.XMPP.CallBridges(ctx); err != nil {
		return err
	}
	// No template can show what it does not have.
	for i := range data.Bridges {
		data.Bridges[i].Secret = ""
	}
	data.Nodes, data.Stands = clusterNodes(data.Cluster.Nodes), stands(data.Cluster)
	if data.Cluster.Member {
		events, err := s.deps.Events.Events(ctx, eventlogapi.Query{Text: eventlogapi.LeaderChangeText, Limit: maxChanges})
		if err != nil {
			data.TimelineFailure = s.explain(err)
		}
		data.Timeline = newTimeline(events, s.deps.Now())
	}
	s.show(w, r, http.StatusOK, v, "cluster", data)
	return nil
}

func stands(c xmppapi.Cluster) string {
	switch {
	case c.Outside:
		return "outside"
	case c.Margin < 0:
		return "down"
	case !c.Leader:
		return "leaderless"
	case c.Margin == 0:
		return "brittle"
	}
	return "good"
}

func clusterNodes(nodes []xmppapi.Node) []clusterNode {
	out := make([]clusterNode, len(nodes))
	places := circle(len(nodes))
	var self place
	for i, n := range nodes {
		if n.Self {
			self = places[i]
		}
	}
	for i, n := range nodes {
		out[i] = clusterNode{
			Node: n, Known: n.Self || n.Reachable || n.LastIndex > 0,
			X: places[i].x, Y: places[i].y, X2: self.x, Y2: self.y,
		}
		if off := n.Clock.Round(100 * time.Millisecond); off.Abs() > clockMatters {
			out[i].Clock = off.String()
		}
	}
	return out
}
