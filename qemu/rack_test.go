package qemu_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/qemu"
	"parley/qemu/lan"
	"parley/qemu/qemutest"
	"parley/services/xmpp/realclient"
)

// rack is the article's three appliances on one network, and the operator's
// machine beside them.
type rack struct {
	t     *testing.T
	ctx   context.Context
	end   context.CancelFunc
	lan   *lan.Switch
	host  *lan.Host
	nodes []*node
	// shared: the nodes share a database, and by it an LDAP server's settings.
	shared bool
}

// node is an appliance of the rack.
type node struct {
	*operator
	rack    *rack
	name    string // also of its port
	address string
	cfg     qemu.Config
	vm      *qemu.VM
	// screen is where commands are typed: an SSH session, once one is needed.
	screen *qemu.Console
}

var nodeNames = []string{"cb1", "cb2", "cb3"}

const (
	operatorAddress = "10.106.81.1"
	rackLifetime    = 18 * time.Minute
)

// newRack boots the three, with nothing set but the admin's password, their
// names and addresses.
func newRack(t *testing.T) *rack {
	t.Helper()
	iso := qemutest.ISO(t)
	r := &rack{t: t, lan: lan.New(1, slog.New(slog.DiscardHandler))}
	// Three take longer than one, and a failure may be in what a node logged.
	r.ctx, r.end = context.WithTimeout(context.Background(), rackLifetime)
	t.Cleanup(r.end)
	t.Cleanup(r.lan.Close)
	var err error
	if folder := os.Getenv(qemutest.LogsVariable); folder != "" {
		capture := filepath.Join(folder, t.Name()+".pcap")
		if err = errors.Join(os.MkdirAll(folder, 0o755), r.lan.Capture(capture)); err != nil {
			t.Fatal(err)
		}
	}
	// Without /dev/net/tun nothing could be typed over SSH: that is a failure,
	// not a test to leave out.
	if r.host, err = r.lan.Host("operator", netip.MustParsePrefix(operatorAddress+"/24")); err != nil {
		t.Fatal(err)
	}
	began := time.Now()
	for i, name := range nodeNames {
		n := &node{rack: r, name: name, address: fmt.Sprintf("10.106.81.%d", 30+i)}
		n.operator = &operator{t, n.address, "22", r.host.Do}
		socket, err := r.lan.Listen(n.name)
		if err != nil {
			t.Fatal(err)
		}
		n.cfg = qemu.Config{ISO: iso, StateDisk: qemutest.StateDisk(t), NoFlush: true, MemoryMiB: 512, Lifetime: rackLifetime, NICs: []qemu.NIC{
			{Socket: socket, MAC: fmt.Sprintf("52:54:00:6a:51:%02x", 30+i)},
		}}
		n.vm = qemutest.Start(t, r.ctx, n.cfg)
		r.nodes = append(r.nodes, n)
	}
	for _, n := range r.nodes {
		c := n.vm.Console()
		firstLogin(t, c)
		n.typed(c, "ipv4 a add "+n.address+"/24 "+operatorAddress)
		n.expect(c, "SUCCESS")
		n.expect(c, "\nparley> ")
		n.typed(c, "hostname "+n.name)
		n.expect(c, "\n"+n.name+"> ")
	}
	t.Cleanup(func() {
		if t.Failed() {
			r.logs()
		}
	})
	t.Logf("three appliances are ready after %.1f s", time.Since(began).Seconds())
	return r
}

// logs shows what the nodes logged last, of those that still answer.
func (r *rack) logs() {
	for _, n := range r.nodes {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		cmd := exec.CommandContext(ctx, "sshpass", append([]string{"-e", "ssh"}, append(sshOptions, "admin@"+n.address, "syslog tail 60")...)...)
		cmd.Env = append(os.Environ(), "SSHPASS="+adminPassword)
		var out strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &out
		if r.host.Do(cmd.Start) == nil {
			_ = cmd.Wait()
		}
		r.t.Logf("%s> syslog tail 60\n%s", n.name, out.String())
	}
}

func (r *rack) node(name string) *node {
	r.t.Helper()
	for _, n := range r.nodes {
		if n.name == name || n.address == name {
			return n
		}
	}
	r.t.Fatalf("there is no appliance %s", name)
	return nil
}

// powerCut ends QEMU without warning; SSH sessions hang from then on.
func (n *node) powerCut() {
	n.t.Helper()
	if err := n.vm.Kill(); err != nil {
		n.t.Fatal(err)
	}
	n.screen = nil
}

// powerOn starts the appliance again and waits until it can be logged in to.
func (n *node) powerOn() {
	n.t.Helper()
	n.vm = qemutest.Start(n.t, n.rack.ctx, n.cfg)
	boot(n.t, n.rack.ctx, n.vm)
}

// terminal is where the transcripts are typed.
func (n *node) terminal() *qemu.Console {
	n.t.Helper()
	if n.screen == nil {
		n.screen = n.operator.terminal(adminPassword)
		n.expect(n.screen, "\n"+n.name+"> ")
	}
	return n.screen
}

// run is a command on the operator's machine.
func (r *rack) run(dir, line string) string {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", "-c", line)
	cmd.Dir = dir
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	err := r.host.Do(cmd.Start)
	if err == nil {
		err = cmd.Wait()
	}
	if err != nil {
		r.t.Fatalf("$ %s\n%s%v", line, out.String(), err)
	}
	return out.String()
}

// serveDHCP has the operator's machine give a node another address.
func (r *rack) serveDHCP(dir string, n *node, address string) {
	r.t.Helper()
	ctx, stop := context.WithCancel(r.ctx)
	cmd := exec.CommandContext(ctx, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-", "--user=root", "--port=0", "--no-ping", "--dhcp-authoritative",
		"--pid-file="+filepath.Join(dir, "pid"), "--dhcp-leasefile="+filepath.Join(dir, "leases"), "--dhcp-range=10.106.81.100,10.106.81.110,1h",
		fmt.Sprintf("--dhcp-host=%s,%s", n.cfg.NICs[0].MAC, address))
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := r.host.Do(cmd.Start); err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
		if r.t.Failed() {
			r.t.Logf("dnsmasq:\n%s", out.String())
		}
	})
}

// client starts the client of a user on a node.
func (n *node) client(library realclient.Library, user, ca string) *realclient.Client {
	n.t.Helper()
	return n.start(realclient.Config{
		Library: library, JID: user + "@tptac9.com", Password: "secret of " + user, Host: n.address, Port: 5222, CA: ca,
	})
}

func (n *node) start(cfg realclient.Config) *realclient.Client {
	n.t.Helper()
	var c *realclient.Client
	if err := n.rack.host.Do(func() error {
		c = realclient.Start(n.t, cfg)
		return nil
	}); err != nil {
		n.t.Fatal(err)
	}
	return c
}

// peers are the addresses that 'xmpp cluster status' lists.
func (n *node) peers() []string {
	n.t.Helper()
	output, status := n.exec("xmpp cluster status")
	if status != 0 {
		n.t.Fatalf("%s> xmpp cluster status: exit status %s\n%s", n.name, strconv.Itoa(status), output)
	}
	var peers []string
	_, list, _ := strings.Cut(strings.ReplaceAll(output, "\r", ""), "List of peers\n")
	for line := range strings.Lines(list) {
		word, _, _ := strings.Cut(strings.TrimSpace(line), " ")
		if _, err := netip.ParseAddrPort(word); err != nil {
			break
		}
		peers = append(peers, word)
	}
	return peers
}
