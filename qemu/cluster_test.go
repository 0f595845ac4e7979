package qemu_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/qemu/qemutest"
)

// TestArticleCluster types the article's steps on three appliances that share
// one certificate, and does step 9 and the trouble section. Then members are
// reset and join again, real clients talk across the nodes, and a power cut
// takes the leader.
func TestArticleCluster(t *testing.T) {
	b := bindings{"<trust bundle>": "abhiall.cer"}
	for _, name := range nodeNames {
		b["<key of "+name+">"], b["<certificate of "+name+">"] = "abhiall.key", "abhiall.cer"
	}
	articleCluster(t, "article-shared.txt", b, false)
}

// TestArticleClusterOfThreeCertificates is the same with a certificate for each
// node, a shared database with users of an LDAP server, and a leader that is
// frozen for a while. As it takes minutes more, it runs only by a target of its own.
func TestArticleClusterOfThreeCertificates(t *testing.T) {
	qemutest.ISO(t)
	if os.Getenv("PARLEY_ARTICLE") != "each" {
		t.Skip("run it by: make test-article")
	}
	b := bindings{"<trust bundle>": "xmpp-cluster-bundle.crt"}
	for _, name := range nodeNames {
		b["<key of "+name+">"], b["<certificate of "+name+">"] = name+".key", name+".cer"
	}
	r, dir := articleCluster(t, "article-each.txt", b, true)
	r.freezeLeader("freeze", filepath.Join(dir, "certall.cer"), b["<secret of cb4>"])
	r.resetLeader()
}

func articleCluster(t *testing.T, article string, b bindings, shared bool) (r *rack, dir string) {
	r, dir = newRack(t), t.TempDir()
	r.play(article, dir, b)
	r.play("accounts.txt", dir, b)
	r.callBridges(dir, b)
	if shared {
		r.directory(dir, b)
	}
	r.diagnose()

	// The article's trouble 3: a member is reset and joins again. First it can
	// tell the others, then it cannot.
	r.play("reset.txt", dir, b)
	r.play("rejoin.txt", dir, b)
	cb3 := r.node("cb3")
	r.lan.Unplug(cb3.name)
	cb3.screen = cb3.vm.Console()
	r.play("reset-alone.txt", dir, b)
	r.lan.Plug(cb3.name)
	cb3.screen = nil
	r.play("rejoin.txt", dir, b)

	// The serial console stays where it is when the address changes.
	r.serveDHCP(dir, cb3, "10.106.81.42")
	cb3.screen = cb3.vm.Console()
	r.play("address.txt", dir, b)
	cb3.screen = nil

	for round := range kills(t, 1) {
		r.loseLeader(fmt.Sprintf("power cut %d", round+1), filepath.Join(dir, "certall.cer"), b["<secret of cb4>"])
	}
	return r, dir
}

// resetLeader resets the leader while it is a member, and has it join the
// cluster of the others, with certificates named after the node.
func (r *rack) resetLeader() {
	r.t.Helper()
	leader, other, _ := r.leader()
	leader.play(step{command: "xmpp reset", output: []string{"anything else to stop: Y", "(typed) Y"}}, nil)
	for _, command := range []string{
		"xmpp domain tptac9.com", "xmpp listen a", fmt.Sprintf("xmpp certs %[1]s.key %[1]s.cer certall.cer", leader.name),
		"xmpp cluster trust xmpp-cluster-bundle.crt", "xmpp cluster enable", "xmpp enable", "xmpp cluster join " + other.address,
	} {
		if output, status := leader.exec(command); status != 0 {
			r.t.Fatalf("%s> %s: exit status %d\n%s", leader.name, command, status, output)
		}
	}
	r.awaitWhole(leader)
}

// leader returns the one that leads, and the others.
func (r *rack) leader() (leader, other, third *node) {
	r.t.Helper()
	deadline := time.Now().Add(settle)
	for {
		for i, n := range r.nodes {
			if output, _ := n.exec("xmpp cluster status"); strings.HasPrefix(output, "State: LEADER") {
				return n, r.nodes[(i+1)%3], r.nodes[(i+2)%3]
			}
		}
		if time.Now().After(deadline) {
			r.t.Fatal("no node leads")
		}
	}
}

// awaitWhole waits until the node and all others list each other, and all are
// reachable and without lag.
func (r *rack) awaitWhole(n *node) {
	r.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		output, _ := n.exec("xmpp cluster status")
		if strings.Count(output, "reachable for") == 2 && !strings.Contains(output, "unreachable") && strings.Contains(output, "stands the failure of 1 more") {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s is not in the cluster again:\n%s", n.name, output)
		}
		time.Sleep(300 * time.Millisecond)
	}
	want := []string{"10.106.81.30:5222", "10.106.81.31:5222", "10.106.81.32:5222"}
	for _, n := range r.nodes {
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(n.peers()))); diff != "" {
			r.t.Errorf("%s lists (-want +got):\n%s", n.name, diff)
		}
	}
}
