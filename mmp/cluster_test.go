package mmp

import (
	"bytes"
	"context"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/mmp/mmptest"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// newCluster makes three nodes with the same certificate: first and second are
// a cluster, third may join it.
func newCluster(t *testing.T) (first, second, third *testNode) {
	t.Helper()
	first = newNode(t, t.TempDir())
	second = newNodeAt(t, t.TempDir(), first.site, "cb2", "10.106.81.31")
	third = newNodeAt(t, t.TempDir(), first.site, "cb3", "10.106.81.32")
	files := makeCerts()
	for _, n := range []*testNode{first, second, third} {
		n.putAll(files)
		n.put("notes.txt", "no certificate\n")
		for _, line := range []string{"xmpp domain tptac9.com", "xmpp listen a", "xmpp certs abhiall.key abhiall.cer certall.cer", "xmpp cluster trust abhiall.cer", "xmpp cluster enable"} {
			n.must(t, line)
		}
	}
	first.must(t, "xmpp callbridge add cb1")
	first.must(t, "xmpp cluster initialize")
	for _, n := range []*testNode{first, second, third} {
		n.must(t, "xmpp enable")
	}
	second.must(t, "xmpp cluster join 10.106.81.30")
	return first, second, third
}

// TestClusterRefusals: what comes too early or too late is refused in one line
// with a fix, and nothing has changed on any node.
func TestClusterRefusals(t *testing.T) {
	first, second, third := newCluster(t)
	alone := newNodeAt(t, t.TempDir(), first.site, "cb4", "10.106.81.33")
	alone.certs()
	tests := []struct {
		node *testNode
		// line may have what is typed at prompts after |.
		line string
		want problem.Code
		// wants is in the answer.
		wants string
		// with is done before, after is done then.
		with, after func()
	}{
		{node: alone, line: "xmpp cluster enable", want: problem.ClusterUnready, wants: "'xmpp domain <name>' first"},
		{node: alone, line: "xmpp cluster initialize", want: problem.ClusterUnready, wants: "'xmpp domain <name>' first"},
		{node: alone, line: "xmpp cluster join cb1", want: problem.ClusterUnready, wants: "'xmpp domain <name>' first"},
		{node: alone, line: "xmpp cluster remove", want: problem.ClusterNotMember},
		{node: alone, line: "xmpp cluster remove cb1", want: problem.ClusterNotMember},
		{node: first, line: "xmpp cluster initialize", want: problem.ClusterMember},
		{node: first, line: "xmpp cluster join cb2", want: problem.ClusterMember},
		{node: first, line: "xmpp cluster disable", want: problem.ClusterOn, wants: "'xmpp cluster remove' before 'xmpp cluster disable'"},
		{node: first, line: "xmpp cluster trust none", want: problem.ClusterOn},
		{node: first, line: "xmpp cluster trust notes.txt", want: problem.ClusterTrust, wants: "it holds no certificate;"},
		{node: first, line: "xmpp cluster trust expired-bundle.crt", want: problem.PKIExpired, wants: "'tptac9.com' in expired-bundle.crt expired"},
		{node: first, line: "xmpp cluster trust two.crt", want: problem.ClusterTrustSelf, wants: "certificate abhiall.cer is not in the trust bundle"},
		{node: first, line: "xmpp cluster trust abhiall.key", want: problem.ClusterTrust, wants: "it holds a private key"},
		{node: first, line: "xmpp certs abhiall.key foreign.cer certall.cer", want: problem.ClusterTrustNew, wants: "and not the XMPP domain tptac9.com; put the certificates of root.cer and the new one",
			with: func() { first.must(t, "xmpp cluster trust root.cer") }, after: func() { first.must(t, "xmpp cluster trust abhiall.cer") }},
		{node: first, line: "xmpp domain example.com", want: problem.ClusterOn},
		{node: first, line: "xmpp certs cb1.key cb1.cer certall.cer", want: problem.ClusterTrustNew, wants: "certificate cb1.cer is not in the trust bundle"},
		{node: first, line: "xmpp certs none", want: problem.XMPPEnabled},
		{node: first, line: "xmpp certs none", want: problem.ClusterModeOn, with: func() { first.must(t, "xmpp disable") }, after: func() { first.must(t, "xmpp enable") }},
		{node: first, line: "xmpp listen none", want: problem.ClusterModeOn, with: func() { first.must(t, "xmpp disable") }, after: func() { first.must(t, "xmpp enable") }},
		{node: first, line: "xmpp cluster remove 10.106.81.32", want: problem.ClusterNode, wants: "10.106.81.30:5222, 10.106.81.31:5222"},
		{node: first, line: "xmpp cluster remove nobody", want: problem.ClusterNode},
		{node: first, line: "xmpp cluster remove|n", want: problem.NotConfirmed},
		{node: first, line: "xmpp cluster remove", want: problem.NoAnswer},
		{node: first, line: "xmpp cluster remove 10.106.81.31", want: problem.NoAnswer},
		{node: first, line: "xmpp cluster remove cb2|y", want: problem.NotConfirmed},
		{node: first, line: "xmpp cluster remove 10.106.81.30|y", want: problem.NotConfirmed},
		{node: first, line: "xmpp cluster remove CB1.tptac9.com|y", want: problem.NotConfirmed, with: func() { first.must(t, "hostname cb1") }, after: func() { first.must(t, "hostname parley") }},
		{node: first, line: "xmpp cluster remove chat.example.com|y", want: problem.NotConfirmed,
			with: func() { first.must(t, "dns add rr chat.example.com. IN A 10.106.81.30") }, after: func() { first.must(t, "dns del rr chat.example.com. A") }},
		{node: first, line: "xmpp cluster remove cb2", want: problem.ClusterNoMajority, with: func() { first.site.Down(second.xmpp) }, after: func() { first.site.Up(second.xmpp) }},
		{node: third, line: "xmpp cluster initialize", want: problem.ClusterXMPPEnabled, wants: "'xmpp disable', then 'xmpp cluster initialize'"},
		{node: third, line: "xmpp cluster trust none", want: problem.ClusterModeOn},
		{node: third, line: "xmpp cluster disable", want: problem.ClusterXMPPEnabled},
		{node: third, line: "xmpp cluster join nowhere.example", want: problem.ClusterName},
		{node: third, line: "xmpp cluster join 10.9.9.9", want: problem.ClusterRoute},
		{node: third, line: "xmpp cluster join 10.106.81.32", want: problem.ClusterSelf},
		{node: third, line: "xmpp cluster join cb4", want: problem.ClusterNone},
		{node: third, line: "xmpp cluster join cb1", want: problem.ClusterXMPPDisabled, with: func() { third.must(t, "xmpp disable") }, after: func() { third.must(t, "xmpp enable") }},
		{node: third, line: "xmpp cluster join cb1", want: problem.ClusterTLS, wants: "'abhiall.cer' expired", with: func() { first.xmpp.Distrusts = "'abhiall.cer' expired" }, after: func() { first.xmpp.Distrusts = "" }},
		{node: third, line: "xmpp cluster join cb1", want: problem.ClusterClock, wants: "40 s", with: func() { first.xmpp.Clock = 40 * time.Second }, after: func() { first.xmpp.Clock = 0 }},
		{node: third, line: "xmpp cluster join cb1", want: problem.ClusterVersion, with: func() { first.xmpp.Version = "9" }, after: func() { first.xmpp.Version = "1.0" }},
		{node: third, line: "xmpp cluster join cb1", want: problem.ClusterRoute, with: func() { first.site.Down(first.xmpp) }, after: func() { first.site.Up(first.xmpp) }},
		{node: third, line: "xmpp cluster join cb1", want: problem.ClusterSecret, wants: "Call Bridge cb1 ",
			with: func() { third.must(t, "xmpp callbridge add-secret cb1", "uBiLLdIU8vVqj86CAb1") }, after: func() { third.must(t, "xmpp callbridge del cb1") }},
		{node: third, line: "xmpp cluster join cb1", want: problem.ClusterBridge, wants: "'xmpp callbridge add-secret cb7'",
			with: func() { third.must(t, "xmpp callbridge add cb7") }, after: func() { third.must(t, "xmpp callbridge del cb7") }},
		{node: third, line: "xmpp cluster join cb1|n", want: problem.NotConfirmed,
			with: func() { third.must(t, "xmpp user add ann", "Sommer2026!", "Sommer2026!") }, after: func() { third.must(t, "xmpp user del ann") }},
	}
	all := []*testNode{first, second, third, alone}
	for _, tt := range tests {
		t.Run(tt.line+" "+string(tt.want), func(t *testing.T) {
			if tt.with != nil {
				tt.with()
				defer tt.after()
			}
			before := fingerprints(t, all)
			line, typed, some := strings.Cut(tt.line, "|")
			status, out := tt.node.exec(line, typedLines(typed, some)...)
			text := problem.Text(problem.New(tt.want))
			head, _, _ := strings.Cut(text, "{")
			tail := text[strings.LastIndexByte(text, '}')+1:]
			if status != 1 || !strings.HasPrefix(out, "FAILURE: "+head) || !strings.HasSuffix(out, tail+"\n") || strings.Count(out, "\n") != 1 || !strings.Contains(out, tt.wants) || strings.ContainsAny(out, "{}") {
				t.Errorf("%q = %d\n%swant one FAILURE line of %s with %q", tt.line, status, out, tt.want, tt.wants)
			}
			if d := cmp.Diff(before, fingerprints(t, all)); d != "" {
				t.Errorf("%q changed something:\n%s", tt.line, d)
			}
		})
	}
}

func fingerprints(t *testing.T, nodes []*testNode) []string {
	t.Helper()
	var all []string
	for _, n := range nodes {
		all = append(all, n.fingerprint(t))
	}
	return all
}

// TestRollingReplacement: certificates and trust bundle of members, one node
// at a time.
func TestRollingReplacement(t *testing.T) {
	first, second, _ := newCluster(t)
	both := makeBoth(t, first)
	for _, n := range []*testNode{first, second} {
		n.put("both.crt", both)
		n.must(t, "xmpp cluster trust both.crt")
	}
	for i, n := range []*testNode{first, second} {
		name := []string{"cb1", "cb2"}[i]
		n.must(t, "xmpp certs "+name+".key "+name+".cer certall.cer")
		n.must(t, "xmpp cluster trust xmpp-cluster-bundle.crt")
	}
}

func makeBoth(t *testing.T, n *testNode) string {
	t.Helper()
	var all strings.Builder
	for _, name := range []string{"abhiall.cer", "xmpp-cluster-bundle.crt"} {
		data, err := n.Files.Read(name)
		if err != nil {
			t.Fatal(err)
		}
		all.Write(data)
	}
	return all.String()
}

func TestInitializeAgain(t *testing.T) {
	first, second, _ := newCluster(t)
	first.site.Down(second.xmpp)
	first.must(t, "xmpp disable")
	if status, out := first.exec("xmpp cluster initialize", "y"); status != 1 || !strings.Contains(out, "not confirmed") {
		t.Errorf("initialize with y = %d, %s; want not confirmed", status, out)
	}
	first.must(t, "xmpp cluster initialize", "Y")
	first.must(t, "xmpp enable")
	if out := first.must(t, "xmpp cluster status"); !strings.HasPrefix(out, "State: LEADER\nList of peers\n10.106.81.30:5222 (Leader)\nLast") {
		t.Errorf("status:\n%s; want this node alone, leader", out)
	}
	first.must(t, "xmpp callbridge add cb7")
}

// TestClusterStatus has what the three nodes of a transcript don't show.
func TestClusterStatus(t *testing.T) {
	n := newNode(t, t.TempDir())
	now := mmptest.Now()
	node := func(last string, change func(*xmppapi.Node)) xmppapi.Node {
		x := xmppapi.Node{Address: "10.0.0." + last + ":5222", Reachable: true, Since: now.Add(-3 * time.Minute), LastIndex: 100, Version: "1.0"}
		if change != nil {
			change(&x)
		}
		return x
	}
	me := node("1", func(n *xmppapi.Node) { n.Self = true })
	lead := func(n *xmppapi.Node) { n.Leader = true }
	away := func(n *xmppapi.Node) { n.Reachable = false }
	up := func(margin int, nodes ...xmppapi.Node) xmppapi.Cluster {
		return xmppapi.Cluster{Member: true, Leader: true, State: "FOLLOWER", StateChange: now, Nodes: nodes, Margin: margin}
	}
	tests := []struct {
		name  string
		says  xmppapi.Cluster
		wants []string
	}{
		{"the original's lines, this node last", up(1, me, node("2", lead), node("3", nil)), []string{
			"State: FOLLOWER\nList of peers\n10.0.0.2:5222 (Leader)\n10.0.0.3:5222\n10.0.0.1:5222\nLast state change: 2026-Nov-22 20:47:58\n" +
				"Key file           : none\nCertificate file   : none\nTrust bundle       : none\n\nNode "}},
		{"lag, clock and a learner", up(1, node("2", lead), node("3", func(n *xmppapi.Node) { n.Lag, n.LastIndex, n.Clock = 12, 88, -2500*time.Millisecond }),
			node("4", func(n *xmppapi.Node) { n.Learner, n.Clock = true, 90*time.Second }), me), []string{
			"\n10.0.0.3:5222       88         12   1.0      reachable for 3 minutes, 0 seconds, clock 2.5 s behind\n",
			"reachable for 3 minutes, 0 seconds, learner (catching up, no vote yet), clock 90.0 s ahead\n",
			"\n10.0.0.1:5222 (me)  100        0    1.0      follower\n", "\nThe cluster stands the failure of 1 more node.\n"}},
		{"a clock that is right enough", up(1, node("2", func(n *xmppapi.Node) { n.Leader, n.Clock = true, time.Second }), node("3", nil), me), []string{"3 minutes, 0 seconds, leader\n"}},
		{"five", up(2, node("2", lead), node("3", nil), node("4", nil), node("5", nil), me), []string{"The cluster stands the failure of 2 more nodes.\n"}},
		{"four", up(1, node("2", lead), node("3", nil), node("4", nil), me), []string{"4 nodes stand no more failures than 3; an odd number is better."}},
		{"one", up(0, me), []string{"WARNING: this cluster has one voting node only", "'xmpp cluster join 10.0.0.1' there"}},
		{"two", up(0, node("2", lead), me), []string{"WARNING: two nodes are worse than one", "doubles the risk"}},
		{"one of three is gone", up(0, node("2", lead), node("3", away), me), []string{"unreachable for 3 minutes, 0 seconds\n", "WARNING: the cluster stands no more failure", "'xmpp cluster remove 10.0.0.3'"}},
		{"no majority", xmppapi.Cluster{Member: true, State: "CANDIDATE", Nodes: []xmppapi.Node{node("2", away), node("3", away), me}, Margin: -1}, []string{
			"State: CANDIDATE\n", "(me)  100        0    1.0      candidate\n", "WARNING: the cluster is down: of its 3 voting nodes this node can reach 1 with itself, and 2 are needed. The above is what this node alone knows.", "Start 10.0.0.2 and 10.0.0.3 again"}},
		{"taken out and untold", xmppapi.Cluster{Member: true, Outside: true, State: "FOLLOWER", Nodes: []xmppapi.Node{node("2", away)}, Margin: -1}, []string{
			"WARNING: this node was taken out of its cluster: the members above lack it.", "\nStart 10.0.0.2, or, where they are gone for good, type 'xmpp cluster remove' here, then 'xmpp cluster join <node>'.\n"}},
		{"an election", xmppapi.Cluster{Member: true, State: "CANDIDATE", Nodes: []xmppapi.Node{node("2", nil), node("3", nil), me}, Margin: 1}, []string{"WARNING: there is no leader at the moment"}},
		{"joining", xmppapi.Cluster{Activity: "fetching what the cluster has from 10.0.0.1:5222"}, []string{"This node is joining a cluster: fetching what"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			n.xmpp.Says = &tt.says
			out := n.must(t, "xmpp cluster status")
			for _, w := range tt.wants {
				if !strings.Contains(out, w) {
					t.Errorf("xmpp cluster status:\n%swant in it %q", out, w)
				}
			}
			for _, l := range strings.Split(out, "\n") {
				if strings.HasSuffix(l, " ") {
					t.Errorf("the line %q ends in a blank", l)
				}
			}
		})
	}
}

func TestExpiryWarnings(t *testing.T) {
	first, _, _ := newCluster(t)
	now := mmptest.Now()
	first.must(t, "xmpp cluster trust root.cer")
	tests := []struct {
		name              string
		certificate, file time.Time
		want              []string
		warnings          int
	}{
		{"far", now.Add(31 * 24 * time.Hour), now.Add(400 * 24 * time.Hour), []string{"Certificate expires    : 2026-Dec-23 20:47:58 (31 days left)\n", "(400 days left)\n"}, 0},
		{"certificate soon", now.Add(30 * 24 * time.Hour), now.Add(31 * 24 * time.Hour), []string{"(30 days left)", "WARNING: abhiall.cer expires in 30 days, on "}, 1},
		{"both soon", now.Add(25 * time.Hour), now.Add(time.Hour), []string{"(1 day left)", "(0 days left)", "WARNING: abhiall.cer expires in 1 ", "WARNING: root.cer expires in 0 days"}, 2},
		{"over", now.Add(-time.Hour), now.Add(-time.Hour), []string{"(EXPIRED)", "WARNING: abhiall.cer, which is in use, expired on 2026-Nov-22 19:47:58 UTC; "}, 2},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			first.xmpp.Expires, first.xmpp.TrustExpires = tt.certificate, tt.file
			out := first.must(t, "xmpp status")
			for _, w := range tt.want {
				if !strings.Contains(out, w) {
					t.Errorf("xmpp status:\n%swant in it %q", out, w)
				}
			}
			if got := strings.Count(out, "WARNING"); got != tt.warnings {
				t.Errorf("xmpp status has %d warnings; want %d:\n%s", got, tt.warnings, out)
			}
		})
	}
}

// TestJoinTellsWhatItWaitsFor: each activity is one line, in time.
func TestJoinTellsWhatItWaitsFor(t *testing.T) {
	_, _, third := newCluster(t)
	third.xmpp.JoinSteps = []mmptest.JoinStep{
		{Activity: "connecting to 10.106.81.30:5222", Takes: 950 * time.Millisecond},
		{Activity: "fetching what the cluster has", Takes: 1900 * time.Millisecond},
		{Activity: "catching up", Takes: 10 * time.Millisecond},
	}
	synctest.Test(t, func(t *testing.T) {
		var out bytes.Buffer
		status := third.Exec(t.Context(), admin, Local, "xmpp cluster join cb1", strings.NewReader(""), &out, &out)
		want := "connecting to 10.106.81.30:5222\nfetching what the cluster has\nSUCCESS\n"
		if status != 0 || out.String() != want {
			t.Errorf("join = %d\n%swant\n%s", status, out.String(), want)
		}
	})
}

func TestJoinGivenUp(t *testing.T) {
	const step = "fetching what the cluster has"
	tests := []struct {
		name    string
		tooLate bool
		want    string
		member  bool
	}{
		{"in time", false, "^C\nFAILURE: interrupted, nothing was done", false},
		{"too late", true, "^C\nFAILURE: it was too late to give up, this node is a member now", true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, _, third := newCluster(t)
			if err := third.Accounts.SetPassword("admin", "Sommer2026!"); err != nil {
				t.Fatal(err)
			}
			third.xmpp.JoinSteps = []mmptest.JoinStep{{Activity: step, Takes: time.Hour}}
			third.xmpp.TooLate = tt.tooLate
			s := &session{third, newFakeTerminal(t, 100, 40), t, make(chan error, 1)}
			go func() { s.done <- third.Interactive(t.Context(), admin, remote, s.fakeTerminal) }()
			s.wait(t, "> |")
			s.does("xmpp cluster join cb1\r", step)
			s.does("\x03", tt.want)
			s.wait(t, "> |")
			s.typ(t, "exit\r")
			s.ends()
			if cl, _ := third.xmpp.Cluster(context.Background()); cl.Member != tt.member {
				t.Errorf("member after Ctrl-C = %v; want %v", cl.Member, tt.member)
			}
		})
	}
}

func TestCompleteMembers(t *testing.T) {
	first, _, _ := newCluster(t)
	got := first.complete(&call{ctx: t.Context(), user: admin}, "xmpp cluster remove ")
	want := []candidate{{"10.106.81.31", false}}
	if d := cmp.Diff(want, got.candidates, cmp.AllowUnexported(candidate{})); d != "" {
		t.Errorf("complete (-want +got):\n%s", d)
	}
	got = first.complete(&call{ctx: t.Context(), user: admin}, "xmpp cluster trust t")
	if d := cmp.Diff([]candidate{{"two.crt", false}}, got.candidates, cmp.AllowUnexported(candidate{})); d != "" {
		t.Errorf("complete (-want +got):\n%s", d)
	}
}

func TestResetOfMember(t *testing.T) {
	first, second, _ := newCluster(t)
	if out := second.must(t, "xmpp reset", "Y"); strings.Contains(out, "WARNING") {
		t.Errorf("reset of a member that can tell the others:\n%swant no warning", out)
	}
	if out := first.must(t, "xmpp cluster status"); strings.Contains(out, "10.106.81.31") {
		t.Errorf("status after the reset of another:\n%swant no trace of it", out)
	}
	if d, err := second.config.Load(); err != nil || d.XMPP.Cluster.Enabled || d.XMPP.Cluster.Trust != "" {
		t.Errorf("configuration after a reset = %+v, %v; want nothing of a cluster", d.XMPP, err)
	}
}

// TestRefusedByService: a change that the service does not take leaves the old
// document.
func TestClusterRefusedByService(t *testing.T) {
	_, _, third := newCluster(t)
	third.must(t, "xmpp disable")
	third.xmpp.Refuse = problem.New(problem.ClusterAddress, "interface", "a")
	for _, line := range []string{"xmpp cluster disable", "xmpp cluster trust root.cer"} {
		before := third.fingerprint(t)
		if status, out := third.exec(line); status != 1 || !strings.Contains(out, "interface a has no IPv4 address") {
			t.Errorf("%s = %d, %s; want the service's refusal", line, status, out)
		}
		if third.fingerprint(t) != before {
			t.Errorf("%s changed something in %s", line, filepath.Base(third.paths.Live()))
		}
	}
}
