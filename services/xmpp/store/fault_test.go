package store

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"parley/services/problem"
	"parley/services/xmpp/link"
)

// childEnv names what a copy of the test binary is to do instead of testing.
const childEnv = "PARLEY_STORE_CHILD"

func TestMain(m *testing.M) {
	switch dir := os.Getenv("PARLEY_STORE_DIR"); os.Getenv(childEnv) {
	case "writer":
		fmt.Fprintln(os.Stderr, writer(dir, os.Getenv("PARLEY_STORE_FROM")))
		os.Exit(1)
	case "member":
		fmt.Fprintln(os.Stderr, member(dir))
		os.Exit(1)
	case "limited":
		if err := limited(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, what string, env ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), childEnv+"="+what), env...)
	return cmd
}

// runIn opens and runs a store for a child.
func runIn(dir string) (*Store, error) {
	s := New(Config{Dir: dir}, Deps{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err := s.Open(); err != nil {
		return nil, err
	}
	go s.Run(context.Background())
	return s, s.WaitReady(context.Background())
}

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

// limit bounds the size of this process's files.
func limit(n uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		return err
	}
	l.Cur = min(n, l.Max)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l)
}

// limited runs into a limit of the file size, as a stand-in for a full disk,
// and out of it.
func limited(dir string) error {
	s, err := runIn(dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := s.Apply(ctx, &AccountAdd{Name: "ada"}); err != nil {
		return err
	}
	kept := 0
	put := func() error {
		rs, err := s.Apply(ctx, &MessagePut{Account: "ada", Stanza: make([]byte, 64<<10)})
		if err == nil {
			kept++
			err = rs[0].Err
		}
		return err
	}
	for round := range 3 {
		if err := limit(uint64(20+10*round) << 20); err != nil {
			return err
		}
		for err = put(); err == nil; err = put() {
		}
		if problem.CodeOf(err) != problem.StoreFull {
			return fmt.Errorf("with no room Apply = %w", err)
		}
		// It stays so, at once and for long, and can be read.
		for until := time.Now().Add(700 * time.Millisecond); time.Now().Before(until); {
			begin := time.Now()
			if err := put(); problem.CodeOf(err) != problem.StoreFull && err != nil {
				return fmt.Errorf("still with no room Apply = %w", err)
			}
			if took := time.Since(begin); took > 10*time.Second {
				return fmt.Errorf("refusal took %v", took)
			}
			if n, err := s.Pending("ada"); n != kept || err != nil {
				return fmt.Errorf("with no room Pending = %d, %w; want %d", n, err, kept)
			}
		}
		if err := limit(1 << 40); err != nil {
			return err
		}
		deadline := time.Now().Add(30 * time.Second)
		for err = put(); err != nil; err = put() {
			if problem.CodeOf(err) != problem.StoreFull || time.Now().After(deadline) {
				return fmt.Errorf("with room again Apply = %w", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	if n, err := s.Pending("ada"); n != kept || err != nil {
		return fmt.Errorf("at the end Pending = %d, %w; want %d", n, err, kept)
	}
	fmt.Println(kept)
	return nil
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	cmd := child(t, "limited", "PARLEY_STORE_DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	s, _ := start(t, Config{Dir: dir})
	if n, err := s.Pending("ada"); fmt.Sprintln(n) != string(out) || err != nil {
		t.Errorf("after a restart Pending = %d, %v; want %s", n, err, out)
	}
}

func TestReserveRefusesGrowth(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, Config{Dir: dir, NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	item := apply(t, s, &MessagePut{Account: "ada"}).Item
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: dir, NoSync: true, Reserve: 1 << 60})
	if _, err := s.Apply(context.Background(), &MessagePut{Account: "ada"}); problem.CodeOf(err) != problem.StoreFull {
		t.Errorf("message on the reserve = %v; want %s", err, problem.StoreFull)
	}
	apply(t, s, &Delivered{Account: "ada", Items: []link.Item{item}})
	if n, err := s.Pending("ada"); n != 0 || err != nil {
		t.Errorf("Pending = %d, %v; want 0", n, err)
	}
}

func TestOneProcessOnly(t *testing.T) {
	dir := t.TempDir()
	start(t, Config{Dir: dir, NoSync: true})
	s := New(Config{Dir: dir}, Deps{Log: slog.New(slog.DiscardHandler)})
	if err := s.Open(); problem.CodeOf(err) != problem.StoreLocked {
		t.Errorf("second Open = %v; want %s", err, problem.StoreLocked)
	}
	if err := Reset(dir); problem.CodeOf(err) != problem.StoreLocked {
		t.Errorf("Reset of a running store = %v; want %s", err, problem.StoreLocked)
	}
}

func TestReset(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, Config{Dir: dir, NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	id := s.State().ID
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := Reset(dir); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: dir, NoSync: true})
	if s.Account("ada") || s.State().ID == id {
		t.Errorf("after Reset: Account(ada) = %v, identity changed %v; want false, true", s.Account("ada"), s.State().ID != id)
	}
}

// small segments, so that a test can have many.
var small = journalOptions{segment: 16 << 10, noSync: true}

func TestDamagedFiles(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(dir string) error
	}{
		{"store cut short", func(dir string) error { return os.Truncate(filepath.Join(dir, fileStore), 20000) }},
		{"identity cut short", func(dir string) error { return os.Truncate(filepath.Join(dir, fileStable), 6000) }},
		{"log cut short", func(dir string) error { return os.Truncate(segmentFile(dir, -1), 10000) }},
		{"log with a hole", func(dir string) error { return os.Remove(segmentFile(dir, 1)) }},
		{"log missing", func(dir string) error { return os.RemoveAll(filepath.Join(dir, folderLog)) }},
		{"old page of the log overwritten", func(dir string) error { return overwrite(segmentFile(dir, 0), 4096) }},
		{"page of the log overwritten", func(dir string) error { return overwrite(segmentFile(dir, -1), 600) }},
		{"store of nonsense", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, fileStore), make([]byte, 65536), 0o600)
		}},
		{"identity of text", func(dir string) error {
			return os.WriteFile(filepath.Join(dir, fileStable), []byte(strings.Repeat("text ", 9999)), 0o600)
		}},
		{"identity missing", func(dir string) error { return os.Remove(filepath.Join(dir, fileStable)) }},
		{"store missing and the log truncated", func(dir string) error { return os.Remove(filepath.Join(dir, fileStore)) }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			s, stop := start(t, Config{Dir: dir, NoSync: true, journal: small})
			apply(t, s, &AccountAdd{Name: "ada"})
			for range 300 {
				apply(t, s, &MessagePut{Account: "ada", Stanza: make([]byte, 1000)})
			}
			if err := s.raft.Snapshot().Error(); err != nil {
				t.Fatal(err)
			}
			if err := stop(); err != nil {
				t.Fatal(err)
			}
			if err := tt.damage(dir); err != nil {
				t.Fatal(err)
			}
			s = New(Config{Dir: dir, journal: small}, Deps{Log: slog.New(slog.DiscardHandler)})
			err := s.Open()
			if problem.CodeOf(err) != problem.StoreDamaged {
				t.Errorf("Open = %v; want %s", err, problem.StoreDamaged)
			}
			t.Log(problem.Text(err))
		})
	}
}

// segmentFile is the path of a store's nth segment, from the end where n < 0.
func segmentFile(dir string, n int) string {
	all, _ := filepath.Glob(filepath.Join(dir, folderLog, segmentPrefix+"*"))
	if n < 0 {
		n += len(all)
	}
	return all[n]
}

// overwrite puts nonsense on a file's page.
func overwrite(path string, off int64) error {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt([]byte(strings.Repeat("nonsense", 64)), off)
	return errors.Join(err, f.Close())
}

// Entries that are in the log and not in the store are applied at the start,
// those in both are not applied twice.
func TestStoreLagsLog(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, Config{Dir: dir, NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	first := apply(t, s, &MessagePut{Account: "ada", Stanza: []byte("1")}).Item
	if err := s.m.flush(); err != nil {
		t.Fatal(err)
	}
	old, err := os.ReadFile(filepath.Join(dir, fileStore))
	if err != nil {
		t.Fatal(err)
	}
	apply(t, s, &MessagePut{Account: "ada", Stanza: []byte("2")})
	apply(t, s, &Delivered{Account: "ada", Items: []link.Item{first}})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, fileStore), old, 0o600); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: dir, NoSync: true})
	ms, err := s.Inbox("ada", 0, 10)
	if err != nil || len(ms) != 1 || string(ms[0].Stanza) != "2" || ms[0].Item != first+1 {
		t.Errorf("Inbox = %+v, %v; want one message, 2, of number %d", ms, err, first+1)
	}
}

// The log is truncated, and a node whose store ends where no entry is the
// machine's own starts nevertheless.
func TestTruncation(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, Config{Dir: dir, NoSync: true, journal: small})
	apply(t, s, &AccountAdd{Name: "ada"})
	for range 1500 {
		if err := s.raft.Barrier(0).Error(); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	first, err := s.rlog.FirstIndex()
	if err != nil || first < 50 {
		t.Errorf("after a snapshot the log begins at %d, %v; want 50 at least", first, err)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: dir, NoSync: true, journal: small})
	if !s.Account("ada") {
		t.Error("account is lost")
	}
}

func TestBytesTruncateLog(t *testing.T) {
	s, _ := start(t, Config{Dir: t.TempDir(), NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	// Enough for two snapshots: the first may be taken while all entries are
	// among those that Raft keeps behind it.
	for range 600 {
		apply(t, s, &MessagePut{Account: "ada", Stanza: make([]byte, 128<<10)})
	}
	waitFor(t, "truncation", func() bool {
		first, err := s.rlog.FirstIndex()
		return err == nil && first > 1
	})
}

func waitFor(t *testing.T, what string, f func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !f(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("no ", what)
		}
	}
}

// A second node with an empty disk gets the store streamed, as the log no
// longer has all of it.
func TestSnapshotReachesEmptyNode(t *testing.T) {
	addr := func(name string) (raft.ServerAddress, *raft.InmemTransport) {
		return raft.NewInmemTransport(raft.ServerAddress(name))
	}
	addrA, transA := addr("a")
	addrB, transB := addr("b")
	transA.Connect(addrB, transB)
	transB.Connect(addrA, transA)
	run := func(dir string, trans raft.Transport, bootstrap bool) *Store {
		s := New(Config{Dir: dir, NoSync: true, journal: small}, Deps{Log: slog.New(slog.DiscardHandler), Transport: trans})
		if !bootstrap {
			if _, err := CreateMember(dir); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Open(); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan error, 1)
		go func() { done <- s.Run(ctx) }()
		var once sync.Once
		t.Cleanup(func() {
			once.Do(func() {
				cancel()
				if err := <-done; err != nil {
					t.Error("Run:", err)
				}
			})
		})
		return s
	}
	a := run(t.TempDir(), transA, true)
	if err := a.WaitReady(context.Background()); err != nil {
		t.Fatal(err)
	}
	apply(t, a, &AccountAdd{Name: "ada", Verifiers: []byte("v")})
	for i := range 600 {
		apply(t, a, &MessagePut{Account: "ada", Stanza: fmt.Appendf(nil, "%d", i)})
	}
	if err := a.raft.Snapshot().Error(); err != nil {
		t.Fatal(err)
	}
	b := run(t.TempDir(), transB, false)
	waitFor(t, "raft of the second node", func() bool {
		b.mu.Lock()
		defer b.mu.Unlock()
		return b.raft != nil
	})
	if err := a.raft.AddVoter(b.id, addrB, 0, 10*time.Second).Error(); err != nil {
		t.Fatal(err)
	}
	apply(t, a, &MessagePut{Account: "ada", Stanza: []byte("last")})
	waitFor(t, "messages on the second node", func() bool {
		n, err := b.Pending("ada")
		return err == nil && n == 601
	})
	if v, ok, err := b.Verifiers("ada"); string(v) != "v" || !ok || err != nil || !b.Account("ada") {
		t.Errorf("Verifiers(ada) on the second node = %q, %v, %v; want v", v, ok, err)
	}
}

func TestSnapshotIsTheFile(t *testing.T) {
	s, _ := start(t, Config{Dir: t.TempDir(), NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	snaps := &snapshots{m: s.m, dir: s.cfg.Dir, keepFrom: s.rlog.keepFrom}
	meta, r, err := snaps.Open(snapOwn)
	if err != nil {
		t.Fatal(err)
	}
	// The store goes on while it is read.
	apply(t, s, &AccountAdd{Name: "bob"})
	n, err := io.Copy(io.Discard, r)
	if err != nil || n != meta.Size {
		t.Errorf("snapshot has %d bytes, %v; want %d", n, err, meta.Size)
	}
	if err := r.Close(); err != nil {
		t.Error(err)
	}
}

func TestClosed(t *testing.T) {
	s, stop := start(t, Config{Dir: t.TempDir(), NoSync: true})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(context.Background(), &AccountAdd{Name: "ada"}); !errors.Is(err, ErrClosed) {
		t.Errorf("Apply = %v; want %v", err, ErrClosed)
	}
	if _, err := s.Accounts(); !errors.Is(err, ErrClosed) {
		t.Errorf("Accounts = %v; want %v", err, ErrClosed)
	}
}
