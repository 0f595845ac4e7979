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
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
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
	disk  float64
	// bridge is what its Call Bridge says, and has the secrets that this node
	// has for others than the world.
	bridge  callbridgeapi.Status
	secrets []xmppapi.CallBridge
	// down: nobody reaches it. closed are addresses that do not answer it.
	down   bool
	closed []string
	// mute: its name servers do not answer; silent: its XMPP service does not;
	// deaf: it does not examine itself.
	mute, silent, deaf bool
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
		n := &node{world: w, addr: addr.String(), files: maps.Clone(certs), disk: 0.12,
			nics:   []networkapi.Interface{{Name: "a", Up: true, Addresses: []netip.Prefix{prefix}}, {Name: "b"}},
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
		Config: store, Files: n.files, XMPP: xmppOf{n}, Network: networkOf{n}, CallBridge: bridgeOf{n},
		Dial: n.dial, Disk: func() (float64, error) { return n.disk, nil }, Now: func() time.Time { return n.now },
	})
}

var (
	errRoute   = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("no route to host")}
	errRefused = &net.OpError{Op: "dial", Net: "tcp", Err: errors.New("connect: connection refused")}
)

func (n *node) dial(_ context.Context, addr string) error {
	host, port, _ := strings.Cut(addr, ":")
	at := slices.IndexFunc(n.nodes, func(o *node) bool { return o.addr == host })
	switch {
	case at < 0 || n.nodes[at].down || n.down || slices.Contains(n.closed, addr):
		return errRoute
	case port == "5223" && !n.nodes[at].doc.XMPP.Enabled:
		return errRefused
	}
	return nil
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
		c.Nodes = append(c.Nodes, xmppapi.Node{Address: n.addr + ":5222", Self: self, Reachable: self || !n.down && !x.down, Since: now.Add(-time.Hour), Version: "1.0"})
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
		case n.down:
			e.Failure = n.addr + ":5222 cannot be reached"
		case n.deaf:
			e.Failure = "there is no such call"
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
func (n networkOf) Lookup(_ context.Context, kind, name string) (networkapi.Answer, error) {
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
	if n.mute {
		return networkapi.Answer{}, problem.New(problem.NameServersSilent, "name", name, "servers", "10.106.81.2 (no reply)")
	}
	a := networkapi.Answer{Source: "server", Server: netip.MustParseAddrPort("10.106.81.2:53"), Code: "NOERROR", Records: follow(n.dns)}
	if a.Records == nil {
		a.Code = "NXDOMAIN"
	}
	return a, nil
}

type bridgeOf struct{ *node }

// Status implements diagnosis.CallBridge.
func (b bridgeOf) Status(context.Context) (callbridgeapi.Status, error) { return b.bridge, nil }

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
