package store

import (
	"fmt"
	"syscall"
	"testing"
	"time"
)

func TestKilledGroupLosesNothing(t *testing.T) {
	ps := newProcesses(t, 3)
	for round := range 9 {
		ps.write(4, 100)
		ps.progress(20 + round*61)
		var victims []*process
		switch round % 3 {
		case 0:
			victims = ps.all
		case 1:
			victims = []*process{ps.leader()}
		case 2:
			for _, p := range ps.all {
				if p != ps.leader() {
					victims = append(victims, p)
				}
			}
		}
		for _, p := range victims {
			p.cmd.Process.Signal(syscall.SIGKILL)
		}
		for _, p := range victims {
			ps.kill(p)
		}
		if round%3 == 1 {
			ps.progress(20)
		}
		for _, p := range victims {
			ps.start(p, false)
		}
	}
	ps.write(4, 100)
	ps.progress(100)
	ps.check()
}

// A node that is frozen does not slow the others, and catches up.
func TestFrozenFollower(t *testing.T) {
	ps := newProcesses(t, 3)
	ps.write(4, 100)
	ps.progress(100)
	l := ps.leader()
	for _, p := range ps.all {
		if p != l {
			p.cmd.Process.Signal(syscall.SIGSTOP)
			begin := time.Now()
			ps.progress(500)
			t.Logf("500 messages with a frozen follower took %v", time.Since(begin))
			p.cmd.Process.Signal(syscall.SIGCONT)
			break
		}
	}
	ps.progress(100)
	ps.check()
}

// The disk of a follower, and then of the leader, fills up: the group goes on
// without it, and with it when there is room again.
func TestFullDiskInGroup(t *testing.T) {
	for _, who := range []string{"follower", "leader"} {
		t.Run(who, func(t *testing.T) {
			ps := newProcesses(t, 3)
			ps.write(4, 20000)
			ps.progress(100)
			victim := ps.leader()
			if who == "follower" {
				for _, p := range ps.all {
					if p != ps.leader() {
						victim = p
					}
				}
			}
			ps.must(victim, fmt.Sprintf("limit %d", 4<<20))
			ps.progress(1500)
			// It lags, as it has no room, and is there again with room.
			ps.must(victim, fmt.Sprintf("limit %d", uint64(1)<<40))
			ps.progress(300)
			ps.check()
		})
	}
}
