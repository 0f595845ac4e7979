package store

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"parley/services/xmpp/link"
)

// writer puts numbered messages from several goroutines, for ever, and prints
// each number when it is acknowledged.
func writer(dir, from string) error {
	s, err := runIn(dir)
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(from)
	if err != nil {
		return err
	}
	if !s.Account("ada") {
		if _, err := s.Apply(context.Background(), &AccountAdd{Name: "ada"}); err != nil {
			return err
		}
	}
	failed := make(chan error)
	for w := range 4 {
		go func() {
			for i := n + w; ; i += 4 {
				rs, err := s.Apply(context.Background(), &MessagePut{Account: "ada", Stanza: fmt.Appendf(nil, "%d", i)})
				if err == nil {
					err = rs[0].Err
				}
				if err != nil {
					failed <- err
					return
				}
				// One write a line, so that a kill leaves whole ones.
				os.Stdout.WriteString(strconv.Itoa(i) + "\n")
			}
		}()
	}
	return <-failed
}

func TestKilledWritersLoseNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "xmpp")
	acknowledged := map[string]bool{}
	const kills = 25
	for k := range kills {
		cmd := child(t, "writer", "PARLEY_STORE_DIR="+dir, fmt.Sprintf("PARLEY_STORE_FROM=%d", k*1_000_000))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		// Each round dies after another number of acknowledgements, so that
		// some fall into a flush and some before the first.
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			acknowledged[lines.Text()] = true
			if n == 1+k*37 {
				cmd.Process.Signal(syscall.SIGKILL)
			}
		}
		err = cmd.Wait()
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
			t.Fatalf("round %d: writer ended by itself: %v\n%s", k, err, stderr.String())
		}
	}
	s, _ := start(t, Config{Dir: dir})
	kept := 0
	for after := link.Item(0); ; {
		ms, err := s.Inbox("ada", after, 1000)
		if err != nil {
			t.Fatal(err)
		}
		if len(ms) == 0 {
			break
		}
		for _, m := range ms {
			delete(acknowledged, string(m.Stanza))
			after = m.Item
			kept++
		}
	}
	if len(acknowledged) > 0 {
		t.Errorf("%d acknowledged messages are lost after %d kills", len(acknowledged), kills)
	}
	if n, err := s.Pending("ada"); n != kept || err != nil {
		t.Errorf("Pending = %d, %v; the inbox has %d", n, err, kept)
	}
	t.Logf("%d messages kept over %d kills", kept, kills)
}
