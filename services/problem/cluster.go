package problem

// Codes of the XMPP cluster.
const (
	// ClusterOff: cluster mode is off; ClusterOn: this node is a member, and
	// {command} is not for one.
	ClusterOff Code = "cluster-off"
	ClusterOn  Code = "cluster-on"
	// ClusterModeOn: cluster mode is on, {command} needs it off.
	ClusterModeOn Code = "cluster-mode-on"
	// ClusterXMPPEnabled and ClusterXMPPDisabled: {command} is for the other.
	ClusterXMPPEnabled  Code = "cluster-xmpp-enabled"
	ClusterXMPPDisabled Code = "cluster-xmpp-disabled"
	// ClusterUnready: {missing} is set by {command}, which comes first.
	ClusterUnready Code = "cluster-unready"
	// ClusterMember and ClusterNotMember: this node is one, or is none.
	ClusterMember    Code = "cluster-member"
	ClusterNotMember Code = "cluster-not-member"
	// ClusterTrust: {file} cannot be trusted by: {detail}.
	ClusterTrust Code = "cluster-trust"
	// ClusterTrustSelf: {file} does not cover this node's own certificate
	// {certificate}, which {detail}.
	ClusterTrustSelf Code = "cluster-trust-self"
	// ClusterTrustNew: {file} does not cover the certificate {certificate}, which
	// this node, in cluster mode, is to have; it {detail}.
	ClusterTrustNew Code = "cluster-trust-new"
	// ClusterAddress: no address on interface {interface} to be reached by.
	ClusterAddress Code = "cluster-address"
	// ClusterName: {node} does not resolve: {detail}.
	ClusterName Code = "cluster-name"
	// ClusterRoute: {node} cannot be reached: {detail}.
	ClusterRoute Code = "cluster-route"
	// ClusterTLS: TLS with {node} failed: {detail} names the certificate.
	ClusterTLS Code = "cluster-tls"
	// ClusterBack: {node} cannot reach this node at {address}: {detail}.
	ClusterBack Code = "cluster-back"
	// ClusterSelf: {node} is this node.
	ClusterSelf Code = "cluster-self"
	// ClusterNone: {node} is in no cluster.
	ClusterNone Code = "cluster-none"
	// ClusterDomain: {node} serves {theirs}, this node {ours}.
	ClusterDomain Code = "cluster-domain"
	// ClusterClock: the clock of {node} and this are {seconds} s apart.
	ClusterClock Code = "cluster-clock"
	// ClusterVersion: {node} runs {theirs}, this node {ours}.
	ClusterVersion Code = "cluster-version"
	// ClusterSecret: Call Bridges {names} have other secrets here; {first} is one.
	ClusterSecret Code = "cluster-secret"
	// ClusterBridge: the cluster has no Call Bridges {names}, of which {first} is
	// one.
	ClusterBridge Code = "cluster-bridge"
	// ClusterOwn: this node has {accounts} accounts that a join would drop.
	ClusterOwn Code = "cluster-own"
	// ClusterNoMajority: too few nodes can be reached.
	ClusterNoMajority Code = "cluster-no-majority"
	// ClusterElecting: the cluster has no leader, though {up} of its {nodes}
	// nodes, which is enough, can be reached.
	ClusterElecting Code = "cluster-electing"
	// ClusterNeeded: without {node} too few of the others, of which {lost} are
	// not reached, would be left; {first} is one of them.
	ClusterNeeded Code = "cluster-needed"
	// ClusterOutside: the members have taken this node out, and it has yet to
	// hear whether that is final.
	ClusterOutside Code = "cluster-outside"
	// ClusterLiving: {node}, which is to be taken out, can be reached.
	ClusterLiving Code = "cluster-living"
	// ClusterNode: {node} is no member; {members} are.
	ClusterNode Code = "cluster-node"
	// ClusterLast: the one member cannot leave.
	ClusterLast Code = "cluster-last"
	// ClusterLate: {node} did not finish in time while {doing}.
	ClusterLate Code = "cluster-late"
	// ClusterBusy: {doing} is under way.
	ClusterBusy Code = "cluster-busy"
	// ClusterJoined: a join that was given up had already succeeded.
	ClusterJoined Code = "cluster-joined"
	// ClusterStillMember: this node was reset and could not tell the others,
	// which have it as {address}. A warning.
	ClusterStillMember Code = "cluster-still-member"
)

var cluster = map[Code]string{
	ClusterOff:          "cluster mode is off; type 'xmpp disable', then 'xmpp cluster enable'",
	ClusterOn:           "this node is a member of a cluster; type 'xmpp cluster remove' before '{command}'",
	ClusterModeOn:       "cluster mode is on; type 'xmpp cluster disable' before '{command}'",
	ClusterXMPPEnabled:  "XMPP is enabled; type 'xmpp disable', then '{command}'",
	ClusterXMPPDisabled: "XMPP is disabled; type 'xmpp enable', then '{command}'",
	ClusterUnready:      "no {missing} yet; type '{command}' first",
	ClusterMember:       "this node is a member of a cluster already; see 'xmpp cluster status', or leave it with 'xmpp cluster remove'",
	ClusterNotMember:    "this node is in no cluster yet; on the first node type 'xmpp cluster initialize', on the others 'xmpp cluster join <first node>'",
	ClusterTrust:        "{file} cannot serve as trust bundle: {detail}; give the nodes' certificates, or their authority's, in one file",
	ClusterTrustSelf:    "the other nodes could not trust this one by {file}: its own certificate {certificate} {detail}; add that certificate itself, or, where it names the XMPP domain, its authority's",
	ClusterTrustNew:     "the other nodes could not trust this one any more: certificate {certificate} {detail}; put the certificates of {file} and the new one into one file, type 'xmpp cluster trust <file>' for it on each node, and then 'xmpp certs' here again",
	ClusterAddress:      "interface {interface} has no IPv4 address that others could reach this node by; see 'ipv4 {interface}'",
	ClusterName:         "{node} does not resolve: {detail}; give its address, or see 'dns'",
	ClusterRoute:        "{node} cannot be reached: {detail}; check the address, 'ping' it, and see 'xmpp status' there",
	ClusterTLS:          "TLS with {node} failed: {detail}; check 'xmpp certs' and 'xmpp cluster trust' on both nodes",
	ClusterBack:         "{node} cannot reach this node at {address}: {detail}; TCP port 5222 must be open both ways",
	ClusterSelf:         "{node} is this node itself; give the address of a node that is in the cluster",
	ClusterNone:         "{node} is in no cluster; type 'xmpp cluster initialize' there first, or give another node",
	ClusterDomain:       "{node} serves the domain {theirs} and this node {ours}; set the same with 'xmpp domain' on both",
	ClusterClock:        "the clock of {node} is {seconds} s from this node's; set both, they may be 30 s apart at most",
	ClusterVersion:      "{node} runs version {theirs}, which does not work together with {ours} of this node; upgrade the older one",
	ClusterSecret:       "the secret of Call Bridge {names} is not the cluster's; type 'xmpp callbridge del {first}' here, the join brings the right one",
	ClusterBridge:       "the cluster has no Call Bridge {names}; note its secret from 'xmpp callbridge list', type 'xmpp callbridge del {first}' here, join, and then type 'xmpp callbridge add-secret {first}'",
	ClusterOwn:          "this node has {accounts} chat accounts of its own, which a join would drop; delete them, or confirm the question at the console",
	ClusterNoMajority:   "most of the cluster's nodes cannot be reached, so nothing can be changed; see 'xmpp cluster status'",
	ClusterElecting:     "the cluster has no leader at the moment, though {up} of its {nodes} nodes can be reached, which is enough; they elect one, try again in a few seconds, and see 'xmpp cluster status' on one of them if it stays so",
	ClusterNeeded:       "without {node} too few nodes of the cluster would be left, as {lost} cannot be reached; start that again, or, where it is gone for good, type 'xmpp cluster remove {first}' before",
	ClusterOutside:      "this node was taken out of its cluster, and has yet to hear from a member that this is final; start one of them, or, where they are gone for good, type 'xmpp cluster remove' here, then 'xmpp cluster join <node>'",
	ClusterLiving:       "{node} can be reached; confirm the question at the console to take it out all the same",
	ClusterNode:         "{node} is no member; the members are {members}",
	ClusterLast:         "this is the last member, and the data with it; 'xmpp reset' forgets both",
	ClusterLate:         "gave up while {doing}; nothing has changed, try again and see 'xmpp cluster status'",
	ClusterJoined:       "it was too late to give up, this node is a member now; see 'xmpp cluster status', or leave with 'xmpp cluster remove'",
	ClusterStillMember:  "the other nodes could not be told, and still count {address} as a member; type 'xmpp cluster remove {address}' on one of them",
	ClusterBusy:         "{doing} is under way; wait for it to end",
}
