package diagnosis_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/diagnosis"
	"parley/services/network/networkapi"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// world is three members of a cluster, and what is around them. Each starts
// without any mistake.
type world struct {
	t     testing.TB
	now   time.Time
	nodes []*node
	// bridges are what is replicated, and dns what the name server at
	// 10.106.81.2 has.
	bridges []xmppapi.CallBridge
	dns     []string
}

// node is one of them.
type node struct {
	*world
	addr  string
	doc   config.Document
	files files
	nics  []networkapi.Interface
	disk  diagnosis.Disk
	// bridge is what its Call Bridge says, and has the secrets that this node
	// has for others than the world.
	bridge  callbridgeapi.Status
	secrets []xmppapi.CallBridge
	// directory is what it says of the LDAP server, and probe what that answers.
	directory callbridgeapi.Directory
	probe     error
	// database is what its database says.
	database    databaseapi.Status
	databaseErr error
	// down: nobody reaches it. closed are addresses that do not answer it.
	down   bool
	closed []string
	// refuses are addresses that it refuses, and hung: its ports are open and
	// nothing behind them answers.
	refuses []string
	hung    bool
	// mute: its name servers do not answer; stalled: nor does its resolver; silent: its XMPP service does not;
	// deaf: it does not examine itself; late: not in time.
	mute, stalled, silent, deaf, late bool
	// says, where it is set, is its answer to others.
	says []byte
	// status and cluster change what its XMPP service says.
	status  func(*xmppapi.Status)
	cluster func(*xmppapi.Cluster)
}

// files are those of the SFTP root, by name.
type files map[string]string

// Read implements pki.Source.
func (f files) Read(name string) ([]byte, error) {
	data, ok := f[name]
	if !ok {
		return nil, problem.New(problem.FileUnknown, "file", name)
	}
	return []byte(data), nil
}

// Names implements pki.Source.
func (f files) Names() ([]string, error) { return slices.Sorted(maps.Keys(f)), nil }

// now is the time of the test, to the second, as certificates have it.
var now = time.Date(2026, 11, 23, 4, 0, 0, 0, time.UTC)

func newWorld(t testing.TB, certs files) *world {
	w := &world{t: t, now: now}
	for i, name := range []string{"cb1", "cb2", "cb3"} {
		addr := netip.AddrFrom4([4]byte{10, 106, 81, byte(30 + i)})
		w.bridges = append(w.bridges, xmppapi.CallBridge{Name: name, Secret: "secret of " + name, Connected: true})
		w.dns = append(w.dns, name+".tptac9.com. 86400 IN A "+addr.String(),
			"_xmpp-component._tcp.tptac9.com. 86400 IN SRV 0 0 5223 "+name+".tptac9.com.",
			"_xmpp-client._tcp.tptac9.com. 86400 IN SRV 10 50 5222 "+name+".tptac9.com.")
		prefix := netip.PrefixFrom(addr, 24)
		n := &node{world: w, addr: addr.String(), files: maps.Clone(certs), disk: diagnosis.Disk{Size: 100 << 30, Used: 12 << 30},
			nics: []networkapi.Interface{{Name: "a", Up: true, Addresses: []netip.Prefix{prefix}}, {Name: "b"}},
			database: databaseapi.Status{Mode: databaseapi.Member, InUse: "10.106.81.30", Nodes: []databaseapi.Node{
				{Address: "10.106.81.30", Connected: true}, {Address: "10.106.81.31", Connected: true}, {Address: "10.106.81.32", Connected: true},
			}},
			bridge: callbridgeapi.Status{State: callbridgeapi.Connected, XMPPRow: "connected to localhost (secure) for 1 hour"}}
		n.doc = config.Document{
			Hostname:   name,
			Interfaces: map[string]config.Interface{"a": {IPv4: config.IPv4{Enabled: true, Address: prefix}}, "b": {}},
			XMPP: config.XMPP{Enabled: true, Domain: "tptac9.com", Listen: []string{"a"}, Key: "abhiall.key", Certificate: "abhiall.cer", Bundle: "certall.cer",
				Cluster: config.Cluster{Enabled: true, Trust: "abhiall.cer"}},
			CallBridge: config.CallBridge{Enabled: true, XMPP: config.BridgeLink{Name: name, Domain: "tptac9.com", Secret: config.Secret("secret of " + name)}},
		}
		w.nodes = append(w.nodes, n)
	}
	return w
}

// diagnosis is that of the node as it is now.
func (n *node) diagnosis() *diagnosis.Diagnosis {
	n.t.Helper()
	store := config.NewStore(filepath.Join(n.t.TempDir(), "live.json"))
	if err := store.Update(func(d *config.Document) error { *d = n.doc.Clone(); return nil }); err != nil {
		n.t.Fatal(err)
	}
	return diagnosis.New(diagnosis.Deps{
		Config: store, Files: n.files, XMPP: xmppOf{n}, Network: networkOf{n}, CallBridge: bridgeOf{n}, Database: databaseOf{n},
		Dial: n.dial, Disk: func() (diagnosis.Disk, error) { return n.disk, nil }, Now: func() time.Time { return n.now },
	})
}

var (
	errRoute   = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no route to host")}
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: os.NewSyscallError("connect", syscall.ECONNREFUSED)}
)

func (n *node) dial(_ context.Context, addr string) error {
	host, port, _ := strings.Cut(addr, ":")
	at := slices.IndexFunc(n.nodes, func(o *node) bool { return o.addr == host })
	switch {
	case at < 0 || n.nodes[at].down || n.down || slices.Contains(n.closed, addr):
		return errRoute
	case slices.Contains(n.refuses, addr), port == "5223" && !n.nodes[at].doc.XMPP.Enabled:
		return errRefused
	}
	return nil
}

// reaches says whether its XMPP service has a connection to another's.
func (n *node) reaches(o *node) bool {
	addr := o.addr + ":5222"
	return !n.down && !o.down && !o.hung && !slices.Contains(n.closed, addr) && !slices.Contains(n.refuses, addr)
}

type xmppOf struct{ *node }

// Status implements diagnosis.XMPP.
func (x xmppOf) Status(context.Context) (xmppapi.Status, error) {
	if x.silent {
		return xmppapi.Status{}, problem.New(problem.NotReachable, "service", "xmpp")
	}
	s := xmppapi.Status{Running: x.doc.XMPP.Enabled}
	if x.node.status != nil {
		x.node.status(&s)
	}
	return s, nil
}

// Cluster implements diagnosis.XMPP.
func (x xmppOf) Cluster(context.Context) (xmppapi.Cluster, error) {
	if x.silent {
		return xmppapi.Cluster{}, problem.New(problem.NotReachable, "service", "xmpp")
	}
	c := xmppapi.Cluster{Member: true, Leader: true}
	for _, n := range x.nodes {
		self := n.addr == x.addr
		c.Nodes = append(c.Nodes, xmppapi.Node{Address: n.addr + ":5222", Self: self, Reachable: self || x.reaches(n), Since: now.Add(-time.Hour), Version: "1.0"})
	}
	if x.node.cluster != nil {
		x.node.cluster(&c)
	}
	up := 0
	for _, n := range c.Nodes {
		if n.Reachable {
			up++
		}
	}
	c.Margin = max(-1, up-len(c.Nodes)/2-1)
	return c, nil
}

// CallBridges implements diagnosis.XMPP.
func (x xmppOf) CallBridges(context.Context) ([]xmppapi.CallBridge, error) {
	switch {
	case x.silent:
		return nil, problem.New(problem.NotReachable, "service", "xmpp")
	case x.secrets != nil:
		return x.secrets, nil
	}
	return x.bridges, nil
}

// Examine implements xmppapi.Examiner.
func (x xmppOf) Examine(ctx context.Context, in json.RawMessage) ([]xmppapi.Examined, error) {
	if x.silent {
		return nil, problem.New(problem.NotReachable, "service", "xmpp")
	}
	var all []xmppapi.Examined
	for _, n := range x.nodes {
		e := xmppapi.Examined{Address: n.addr + ":5222"}
		switch {
		case n.addr == x.addr:
			continue
		case !x.reaches(n):
			e.Failure = n.addr + ":5222 cannot be reached"
		case n.deaf:
			e.Failure = n.addr + ":5222: there is no such call"
		case n.late:
			e.Failure = n.addr + ":5222 cannot be reached: no answer in time"
		case n.says != nil:
			e.Out = n.says
		default:
			out, err := n.diagnosis().Answer(ctx, in)
			if err != nil {
				return nil, err
			}
			e.Out = out
		}
		all = append(all, e)
	}
	return all, nil
}

type networkOf struct{ *node }

// Interfaces implements diagnosis.Network.
func (n networkOf) Interfaces(context.Context) ([]networkapi.Interface, error) { return n.nics, nil }

// Lookup implements diagnosis.Network.
func (n networkOf) Lookup(ctx context.Context, kind, name string) (networkapi.Answer, error) {
	find := func(records []string, kind, name string) (found []string) {
		for _, r := range records {
			if f := strings.Fields(r); f[0] == name+"." && strings.EqualFold(f[3], kind) {
				found = append(found, r)
			}
		}
		return found
	}
	follow := func(records []string) []string {
		if alias := find(records, "cname", name); len(alias) > 0 {
			return append(alias, find(records, kind, strings.TrimSuffix(strings.Fields(alias[0])[4], "."))...)
		}
		return find(records, kind, name)
	}
	if found := follow(n.doc.DNS.Records); found != nil {
		return networkapi.Answer{Source: "local record", Code: "NOERROR", Records: found}, nil
	}
	if n.stalled {
		return wait[networkapi.Answer](ctx)
	}
	if n.mute {
		return networkapi.Answer{}, problem.New(problem.NameServersSilent, "name", name, "servers", "10.106.81.2 (no reply)")
	}
	a := networkapi.Answer{Source: "server", Server: netip.MustParseAddrPort("10.106.81.2:53"), Code: "NOERROR", Records: follow(n.dns)}
	if a.Records == nil {
		a.Code = "NXDOMAIN"
	}
	return a, nil
}

// ForgetDenials implements diagnosis.Network; nothing is cached here.
func (networkOf) ForgetDenials(context.Context) error { return nil }

type bridgeOf struct{ *node }

// Status implements diagnosis.CallBridge.
func (b bridgeOf) Status(context.Context) (callbridgeapi.Status, error) { return b.bridge, nil }

// Directory implements diagnosis.CallBridge.
func (b bridgeOf) Directory(context.Context) (callbridgeapi.Directory, error) {
	return b.directory, nil
}

// ProbeDirectory implements diagnosis.CallBridge.
func (b bridgeOf) ProbeDirectory(context.Context) error { return b.probe }

// withDirectory gives all nodes an LDAP server that has users, one of whom is
// there no longer.
func (w *world) withDirectory() {
	for i, n := range w.nodes {
		w.bridges[i].Authenticates = true
		n.directory = callbridgeapi.Directory{Configured: true, Server: "ldap.tptac9.com:389", TLS: "starttls", Offered: true, Users: 2, Synced: now.Add(-3 * time.Minute)}
		n.status = func(s *xmppapi.Status) { s.Directory, s.Left = 3, 1 }
	}
}

// cannotAsk has a node's LDAP server not be asked.
func (n *node) cannotAsk(p *problem.Problem) {
	n.directory.Problem, n.directory.Trouble = p, problem.Text(p)
}

type databaseOf struct{ *node }

// Status implements diagnosis.Database.
func (d databaseOf) Status(context.Context) (databaseapi.Status, error) {
	return d.database, d.databaseErr
}

// makeCerts are the files of the article, and some that are not right.
func makeCerts(t testing.TB) files {
	t.Helper()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	newKey := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		must(err)
		return k
	}
	serial := int64(0)
	sign := func(name string, dns []string, ca bool, from, until time.Time, parent *x509.Certificate, key, by *ecdsa.PrivateKey) (*x509.Certificate, string) {
		serial++
		c := &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: name}, DNSNames: dns, IsCA: ca, BasicConstraintsValid: true,
			NotBefore: from, NotAfter: until, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
		}
		if parent == nil {
			parent = c
		}
		der, err := x509.CreateCertificate(rand.Reader, c, parent, &key.PublicKey, by)
		must(err)
		c, err = x509.ParseCertificate(der)
		must(err)
		return c, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	}
	keyText := func(k *ecdsa.PrivateKey) string {
		der, err := x509.MarshalPKCS8PrivateKey(k)
		must(err)
		return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	}
	before, later := now.AddDate(-1, 0, 0), now.AddDate(2, 0, 0)
	rootKey, interKey, key, otherKey := newKey(), newKey(), newKey(), newKey()
	root, rootPEM := sign("Test root", nil, true, before, later, nil, rootKey, rootKey)
	inter, interPEM := sign("Test intermediate", nil, true, before, later, root, interKey, rootKey)
	leaf := func(key *ecdsa.PrivateKey, from, until time.Time, names ...string) string {
		_, text := sign("tptac9.com", names, false, from, until, inter, key, interKey)
		return text
	}
	all := []string{"tptac9.com", "cb1.tptac9.com", "cb2.tptac9.com", "cb3.tptac9.com"}
	return files{
		"abhiall.key": keyText(key), "abhiall.cer": leaf(key, before, later, all...), "certall.cer": interPEM + rootPEM,
		"other.key": keyText(otherKey), "other.cer": leaf(otherKey, before, later, all...), "disorder.cer": rootPEM + interPEM, "root.cer": rootPEM,
		"expired.cer": leaf(key, before, now.AddDate(0, 0, -2), all...), "soon.cer": leaf(key, before, now.AddDate(0, 0, 9), all...),
		"future.cer": leaf(key, now.AddDate(0, 0, 1), later, all...), "nodomain.cer": leaf(key, before, later, all[1:]...), "nohost.cer": leaf(key, before, later, all[0]),
		"notes.txt": "no certificate\n",
	}
}
