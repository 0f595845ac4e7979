package pid1

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"parley/init/state"
	"parley/init/supervise"
)

// specs are the services in the order of their start: names and addresses
// first, then what needs them, then the ways in, then what watches and serves
// the rest. memory is the machine's.
//
// Limits: what a service needs at its busiest, so that one that leaks is
// restarted before the machine is short. XMPP takes the largest part, and is
// the first to go when the machine is short all the same: consoles and network
// are how somebody gets in to mend it.
func (i *Init) specs(ttys []string, memory int64) []supervise.Spec {
	const mib = 1 << 20
	all := []supervise.Spec{
		{
			Name: "network",
			// It pins MACs in live.json, which belongs and is left to the
			// console's account: CAP_DAC_OVERRIDE, CAP_CHOWN, CAP_FOWNER.
			// CAP_SYS_ADMIN is for the host name.
			Capabilities: []uintptr{
				unix.CAP_NET_ADMIN, unix.CAP_NET_RAW, unix.CAP_NET_BIND_SERVICE,
				unix.CAP_DAC_OVERRIDE, unix.CAP_CHOWN, unix.CAP_FOWNER, unix.CAP_SYS_ADMIN,
			},
			Groups: []uint32{state.Parley},
			Memory: 128 * mib, Tasks: 64, OOMScore: -900, StopWait: 5 * time.Second,
		},
		{
			Name: "xmpp", UID: state.XMPP, GID: state.XMPP, Groups: []uint32{state.Parley},
			Memory: max(256*mib, memory/10*6), Tasks: 256, StopWait: 15 * time.Second,
		},
		{
			Name: "sshd", UID: state.MMP, GID: state.Parley, Groups: []uint32{state.Parley}, Audit: true,
			Capabilities: []uintptr{unix.CAP_NET_BIND_SERVICE},
			Memory:       max(192*mib, memory/4), Tasks: 128, OOMScore: -500, StopWait: 5 * time.Second,
		},
	}
	for _, tty := range ttys {
		term := "linux"
		if strings.HasPrefix(tty, "ttyS") {
			term = "vt220"
		}
		all = append(all, supervise.Spec{
			Name: "console-" + tty, UID: state.MMP, GID: state.Parley, Groups: []uint32{state.Parley}, Audit: true,
			// Its banner names the addresses.
			Await: i.cfg.Paths.Socket("network"),
			TTY:   i.path("dev/" + tty), Session: true, Env: []string{"TERM=" + term}, Args: []string{"console", tty},
			Memory: 192 * mib, Tasks: 64, OOMScore: -900, StopWait: 3 * time.Second,
		})
	}
	// What nobody waits for at the prompt comes last, and lets the rest start.
	all = append(all, []supervise.Spec{
		{
			Name: "eventlog", UID: state.Events, GID: state.Events, Groups: []uint32{state.Parley},
			Await:  i.cfg.Paths.Socket("xmpp"),
			Memory: 128 * mib, Tasks: 64, StopWait: 5 * time.Second,
		},
		{
			Name: "database", UID: state.Database, GID: state.Database, Groups: []uint32{state.Parley},
			Memory: 192 * mib, Tasks: 64, OOMScore: -200, StopWait: 5 * time.Second,
		},
		{
			Name: "callbridge", UID: state.CallBridge, GID: state.CallBridge, Groups: []uint32{state.Parley},
			Memory: 128 * mib, Tasks: 64, OOMScore: -200, StopWait: 5 * time.Second,
		},
		{
			// It does what the console does, to the same files.
			Name: "webadmin", UID: state.MMP, GID: state.Parley, Groups: []uint32{state.Parley}, Audit: true,
			Capabilities: []uintptr{unix.CAP_NET_BIND_SERVICE},
			Memory:       192 * mib, Tasks: 64, OOMScore: -400, StopWait: 5 * time.Second,
		},
	}...)
	for n := range all {
		s := &all[n]
		if s.Args == nil {
			s.Args = []string{s.Name}
		}
		s.Path = filepath.Join(i.cfg.Programs, s.Args[0])
		s.Env = append(s.Env, "PATH=/bin:/sbin", "HOME=/", fmt.Sprintf("GOMEMLIMIT=%d", s.Memory/10*9))
	}
	return all
}

// memoryTotal is the machine's memory in bytes, 0 where proc does not say.
func memoryTotal(proc string) int64 {
	data, err := os.ReadFile(filepath.Join(proc, "meminfo"))
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(data)) {
		if f := strings.Fields(line); len(f) == 3 && f[0] == "MemTotal:" {
			kib, _ := strconv.ParseInt(f[1], 10, 64)
			return kib << 10
		}
	}
	return 0
}
