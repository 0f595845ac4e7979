package faults

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"syscall"
)

// Place is what this process may do to a network and to disks.
type Place struct {
	// Network: it has network namespaces of its own, for nodes on machines of
	// their own as far as IP goes. Without, they have loopback addresses.
	Network bool
	// Cuts: there is nft to drop packets between nodes.
	Cuts bool
	// Root: it may mount file systems from files, and throttle them.
	Root bool
}

// insideEnv tells the process that Again started: "root" or "user".
const insideEnv = "PARLEY_FAULTS_INSIDE"

// Enter runs the program again, with its arguments, as Again does. Where that
// could be done, done is true, and the program has to exit with status. It must be
// called from main's first goroutine.
func Enter() (place Place, status int, done bool, err error) {
	if place, inside, err := Inside(); inside {
		return place, 0, false, err
	}
	cmd := exec.Command("/proc/self/exe", os.Args[1:]...)
	cmd.Args[0] = os.Args[0]
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := Again(cmd); errors.Is(err, ErrNoNamespaces) {
		// Loopback it is.
		return Place{}, 0, false, nil
	}
	exit := cmd.ProcessState.ExitCode()
	if exit < 0 {
		exit = 1
	}
	return Place{}, exit, true, nil
}

// ErrNoNamespaces: this user may not make them here.
var ErrNoNamespaces = errors.New("no namespaces here")

// Again runs this program, /proc/self/exe, in network, mount and process
// namespaces of its own, so that nothing it does is seen outside or outlives it.
// A user who is not root becomes it there, where the kernel's settings allow.
// The program has to call Inside at its start.
func Again(cmd *exec.Cmd) error {
	// Pdeathsig is of the thread.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	who := "root"
	attr := &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET | syscall.CLONE_NEWNS | syscall.CLONE_NEWPID, Pdeathsig: syscall.SIGKILL}
	if os.Geteuid() != 0 {
		who = "user"
		attr.Cloneflags |= syscall.CLONE_NEWUSER
		attr.UidMappings = []syscall.SysProcIDMap{{HostID: os.Getuid(), Size: 1}}
		attr.GidMappings = []syscall.SysProcIDMap{{HostID: os.Getgid(), Size: 1}}
	}
	cmd.SysProcAttr = attr
	cmd.Env = append(cmd.Environ(), insideEnv+"="+who)
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("%w: %w", ErrNoNamespaces, err)
	}
	return cmd.Wait()
}

// Inside says whether Again has started this process, and what it may do.
func Inside() (place Place, inside bool, err error) {
	who := os.Getenv(insideEnv)
	if who == "" {
		return Place{}, false, nil
	}
	place, err = settle(who == "root")
	return place, true, err
}

// settle makes the new namespaces habitable.
func settle(root bool) (Place, error) {
	for _, m := range []struct {
		source, target, kind string
		flags                uintptr
	}{
		{"none", "/", "", syscall.MS_REC | syscall.MS_PRIVATE},
		{"proc", "/proc", "proc", 0},
		{"run", "/run", "tmpfs", 0},
	} {
		if err := syscall.Mount(m.source, m.target, m.kind, m.flags, ""); err != nil {
			return Place{}, fmt.Errorf("mount %s: %w", m.target, err)
		}
	}
	place := Place{Root: root}
	if _, err := exec.LookPath("ip"); err != nil {
		return place, nil
	}
	if err := command("", "ip", "link", "set", "lo", "up"); err != nil {
		return Place{}, err
	}
	if err := command("", "ip", "link", "add", "probe", "type", "bridge"); err != nil {
		return place, nil
	}
	place.Network = true
	if err := command("", "ip", "link", "del", "probe"); err != nil {
		return Place{}, err
	}
	place.Cuts = command(cutRules, "nft", "-f", "-") == nil
	return place, nil
}
