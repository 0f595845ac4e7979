package network

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"parley/services/config"
	"parley/services/network/networkapi"
)

// inNamespace runs the test in a process of its own, with network and host
// name of its own, so that it can do as it likes with both. An ordinary user
// needs user namespaces for that.
func inNamespace(t *testing.T, f func(t *testing.T)) {
	t.Helper()
	const env = "PARLEY_TEST_NAMESPACE"
	if os.Getenv(env) == t.Name() {
		f(t)
		return
	}
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe, "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=3m")
	cmd.Env = append(os.Environ(), env+"="+t.Name())
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWUTS, Pdeathsig: syscall.SIGKILL}
	if uid := os.Getuid(); uid != 0 {
		cmd.SysProcAttr.Cloneflags |= syscall.CLONE_NEWUSER
		cmd.SysProcAttr.UidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: uid, Size: 1}}
		cmd.SysProcAttr.GidMappings = []syscall.SysProcIDMap{{ContainerID: 0, HostID: os.Getgid(), Size: 1}}
	}
	out, err := cmd.CombinedOutput()
	t.Logf("%s", out)
	if err != nil || !bytes.Contains(out, []byte("--- PASS: "+t.Name())) {
		t.Errorf("in its namespace: %v", err)
	}
}

// lan is the network on the other end of the node's cables, in a namespace of
// its own, that a sleeping process holds.
type lan struct {
	t   *testing.T
	pid int
}

func newLAN(t *testing.T) *lan {
	t.Helper()
	cmd := exec.Command("sleep", "infinity")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	return &lan{t, cmd.Process.Pid}
}

// cable connects a NIC of the node to the network, where the end is called
// peer and has address.
func (l *lan) cable(nic, mac, peer, address string) {
	l.t.Helper()
	hw, err := net.ParseMAC(mac)
	if err != nil {
		l.t.Fatal(err)
	}
	veth := &netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: nic, HardwareAddr: hw, MTU: 1500, TxQLen: 1000}, PeerName: peer, PeerNamespace: netlink.NsPid(l.pid)}
	if err := netlink.LinkAdd(veth); err != nil {
		l.t.Fatal(err)
	}
	l.run("ip", "addr", "add", address, "dev", peer)
	l.run("ip", "link", "set", peer, "up")
}

func (l *lan) command(args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--net=/proc/" + fmt.Sprint(l.pid) + "/ns/net"}, args...)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (l *lan) run(args ...string) string {
	l.t.Helper()
	out, err := l.command(args...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s: %v\n%s", args, err, out)
	}
	return string(out)
}

// inside runs f, which makes a socket, in the network's namespace: the socket
// stays there. The thread must come back, and live: programs that it started
// would die with it.
func (l *lan) inside(f func()) {
	l.t.Helper()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	here, err := netns.Get()
	if err != nil {
		l.t.Fatal(err)
	}
	defer here.Close()
	there, err := netns.GetFromPid(l.pid)
	if err != nil {
		l.t.Fatal(err)
	}
	defer there.Close()
	if err := netns.Set(there); err != nil {
		l.t.Fatal(err)
	}
	f()
	if err := netns.Set(here); err != nil {
		l.t.Fatal(err)
	}
}

// logged is a program's output so far.
type logged struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (l *logged) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buf.Write(p)
}

func (l *logged) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.buf.String(), s)
}

// dnsmasq serves DHCP and DNS on a peer; stop ends it.
func (l *lan) dnsmasq(peer string, args ...string) (log *logged, stop func()) {
	l.t.Helper()
	dir := l.t.TempDir()
	log = &logged{}
	cmd := l.command(append([]string{
		"dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null", "--log-facility=-", "--log-dhcp", "--log-queries", "--user=root",
		"--pid-file=" + filepath.Join(dir, "pid"),
		"--interface=" + peer, "--bind-interfaces", "--no-resolv", "--no-hosts", "--no-ping", "--dhcp-authoritative",
	}, args...)...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		l.t.Fatal(err)
	}
	var once sync.Once
	stop = func() { once.Do(func() { cmd.Process.Kill(); cmd.Wait() }) }
	l.t.Cleanup(func() {
		stop()
		l.t.Logf("dnsmasq:\n%s", log.buf.String())
	})
	await(l.t, "dnsmasq", func() bool { return log.count("started") > 0 })
	return log, stop
}

// node is the real service in the test's namespace.
type node struct {
	t      *testing.T
	client *networkapi.Client
	store  *config.Store
	sysfs  string
	dir    string
	stop   func()
}

func newNode(t *testing.T, cards ...card) *node {
	dir := t.TempDir()
	n := &node{t: t, dir: dir, store: config.NewStore(filepath.Join(dir, "live.json")), sysfs: fakeSysfs(t, cards...), stop: func() {}}
	return n
}

func (n *node) start() {
	n.t.Helper()
	socket := filepath.Join(n.dir, "network.sock")
	n.client = networkapi.NewClient(socket)
	log := slog.New(slog.NewTextHandler(n.t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	s := New(Config{Socket: socket, Group: -1, Sysfs: n.sysfs, Resolver: "127.0.0.1:53"}, Machine(n.store, log))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	go func() { done <- s.Run(ctx) }()
	var once sync.Once
	n.stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				n.t.Errorf("Run = %v", err)
			}
		})
	}
	n.t.Cleanup(n.stop)
	await(n.t, "the control socket", func() bool { _, err := n.client.Interfaces(n.t.Context()); return err == nil })
}

func (n *node) change(f func(*config.Document)) error {
	return n.store.Transact(
		func(d *config.Document) error { f(d); return nil },
		func() error { return n.client.Reload(n.t.Context()) })
}

func (n *node) iface(name string) networkapi.Interface {
	n.t.Helper()
	is, err := n.client.Interfaces(n.t.Context())
	if err != nil {
		n.t.Fatal(err)
	}
	for _, i := range is {
		if i.Name == name {
			return i
		}
	}
	n.t.Fatalf("no interface %s in %+v", name, is)
	return networkapi.Interface{}
}

func (n *node) awaitAddress(name string, want ...string) {
	n.t.Helper()
	await(n.t, fmt.Sprint("addresses ", want), func() bool { return slices.Equal(text(n.iface(name).Addresses), want) })
}

// allowPing does what init does on an appliance.
func allowPing(t *testing.T) {
	t.Helper()
	if err := os.WriteFile("/proc/sys/net/ipv4/ping_group_range", []byte("0 0"), 0); err != nil {
		t.Fatal(err)
	}
}

func ip(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("ip", args...).CombinedOutput()
	if err != nil {
		t.Fatalf("ip %s: %v\n%s", args, err, out)
	}
	return string(out)
}
