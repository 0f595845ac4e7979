package xmpp

import (
	"context"

	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// Cluster implements xmppapi.API.
func (s *Server) Cluster(context.Context) (xmppapi.Cluster, error) { return xmppapi.Cluster{}, nil }

// ClusterInitialize implements xmppapi.API.
func (s *Server) ClusterInitialize(context.Context, bool) error {
	return problem.New(problem.ClusterNoMajority)
}

// ClusterJoin implements xmppapi.API.
func (s *Server) ClusterJoin(context.Context, string, bool) error {
	return problem.New(problem.ClusterNoMajority)
}

// ClusterLeave implements xmppapi.API.
func (s *Server) ClusterLeave(context.Context) error { return problem.New(problem.ClusterNotMember) }

// ClusterRemove implements xmppapi.API.
func (s *Server) ClusterRemove(context.Context, string) error {
	return problem.New(problem.ClusterNotMember)
}
