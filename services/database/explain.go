package database

import (
	"errors"
	"net"
	"strings"

	"parley/services/problem"
)

// codes are what the store and the connections between nodes say of XMPP's
// cluster, in the database's words.
var codes = map[problem.Code]problem.Code{
	problem.ClusterName: problem.DatabaseName, problem.ClusterRoute: problem.DatabaseRoute, problem.ClusterTLS: problem.DatabaseTLS,
	problem.NoLeader: problem.DatabaseNoLeader, problem.ClusterNoMajority: problem.DatabaseNoLeader,
	problem.StoreDamaged: problem.DatabaseDamaged, problem.ClusterNode: problem.DatabaseNode,
}

// explain makes an error of those packages the database's.
func explain(err error) error {
	p, ok := errors.AsType[*problem.Problem](err)
	if !ok {
		return err
	}
	code, ok := codes[p.Code]
	if !ok {
		return err
	}
	out := problem.New(code)
	out.Values = map[string]string{}
	for k, v := range p.Values {
		out.Values[k] = v
	}
	if node, ok := out.Values["node"]; ok {
		if host, port, err := net.SplitHostPort(node); err == nil && port == "5432" {
			out.Values["node"] = host
		}
	}
	if detail := out.Values["detail"]; strings.Contains(detail, "cluster mode is off there") {
		out.Values["detail"] = "what answers there is no Parley's database"
	}
	return out
}

// passing says that what failed may do in a moment.
func passing(err error) bool {
	switch problem.CodeOf(err) {
	case problem.DatabaseNoLeader, problem.DatabaseRoute, problem.NoLeader, problem.ClusterRoute, problem.ClusterNoMajority:
		return true
	}
	return false
}
