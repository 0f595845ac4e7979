package watch

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"maps"
	"math/big"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/init/initapi"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/eventlog/eventlogapi"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

var now = time.Date(2026, 11, 22, 20, 47, 58, 0, time.UTC)

// node is a node that is healthy until a test breaks it.
type node struct {
	doc                   config.Document
	docErr                error
	status                xmppapi.Status
	statusErr, clusterErr error
	cluster               xmppapi.Cluster
	files                 map[string][]byte
	free                  uint64
	diskErr               error
	networkErr, bridgeErr error
	webTrouble            string
	database              databaseapi.Status
	databaseErr           error
	bridges               []xmppapi.CallBridge
	bridgesErr            error
	init                  initapi.Status
	initErr               error
	now                   time.Time
}

// Load, Status and Cluster are what the watcher asks.
func (n *node) Load() (config.Document, error) { return n.doc, n.docErr }

func (n *node) Status(context.Context) (xmppapi.Status, error) { return n.status, n.statusErr }

func (n *node) Cluster(context.Context) (xmppapi.Cluster, error) { return n.cluster, n.clusterErr }

func (n *node) CallBridges(context.Context) ([]xmppapi.CallBridge, error) {
	return n.bridges, n.bridgesErr
}

// supervisor is the node's init.
type supervisor struct{ *node }

func (s supervisor) Status(context.Context) (initapi.Status, error) { return s.init, s.initErr }

// shared is the node's database.
type shared struct{ *node }

func (s shared) Status(context.Context) (databaseapi.Status, error) { return s.database, s.databaseErr }

// Read and Names are the files.
func (n *node) Read(name string) ([]byte, error) {
	if data, ok := n.files[name]; ok {
		return data, nil
	}
	return nil, problem.New(problem.FileUnknown, "file", name)
}

func (n *node) Names() ([]string, error) { return slices.Sorted(maps.Keys(n.files)), nil }

func (n *node) watcher() *Watcher {
	return New(Deps{
		Config: n, XMPP: n, Files: n, Init: supervisor{n}, Now: func() time.Time { return n.now },
		Disk:     func() (uint64, uint64, error) { return n.free, 1 << 30, n.diskErr },
		Database: shared{n},
		Services: []Service{
			{Key: "network.service", Name: "Network", Ask: func(context.Context) (string, error) { return "", n.networkErr }},
			{
				Key: "callbridge.service", Name: "Call Bridge", Ask: func(context.Context) (string, error) { return "", n.bridgeErr },
				Wanted: func(d config.Document) bool { return d.CallBridge.Enabled },
			},
			{
				Key: "webadmin.service", Name: "Webadmin", Ask: func(context.Context) (string, error) { return n.webTrouble, nil },
				Wanted: func(d config.Document) bool { return d.Webadmin.Enabled },
			},
		},
	})
}

const day = 24 * time.Hour

// certificate is one that is valid for so long from now.
func certificate(t *testing.T, subject string, left time.Duration) []byte {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: subject}, NotBefore: now.Add(-400 * day), NotAfter: now.Add(left)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, public, private)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

const (
	addr1 = "10.106.81.30:5222"
	addr2 = "10.106.81.31:5222"
	addr3 = "10.106.81.32:5222"
)

// healthy is a member of a cluster of three, with all that can be set up.
func healthy(t *testing.T) *node {
	t.Helper()
	good := certificate(t, "tptac9.com", 300*day)
	n := &node{
		status: xmppapi.Status{Running: true, Clustered: true, Expires: now.Add(300 * day)},
		cluster: xmppapi.Cluster{Member: true, Leader: true, Margin: 1, Nodes: []xmppapi.Node{
			{Address: addr2, Reachable: true, Leader: true}, {Address: addr3, Reachable: true}, {Address: addr1, Self: true, Reachable: true},
		}},
		files: map[string][]byte{}, free: 1 << 29, now: now,
		bridges: []xmppapi.CallBridge{{Name: "cb1", Secret: "secret of cb1"}, {Name: "cb2", Secret: "secret of cb2"}},
		init:    initapi.Status{Services: []initapi.Service{{Name: "xmpp", Running: true, Restarts: 7}, {Name: "network", Running: true}}},
	}
	for _, f := range []string{"abhiall.cer", "certall.cer", "trust.crt", "cb.crt", "cbtrust.crt", "web.crt", "web-ca.crt", "ad.crt"} {
		n.files[f] = good
	}
	n.doc.XMPP = config.XMPP{Enabled: true, Domain: "tptac9.com", Key: "abhiall.key", Certificate: "abhiall.cer", Bundle: "certall.cer", Cluster: config.Cluster{Enabled: true, Trust: "trust.crt"}}
	n.doc.CallBridge = config.CallBridge{Enabled: true, Key: "cb.key", Certificate: "cb.crt", Trust: "cbtrust.crt",
		XMPP: config.BridgeLink{Name: "cb1", Domain: "tptac9.com", Secret: "secret of cb1"}}
	n.doc.Webadmin = config.Webadmin{Enabled: true, Key: "web.key", Certificate: "web.crt", Bundle: "web-ca.crt"}
	n.doc.Directory = config.Directory{Address: "ad.tptac9.com", Trust: "ad.crt"}
	return n
}

// unreachable has members not answer.
func (n *node) unreachable(margin int, addresses ...string) {
	n.cluster.Margin = margin
	for i := range n.cluster.Nodes {
		m := &n.cluster.Nodes[i]
		if slices.Contains(addresses, m.Address) {
			m.Reachable, m.Leader, m.Since = false, false, now.Add(-time.Minute)
		}
	}
	n.cluster.Leader = slices.ContainsFunc(n.cluster.Nodes, func(m xmppapi.Node) bool { return m.Leader })
}

// standing are conditions as the event log gives them back.
func standing(cs []Condition) map[string]eventlogapi.Fault {
	m := map[string]eventlogapi.Fault{}
	for _, c := range cs {
		m[c.Key] = c.Fault
	}
	return m
}

// looks looks n times and returns what is found in the last.
func looks(t *testing.T, w *Watcher, n int) []Condition {
	t.Helper()
	var found []Condition
	for range n {
		found = w.Look(t.Context(), standing(found)).Conditions
	}
	return found
}

func lines(cs []Condition) []string {
	var all []string
	for _, c := range cs {
		all = append(all, c.Key+"  "+string(c.Level)+"  "+c.Message+"  > "+c.Hint)
	}
	return all
}

func TestConditions(t *testing.T) {
	tests := []struct {
		name string
		ill  func(t *testing.T, n *node)
		want []string
	}{
		{"healthy", func(*testing.T, *node) {}, nil},
		{"certificate expires soon", func(t *testing.T, n *node) {
			n.files["abhiall.cer"], n.status.Expires = certificate(t, "tptac9.com", 12*day), now.Add(12*day)
		}, []string{
			"xmpp.certificate  Warning  Certificate of tptac9.com in abhiall.cer, used for XMPP, expires on 2026-Dec-04 20:47:58 UTC  > " +
				"have it renewed, put it under the same name with SFTP, then type 'xmpp certs abhiall.key abhiall.cer certall.cer'",
		}},
		{"certificate just far enough", func(t *testing.T, n *node) {
			n.files["abhiall.cer"], n.status.Expires = certificate(t, "tptac9.com", 30*day+time.Second), now.Add(30*day+time.Second)
		}, nil},
		{"certificate expired", func(t *testing.T, n *node) {
			n.files["abhiall.cer"], n.status.Expires = certificate(t, "tptac9.com", -day), now.Add(-day)
		}, []string{
			"xmpp.certificate  Error  Certificate of tptac9.com in abhiall.cer, used for XMPP, expired on 2026-Nov-21 20:47:58 UTC  > " +
				"have it renewed, put it under the same name with SFTP, then type 'xmpp certs abhiall.key abhiall.cer certall.cer'",
		}},
		{"renewed but not in use", func(_ *testing.T, n *node) { n.status.Expires = now.Add(3 * day) }, []string{
			"xmpp.certificate  Warning  Certificate of tptac9.com in abhiall.cer, used for XMPP, expires on 2026-Nov-25 20:47:58 UTC  > " +
				"the file holds a newer one, which is not in use yet; type 'xmpp restart'",
		}},
		{"one of a bundle expires", func(t *testing.T, n *node) {
			n.files["trust.crt"] = slices.Concat(n.files["trust.crt"], certificate(t, "cb3.tptac9.com", day), n.files["trust.crt"])
		}, []string{
			"xmpp.trust  Warning  Certificate of cb3.tptac9.com in trust.crt, used for the XMPP cluster's trust, expires on 2026-Nov-23 20:47:58 UTC  > " +
				"have it renewed, put it under the same name with SFTP, then type 'xmpp cluster trust trust.crt'",
		}},
		{"all others expire", func(t *testing.T, n *node) {
			soon := certificate(t, "x", day)
			for _, f := range []string{"certall.cer", "cb.crt", "cbtrust.crt", "web.crt", "web-ca.crt", "ad.crt"} {
				n.files[f] = soon
			}
		}, []string{
			"xmpp.bundle  Warning  Certificate of x in certall.cer, used for XMPP, expires on 2026-Nov-23 20:47:58 UTC  > have it renewed, put it under the same name with SFTP, then type 'xmpp certs abhiall.key abhiall.cer certall.cer'",
			"callbridge.certificate  Warning  Certificate of x in cb.crt, used for the Call Bridge, expires on 2026-Nov-23 20:47:58 UTC  > have it renewed, put it under the same name with SFTP, then type 'callbridge certs cb.key cb.crt'",
			"callbridge.trust  Warning  Certificate of x in cbtrust.crt, used for the Call Bridge's trust, expires on 2026-Nov-23 20:47:58 UTC  > have it renewed, put it under the same name with SFTP, then type 'callbridge trust cbtrust.crt'",
			"directory.trust  Warning  Certificate of x in ad.crt, used for the directory's trust, expires on 2026-Nov-23 20:47:58 UTC  > have it renewed, put it under the same name with SFTP, then type 'callbridge restart'",
			"webadmin.certificate  Warning  Certificate of x in web.crt, used for Webadmin, expires on 2026-Nov-23 20:47:58 UTC  > have it renewed, put it under the same name with SFTP, then type 'webadmin certs web.key web.crt web-ca.crt'",
			"webadmin.bundle  Warning  Certificate of x in web-ca.crt, used for Webadmin, expires on 2026-Nov-23 20:47:58 UTC  > have it renewed, put it under the same name with SFTP, then type 'webadmin certs web.key web.crt web-ca.crt'",
		}},
		{"what is disabled may expire", func(t *testing.T, n *node) {
			for f := range n.files {
				n.files[f] = certificate(t, "x", -day)
			}
			n.doc.XMPP.Enabled, n.doc.CallBridge.Enabled, n.doc.Webadmin.Enabled = false, false, false
			n.status = xmppapi.Status{}
		}, nil},
		{"files that cannot be read", func(_ *testing.T, n *node) { n.files = map[string][]byte{"abhiall.cer": []byte("noise")} }, nil},
		{"disk nearly full", func(_ *testing.T, n *node) { n.free = 1 << 30 / 100 * 6 }, []string{
			"disk  Warning  State disk is more than 90% full  > 94% of its 1.0 GiB are used; see 'ls', and remove files with 'rm'",
		}},
		{"disk at the limit", func(_ *testing.T, n *node) { n.free = 1<<30/10 + 1 }, nil},
		{"disk that does not answer", func(_ *testing.T, n *node) { n.diskErr = errors.New("input/output error") }, []string{
			"disk.state  Error  State disk cannot be asked for its space  > input/output error; see 'syslog tail'",
		}},
		{"peer gone", func(_ *testing.T, n *node) { n.unreachable(0, addr3) }, []string{
			"xmpp.cluster.node." + addr3 + "  Warning  XMPP node " + addr3 + " cannot be reached  > " +
				"start it again, or mend the network to it; where it is gone for good, type 'xmpp cluster remove 10.106.81.32'",
		}},
		{"no majority", func(_ *testing.T, n *node) {
			n.unreachable(-1, addr2, addr3)
			n.status.Running, n.status.Trouble = false, problem.Text(problem.New(problem.ClusterNoMajority))
		}, []string{
			"xmpp.cluster.majority  Error  XMPP cluster has no majority  > of its 3 voting nodes this one can reach 1 with itself, and 2 are needed; " +
				"start 10.106.81.31 and 10.106.81.32 again or mend the network, or, if they are lost for good, type 'xmpp disable' and 'xmpp cluster initialize' here",
			"xmpp.cluster.node." + addr2 + "  Warning  XMPP node " + addr2 + " cannot be reached  > start it again, or mend the network to it; where it is gone for good, type 'xmpp cluster remove 10.106.81.31'",
			"xmpp.cluster.node." + addr3 + "  Warning  XMPP node " + addr3 + " cannot be reached  > start it again, or mend the network to it; where it is gone for good, type 'xmpp cluster remove 10.106.81.32'",
		}},
		{"taken out and untold", func(_ *testing.T, n *node) {
			n.unreachable(-1, addr2, addr3)
			n.cluster.Nodes, n.cluster.Outside, n.cluster.Leader = n.cluster.Nodes[:2], true, false
			n.status.Running, n.status.Trouble = false, problem.Text(problem.New(problem.ClusterOutside))
		}, []string{
			"xmpp.cluster.outside  Error  This node was taken out of the XMPP cluster  > it has yet to hear from a member that this is final; " +
				"start one of them, or, where they are gone for good, type 'xmpp cluster remove' here, then 'xmpp cluster join <node>'",
		}},
		{"no leader", func(_ *testing.T, n *node) {
			n.cluster.Leader, n.cluster.Nodes[0].Leader = false, false
			n.status.Trouble = problem.Text(problem.New(problem.ClusterNoMajority))
		}, []string{
			"xmpp.cluster.leader  Error  XMPP cluster has no leader  > enough nodes can be reached, yet they elect none; see 'xmpp cluster status' on each, and 'syslog tail'",
		}},
		{"learner gone", func(_ *testing.T, n *node) {
			n.cluster.Nodes[1].Learner = true
			n.unreachable(0, addr3)
		}, []string{
			"xmpp.cluster.node." + addr3 + "  Warning  XMPP node " + addr3 + " cannot be reached  > " +
				"start it again, or mend the network to it; where it is gone for good, type 'xmpp cluster remove 10.106.81.32'",
		}},
		{"clock ahead", func(_ *testing.T, n *node) { n.cluster.Nodes[0].Clock = 2300 * time.Millisecond }, []string{
			"xmpp.cluster.clock." + addr2 + "  Warning  Clocks of this node and XMPP node " + addr2 + " are apart  > " +
				"that one is 2.3 s ahead of this one; see 'date' on both, and set the clock of the machine that is wrong, or of its VM host",
		}},
		{"clock behind", func(_ *testing.T, n *node) { n.cluster.Nodes[1].Clock = -time.Minute }, []string{
			"xmpp.cluster.clock." + addr3 + "  Warning  Clocks of this node and XMPP node " + addr3 + " are apart  > " +
				"that one is 60.0 s behind this one; see 'date' on both, and set the clock of the machine that is wrong, or of its VM host",
		}},
		{"clock not far enough", func(_ *testing.T, n *node) { n.cluster.Nodes[0].Clock = 2 * time.Second }, nil},
		{"clock of a node that is gone", func(_ *testing.T, n *node) {
			n.cluster.Nodes[1].Clock = time.Minute
			n.unreachable(0, addr3)
		}, []string{
			"xmpp.cluster.node." + addr3 + "  Warning  XMPP node " + addr3 + " cannot be reached  > " +
				"start it again, or mend the network to it; where it is gone for good, type 'xmpp cluster remove 10.106.81.32'",
		}},
		{"in no cluster", func(_ *testing.T, n *node) { n.cluster = xmppapi.Cluster{Margin: -1} }, nil},
		{"two secrets alike", func(_ *testing.T, n *node) { n.bridges[1].Secret = "secret of cb1" }, []string{
			"xmpp.secret.twin.cb2  Warning  Call Bridges cb1 and cb2 have the same secret  > " +
				"type 'xmpp callbridge del cb2', then 'xmpp callbridge add cb2', and on its appliance 'callbridge xmpp secret'",
		}},
		{"the secret of another", func(_ *testing.T, n *node) { n.doc.CallBridge.XMPP.Secret = "secret of cb2" }, []string{
			"xmpp.secret.own  Error  Call Bridge cb1 of this node was given the secret of cb2  > see 'xmpp callbridge list', then type 'callbridge xmpp secret'",
		}},
		{"a secret mistyped", func(_ *testing.T, n *node) { n.doc.CallBridge.XMPP.Secret = "sekret of cb1" }, []string{
			"xmpp.secret.own  Error  Call Bridge cb1 of this node has another secret than it is registered with  > see 'xmpp callbridge list', then type 'callbridge xmpp secret'",
		}},
		{"a Call Bridge that is not registered", func(_ *testing.T, n *node) { n.doc.CallBridge.XMPP.Name = "cb7" }, []string{
			"xmpp.secret.own  Error  Call Bridge cb7 of this node is not registered  > type 'xmpp callbridge add-secret cb7', or correct 'callbridge xmpp name'",
		}},
		{"a Call Bridge of another deployment", func(_ *testing.T, n *node) {
			n.doc.CallBridge.XMPP = config.BridgeLink{Name: "cb7", Domain: "tptac8.com", Secret: "secret of cb7"}
		}, nil},
		{"a Call Bridge that is disabled", func(_ *testing.T, n *node) { n.doc.CallBridge.XMPP.Secret, n.doc.CallBridge.Enabled = "sekret", false }, nil},
		{"secrets while XMPP is disabled", func(_ *testing.T, n *node) {
			n.bridges[1].Secret, n.doc.XMPP.Enabled, n.status = "secret of cb1", false, xmppapi.Status{}
		}, nil},
		{"Webadmin shut", func(_ *testing.T, n *node) {
			n.webTrouble = "cannot listen on 10.106.81.30 of interface a: in use; see 'ipv4 a'"
		}, []string{
			"webadmin.service.trouble  Error  Webadmin not running: cannot listen on 10.106.81.30 of interface a: in use  > see 'ipv4 a'",
		}},
		{"Webadmin disabled", func(_ *testing.T, n *node) { n.webTrouble, n.doc.Webadmin.Enabled = "something", false }, nil},
		{"doors shut", func(_ *testing.T, n *node) {
			n.status = xmppapi.Status{Trouble: problem.Text(problem.New(problem.PKIMismatch, "key", "abhiall.key", "certificate", "abhiall.cer", "fix", "put its own key"))}
		}, []string{
			"xmpp.doors  Error  XMPP server not running: the key abhiall.key does not belong to abhiall.cer  > put its own key",
		}},
		{"doors shut, without a fix", func(_ *testing.T, n *node) { n.status = xmppapi.Status{Trouble: "permission denied"} }, []string{
			"xmpp.doors  Error  XMPP server not running: permission denied  > see 'syslog tail'",
		}},
		{"disabled with trouble", func(_ *testing.T, n *node) { n.status, n.doc.XMPP.Enabled = xmppapi.Status{Trouble: "x; y"}, false }, nil},
		{"configuration cannot be read", func(_ *testing.T, n *node) { n.docErr = errors.New("parse live.json: unexpected end") }, []string{
			"config  Error  The configuration of this node cannot be read  > parse live.json: unexpected end; see 'syslog tail'",
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n := healthy(t)
			tt.ill(t, n)
			w := n.watcher()
			if got := looks(t, w, 1); len(got) > 0 {
				t.Errorf("one look finds %v; want patience", lines(got))
			}
			if diff := cmp.Diff(tt.want, lines(looks(t, w, 1))); diff != "" {
				t.Errorf("conditions (-want +got):\n%s", diff)
			}
		})
	}
}

// What was told before an event log started anew is not told again.
func TestStandingNeedsNoPatience(t *testing.T) {
	n := healthy(t)
	n.unreachable(0, addr3)
	before := standing(looks(t, n.watcher(), 2))
	got := n.watcher().Look(t.Context(), before)
	if len(got.Conditions) != 1 || got.Conditions[0].Message != before["xmpp.cluster.node."+addr3].Message {
		t.Errorf("first look of another watcher = %v; want the peer", lines(got.Conditions))
	}
	if want := now.Add(-time.Minute); !got.Conditions[0].Since.Equal(want) {
		t.Errorf("Since = %v; want when the peer was lost, %v", got.Conditions[0].Since, want)
	}
}

func TestBlipIsNoCondition(t *testing.T) {
	n := healthy(t)
	w := n.watcher()
	for range 4 {
		n.unreachable(0, addr3)
		if got := looks(t, w, 1); len(got) != 0 {
			t.Errorf("conditions %v; want none", lines(got))
		}
		n.cluster = healthy(t).cluster
		looks(t, w, 1)
	}
}

func TestLimitsHaveABack(t *testing.T) {
	n := healthy(t)
	w := n.watcher()
	percent := func(used uint64) uint64 { return 1 << 30 / 100 * (100 - used) }
	var got []Condition
	for _, step := range []struct {
		used  uint64
		clock time.Duration
		want  int
	}{
		{89, 1900 * time.Millisecond, 0}, {89, 1900 * time.Millisecond, 0}, {92, 2100 * time.Millisecond, 0}, {92, -2100 * time.Millisecond, 2},
		{89, 1900 * time.Millisecond, 2}, {87, 1400 * time.Millisecond, 0}, {89, 1900 * time.Millisecond, 0}, {89, 1900 * time.Millisecond, 0},
	} {
		n.free, n.cluster.Nodes[0].Clock = percent(step.used), step.clock
		if got = w.Look(t.Context(), standing(got)).Conditions; len(got) != step.want {
			t.Errorf("at %d%% and %v: %v; want %d", step.used, step.clock, lines(got), step.want)
		}
	}
}

func TestLeaderChanges(t *testing.T) {
	n := healthy(t)
	w := n.watcher()
	var told []string
	leader := func(i int) {
		for j := range n.cluster.Nodes {
			n.cluster.Nodes[j].Leader = i == j
		}
		n.cluster.Leader = i >= 0
		for _, e := range w.Look(t.Context(), nil).Events {
			told = append(told, string(e.Level)+" "+e.Message)
		}
	}
	for _, i := range []int{0, 0, -1, 0, -1, 2, 2, 1} {
		leader(i)
	}
	n.cluster.Member = false
	leader(1)
	n.cluster.Member = true
	leader(0)
	want := []string{
		"Info XMPP node " + addr1 + " leads the cluster now, after " + addr2,
		"Info XMPP node " + addr3 + " leads the cluster now, after " + addr1,
	}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("events (-want +got):\n%s", diff)
	}
}

func TestStateDisk(t *testing.T) {
	free, total, err := StateDisk(t.TempDir())()
	if err != nil || total == 0 || free > total {
		t.Errorf("StateDisk = %d of %d, %v; want some of it", free, total, err)
	}
	if _, _, err := StateDisk("/nowhere")(); err == nil {
		t.Error("StateDisk of nothing = nil; want an error")
	}
}
