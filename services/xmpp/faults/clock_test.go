package faults

import (
	"bufio"
	"io"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

// clockEnv has the test program tell the time for each line that it reads.
const clockEnv = "PARLEY_TELL_TIME"

func tellTime() {
	in := bufio.NewReader(os.Stdin)
	begun := time.Now()
	for {
		if _, err := in.ReadString('\n'); err != nil {
			return
		}
		b, _ := time.Now().Round(0).MarshalText()
		os.Stdout.WriteString(string(b) + " " + time.Since(begun).String() + "\n")
	}
}

// TestClock sets the clock of another process, and of that only.
func TestClock(t *testing.T) {
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), clockEnv+"=1")
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("it ended with %v", err)
		}
	}()
	lines := bufio.NewReader(out)
	ask := func() (wall time.Time, since time.Duration) {
		t.Helper()
		if _, err := io.WriteString(in, "\n"); err != nil {
			t.Fatal(err)
		}
		line, err := lines.ReadString('\n')
		if err != nil {
			t.Fatal(err)
		}
		stamp, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		if err := wall.UnmarshalText([]byte(stamp)); err != nil {
			t.Fatal(err)
		}
		if since, err = time.ParseDuration(rest); err != nil {
			t.Fatal(err)
		}
		return wall, since
	}
	ask()
	c := Clock{PID: cmd.Process.Pid}
	for _, offset := range []time.Duration{time.Hour, -3 * 365 * 24 * time.Hour, 2 * time.Second, 0} {
		if err := c.Set(offset); err != nil {
			t.Fatalf("Set(%v) = %v", offset, err)
		}
		wall, since := ask()
		if d := time.Until(wall) - offset; d.Abs() > time.Second {
			t.Errorf("after Set(%v) its clock differs by %v", offset, d+offset)
		}
		if since < 0 || since > time.Minute {
			t.Errorf("after Set(%v) it measured %v", offset, since)
		}
	}
}
