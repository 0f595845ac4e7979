package resolver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/miekg/dns"

	"parley/services/config"
	"parley/services/problem"
)

// knot is Debian's knotd as the outside name server of tptac9.com.
type knot struct {
	t    *testing.T
	addr netip.AddrPort
	dir  string
	cmd  *exec.Cmd
}

// lastKnot keeps the servers of a run apart, the number of the process those
// of several runs.
var lastKnot atomic.Uint32

// components are the members whose records the outside server has.
const components = 60

// startKnot serves the zone on an address of its own.
func startKnot(t *testing.T) *knot {
	t.Helper()
	a := netip.AddrFrom4([4]byte{127, 53, byte(os.Getpid()), byte(lastKnot.Add(1))})
	k := &knot{t: t, addr: netip.AddrPortFrom(a, 5353), dir: t.TempDir()}
	var zone strings.Builder
	fmt.Fprintln(&zone, "$ORIGIN tptac9.com.\n$TTL 86400\n@ SOA ns admin 1 3600 600 86400 60\n@ NS ns\nns A 10.106.81.2")
	for i := range components {
		fmt.Fprintf(&zone, "cb%d A 10.106.81.%d\n", i+1, 30+i)
		fmt.Fprintf(&zone, "_xmpp-component._tcp SRV 0 0 5223 cb%d\n", i+1)
	}
	fmt.Fprintln(&zone, "chat CNAME cb1")
	conf := fmt.Sprintf("server:\n    rundir: %[1]q\n    listen: \"%[2]s@%[3]d\"\ndatabase:\n    storage: %[1]q\nlog:\n  - target: stderr\n    any: info\nzone:\n  - domain: tptac9.com\n    file: %[1]q\n",
		k.dir, k.addr.Addr(), k.addr.Port())
	conf = strings.Replace(conf, fmt.Sprintf("file: %q", k.dir), fmt.Sprintf("file: %q", filepath.Join(k.dir, "zone")), 1)
	for name, text := range map[string]string{"zone": zone.String(), "knot.conf": conf} {
		if err := os.WriteFile(filepath.Join(k.dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	k.start()
	return k
}

func (k *knot) start() {
	k.t.Helper()
	k.cmd = exec.Command("knotd", "-c", filepath.Join(k.dir, "knot.conf"))
	k.cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	k.cmd.Stderr = k.t.Output()
	if err := k.cmd.Start(); err != nil {
		k.t.Fatalf("%v; install Debian's package knot", err)
	}
	k.t.Cleanup(k.kill)
	for end := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		m, err := dns.Exchange(new(dns.Msg).SetQuestion("cb1.tptac9.com.", dns.TypeA), k.addr.String())
		if err == nil && len(m.Answer) == 1 {
			return
		}
		if time.Now().After(end) {
			k.t.Fatalf("knotd does not answer: %v", err)
		}
	}
}

func (k *knot) kill() {
	if k.cmd == nil {
		return
	}
	// One that is stopped is killed, too.
	_ = k.cmd.Process.Kill()
	_ = k.cmd.Wait()
	k.cmd = nil
}

// freeze stops the server where it is, all its threads: the signal alone leaves
// them a moment.
func (k *knot) freeze() {
	k.t.Helper()
	if err := k.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		k.t.Fatal(err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(time.Millisecond) {
		tasks, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/stat", k.cmd.Process.Pid))
		if err != nil {
			k.t.Fatal(err)
		}
		running := slices.DeleteFunc(tasks, func(task string) bool {
			stat, err := os.ReadFile(task)
			// The state stands after the name, which is in brackets.
			_, state, _ := strings.Cut(string(stat), ") ")
			return err != nil || strings.HasPrefix(state, "T")
		})
		if len(running) == 0 {
			return
		}
		if time.Now().After(end) {
			stat, err := os.ReadFile(running[0])
			k.t.Fatalf("knotd does not stop: %s, %v", stat, err)
		}
	}
}

// TestOutsideServers: a forward zone with two of Debian's knotd, as they live
// and die.
func TestOutsideServers(t *testing.T) {
	primary, secondary := startKnot(t), startKnot(t)
	r := New(slog.New(slog.NewTextHandler(t.Output(), nil)), Sockets{}, func() []netip.AddrPort { return nil })
	err := r.Configure(config.DNS{
		Zones:   []config.ForwardZone{{Domain: "tptac9.com", Server: primary.addr}, {Domain: "tptac9.com", Server: secondary.addr}},
		Records: []string{"cb2.tptac9.com. 60 IN A 10.0.0.2"},
	})
	if err != nil {
		t.Fatal(err)
	}
	// ask looks up without the cache, keeping what is known of the servers.
	ask := func(kind, name string) (Result, time.Duration, error) {
		set := *r.set.Load()
		set.cache = newCache()
		r.set.Store(&set)
		start := time.Now()
		res, err := r.Lookup(context.Background(), kind, name)
		return res, time.Since(start), err
	}
	check := func(when, kind, name string, server *knot, records int, within time.Duration) {
		t.Helper()
		res, took, err := ask(kind, name)
		want := netip.AddrPort{}
		if server != nil {
			want = server.addr
		}
		if err != nil || len(res.Answer) != records || res.Server != want || took > within {
			t.Errorf("%s: %s %s = %d records of %v after %v, %v; want %d of %v within %v", when, kind, name, len(res.Answer), res.Server, took, err, records, want, within)
		}
	}
	// What waits for nobody's patience, on a machine that does other things.
	const atOnce = patience
	const srv = "_xmpp-component._tcp.tptac9.com"
	check("at first", "a", "cb1.tptac9.com", primary, 1, atOnce)
	check("by TCP", "srv", srv, primary, components, atOnce)
	check("an alias", "a", "chat.tptac9.com", primary, 2, atOnce)
	check("a local record", "a", "cb2.tptac9.com", nil, 1, atOnce)
	res, _, err := ask("a", "nobody.tptac9.com")
	if err != nil || res.Code != dns.RcodeNameError || len(res.Authority) != 1 {
		t.Errorf("a name that is not there = %+v, %v; want NXDOMAIN with its SOA", res, err)
	}

	primary.kill()
	check("primary killed", "srv", srv, secondary, components, atOnce)
	check("primary still dead", "a", "cb1.tptac9.com", secondary, 1, atOnce)
	primary.start()
	secondary.kill()
	check("the other way round", "srv", srv, primary, components, atOnce)

	secondary.start()
	r.Flush()
	primary.freeze()
	check("primary silent", "a", "cb1.tptac9.com", secondary, 1, 10*time.Second)
	check("primary known to be silent", "a", "cb3.tptac9.com", secondary, 1, atOnce)
	secondary.kill()
	primary.kill()
	_, took, err := ask("a", "cb1.tptac9.com")
	if p, ok := errors.AsType[*problem.Problem](err); !ok || p.Code != problem.NameServersSilent || !strings.Contains(p.Values["servers"], secondary.addr.Addr().String()) || took > atOnce {
		t.Errorf("both dead = %v after %v; want %s that names both, at once", err, took, problem.NameServersSilent)
	}
}
