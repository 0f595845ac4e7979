package pid1

import (
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"parley/init/state"
	"parley/init/supervise"
)

func TestServicesAreKeptApart(t *testing.T) {
	i := New(Appliance("1.2"), Deps{Kernel: newMachine(t)})
	specs := i.specs([]string{"tty1", "ttyS0"}, 1<<30)
	var total int64
	uids := map[string]uint32{}
	for _, s := range specs {
		uids[s.Name] = s.UID
		total += s.Memory
		if s.Memory == 0 || s.Tasks == 0 || s.StopWait == 0 || s.Path == "" {
			t.Errorf("%s has no bound: %+v", s.Name, s)
		}
		if s.UID != 0 && slices.ContainsFunc(s.Capabilities, func(c uintptr) bool { return c != unix.CAP_NET_BIND_SERVICE }) {
			t.Errorf("%s has capabilities %v", s.Name, s.Capabilities)
		}
		if s.Audit != (s.UID == state.MMP) {
			t.Errorf("%s may write audit lines: %v", s.Name, s.Audit)
		}
	}
	want := map[string]uint32{
		"network": 0, "eventlog": state.Events, "xmpp": state.XMPP, "callbridge": state.CallBridge, "database": state.Database, "sshd": state.MMP, "webadmin": state.MMP,
		"console-tty1": state.MMP, "console-ttyS0": state.MMP,
	}
	if diff := cmp.Diff(want, uids); diff != "" {
		t.Errorf("uids (-want +got):\n%s", diff)
	}
}

func TestTermAndProgramOfConsoles(t *testing.T) {
	i := New(Appliance("1.2"), Deps{Kernel: newMachine(t)})
	specs := i.specs([]string{"tty1", "ttyS0"}, 0)
	for _, want := range []struct{ name, tty, term string }{{"console-tty1", "/dev/tty1", "TERM=linux"}, {"console-ttyS0", "/dev/ttyS0", "TERM=vt220"}} {
		n := slices.IndexFunc(specs, func(s supervise.Spec) bool { return s.Name == want.name })
		s := specs[n]
		if s.TTY != want.tty || !slices.Contains(s.Env, want.term) || s.Path != "/bin/console" || !s.Session {
			t.Errorf("spec = %+v; want %+v", s, want)
		}
	}
}
