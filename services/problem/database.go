package problem

// Codes of the Call Bridges' database.
const (
	// RecordSize: a record of table {table} is too large, or its key is none.
	RecordSize Code = "record-size"
	// RecordChanged: a record of table {table} is not what it was any more.
	RecordChanged Code = "record-changed"
	// DatabaseUnready: {missing} is set by {command}, which comes first.
	DatabaseUnready Code = "database-unready"
	// DatabaseClustered: this node's database is clustered; {command} is for
	// one that is not.
	DatabaseClustered Code = "database-clustered"
	// DatabaseFiles is DatabaseClustered of a change of certificates.
	DatabaseFiles Code = "database-files"
	// DatabaseAlone: this node's database is not clustered.
	DatabaseAlone Code = "database-alone"
	// DatabaseClient: the client certificate {file} names {name}.
	DatabaseClient Code = "database-client"
	// DatabaseCertificate: {file} cannot be the {what}: {detail}.
	DatabaseCertificate Code = "database-certificate"
	// DatabaseAddress: {interface} has no address.
	DatabaseAddress Code = "database-address"
	// DatabaseName, DatabaseRoute, DatabaseTLS: {node} is not reached: {detail}.
	DatabaseName  Code = "database-name"
	DatabaseRoute Code = "database-route"
	DatabaseTLS   Code = "database-tls"
	// DatabaseBack: {node} cannot reach this node at {address}: {detail}.
	DatabaseBack Code = "database-back"
	// DatabaseSelf: {node} is this node.
	DatabaseSelf Code = "database-self"
	// DatabaseNone: {node} has no database cluster.
	DatabaseNone Code = "database-none"
	// DatabaseMany: the cluster of {node} has {most} nodes already.
	DatabaseMany Code = "database-many"
	// DatabaseVersion: {node} runs {theirs}, this node {ours}.
	DatabaseVersion Code = "database-version"
	// DatabaseClock: the clocks of {node} and of this node are {seconds} s apart.
	DatabaseClock Code = "database-clock"
	// DatabaseNoLeader: the database takes no changes.
	DatabaseNoLeader Code = "database-no-leader"
	// DatabaseNode: {node} is no member; {members} are.
	DatabaseNode Code = "database-node"
	// DatabaseElsewhere: this node is connected to a cluster, and {node} is
	// taken out on one of {members}.
	DatabaseElsewhere Code = "database-elsewhere"
	// DatabasePrimary: {node} is the primary, and {replicas} are still there.
	DatabasePrimary Code = "database-primary"
	// DatabaseNeeded: without {node} too few of the others, of which {lost} are
	// not reached, would be left; {first} is one of them.
	DatabaseNeeded Code = "database-needed"
	// DatabaseLate: a join was given up while {doing}.
	DatabaseLate Code = "database-late"
	// DatabaseBusy: {doing} is under way.
	DatabaseBusy Code = "database-busy"
	// DatabaseDamaged: {file} is not readable: {detail}.
	DatabaseDamaged Code = "database-damaged"
)

var database = map[Code]string{
	RecordSize:          "a record of {table} is too large, or has a key that cannot be one; shorten it",
	RecordChanged:       "a record of {table} was changed by somebody else meanwhile; see what it is now, and try again",
	DatabaseUnready:     "the database has no {missing} yet; type '{command}' first",
	DatabaseClustered:   "this node's database is clustered, or connected to a cluster, already; see 'database cluster status', or type 'database cluster remove' before '{command}'",
	DatabaseFiles:       "certificates and interface of the database cannot be changed while it is clustered; type 'database cluster remove' before '{command}', or, to renew certificates, put the new files by SFTP under the same names",
	DatabaseAlone:       "this node's database is not clustered; on the first node type 'database cluster initialize', on the others 'database cluster join <primary>'",
	DatabaseClient:      "the client certificate {file} is of {name}; have one made for CN:postgres, as in 'pki csr dbclusterclient CN:postgres'",
	DatabaseCertificate: "{file} cannot be the database's {what}: {detail}; see 'pki inspect {file}', and give another to 'database cluster certs'",
	DatabaseAddress:     "interface {interface} has no IPv4 address that others could reach this node by; see 'ipv4 {interface}', or choose another with 'database cluster localnode'",
	DatabaseName:        "{node} does not resolve: {detail}; give its address, or see 'dns'",
	DatabaseRoute:       "the database of {node} cannot be reached: {detail}; check the address, 'ping' it, and see 'database cluster status' there; TCP port 5432 must be open",
	DatabaseTLS:         "TLS with the database of {node} failed: {detail}; check 'database cluster certs' on both nodes",
	DatabaseBack:        "{node} cannot reach this node's database at {address}: {detail}; TCP port 5432 must be open both ways",
	DatabaseSelf:        "{node} is this node itself; give the address of a node whose database is clustered",
	DatabaseNone:        "the database of {node} is in no cluster; type 'database cluster initialize' there first, or give another node",
	DatabaseMany:        "the database cluster of {node} has {most} nodes already, which is the most; type 'database cluster connect {node}' instead",
	DatabaseVersion:     "{node} runs version {theirs}, whose database does not work together with that of {ours} on this node; upgrade the older one",
	DatabaseClock:       "the clock of {node} is {seconds} s from this node's; set both, they may be 30 s apart at most",
	DatabaseNoLeader:    "the database takes no changes at the moment, since it has no primary; try again in a few seconds, and see 'database cluster status' if it stays so",
	DatabaseNode:        "{node} is no node of the database cluster; its nodes are {members}",
	DatabaseElsewhere:   "this node uses the database cluster without a copy, and can take no other out of it; type 'database cluster remove {node}' on one of its nodes: {members}",
	DatabasePrimary:     "{node} is the primary, which goes last; type 'database cluster remove' on {replicas} first",
	DatabaseNeeded:      "without {node} too few nodes of the database cluster would be left, as {lost} cannot be reached; start that again, or, where it is gone for good, type 'database cluster remove {first}' before",
	DatabaseLate:        "gave up while {doing}; nothing has changed, try again and see 'database cluster status' there",
	DatabaseBusy:        "{doing} is under way; wait for it to end",
	DatabaseDamaged:     "{file} of the database is damaged: {detail}; put its folder back from a backup, or type 'database cluster remove' and join anew",
}
