package store

//lint:file-ignore SA1019 the deprecated field is free for the identity, as Raft does not read it any more

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/hashicorp/raft"
)

// slowDisk holds the syncs below a folder back, or fails them.
type slowDisk struct {
	mu   sync.Mutex
	dir  string
	open chan struct{}
	err  error
}

// shut holds back what is synced below dir until release is called.
func (d *slowDisk) shut(dir string) (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dir, d.open = dir, make(chan struct{})
	return sync.OnceFunc(func() { close(d.open) })
}

func (d *slowDisk) fail(dir string, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dir, d.err = dir, err
}

func (d *slowDisk) syncing(f *os.File) error {
	d.mu.Lock()
	open, err, below := d.open, d.err, d.dir != "" && filepath.Dir(f.Name()) == d.dir
	d.mu.Unlock()
	if !below {
		return nil
	}
	if open != nil {
		<-open
	}
	return err
}

func entries(first uint64, n int) (es []*raft.Log) {
	for i := range uint64(n) {
		es = append(es, &raft.Log{Index: first + i, Term: 1, Data: []byte("x")})
	}
	return es
}

// returns says whether f returns within a moment; what it sends is left in done.
func returns(f func() error) (done chan error, at bool) {
	done = make(chan error, 1)
	go func() { done <- f() }()
	select {
	case err := <-done:
		done <- err
		return done, true
	case <-time.After(50 * time.Millisecond):
		return done, false
	}
}

func TestStoreSoon(t *testing.T) {
	var disk slowDisk
	j := newTestJournal(t, journalOptions{segment: 16 << 10, noSync: true, syncing: disk.syncing})
	if err := j.StoreLogs(entries(1, 3)); err != nil {
		t.Fatal(err)
	}
	release := disk.shut(j.dir)
	defer release()
	if err := j.storeSoon(entries(4, 2)); err != nil {
		t.Fatal("storeSoon:", err)
	}
	var l raft.Log
	if err := j.GetLog(5, &l); err != nil {
		t.Error("GetLog of an entry that is under way:", err)
	}
	if err := j.onDisk(3); err != nil {
		t.Error("onDisk of an entry of before:", err)
	}
	waiting, early := returns(func() error { return j.onDisk(4) })
	if early {
		t.Error("onDisk returned before the sync")
	}
	storing, early := returns(func() error { return j.StoreLogs(entries(6, 1)) })
	if early {
		t.Error("the next write began before the sync of the one before")
	}
	release()
	for what, done := range map[string]chan error{"onDisk": waiting, "StoreLogs": storing} {
		if err := <-done; err != nil {
			t.Errorf("%s after the sync: %v", what, err)
		}
	}
	// A disk that fails, after Raft was told that the entries are stored.
	broken := errors.New("input/output error")
	disk.fail(j.dir, broken)
	if err := j.storeSoon(entries(7, 1)); err != nil {
		t.Fatal("storeSoon:", err)
	}
	if err := j.onDisk(7); !errors.Is(err, broken) {
		t.Errorf("onDisk = %v; want %v", err, broken)
	}
	disk.fail(j.dir, nil)
	if err := j.StoreLogs(entries(8, 1)); !errors.Is(err, broken) {
		t.Errorf("StoreLogs after a sync that failed = %v; want %v", err, broken)
	}
}

// What a leader has sent out and all others have is committed when its own
// disk has it too.
func TestCommittedOnLeadersDisk(t *testing.T) {
	var disk slowDisk
	cfg := steady
	cfg.journal = journalOptions{segment: 1 << 20, keep: 4 << 20, noSync: true, syncing: disk.syncing}
	g := newGroup(t, tcp{}, 3, cfg)
	l := g.leader()
	apply(t, l.Store, &AccountAdd{Name: "ada"})
	before := l.raft.CommitIndex()
	release := disk.shut(filepath.Join(l.cfg.Dir, folderLog))
	defer release()
	done, _ := returns(func() error {
		_, err := l.Apply(t.Context(), &AccountAdd{Name: "bob"})
		return err
	})
	for _, f := range g.without(l) {
		waitFor(t, "entry at a follower", func() bool { last, _ := f.rlog.LastIndex(); return last > before })
	}
	// Several answers later.
	time.Sleep(200 * time.Millisecond)
	if now := l.raft.CommitIndex(); now != before {
		t.Errorf("commit index %d before the leader's sync; want %d", now, before)
	}
	for _, f := range g.without(l) {
		if f.Account("bob") {
			t.Errorf("%s has applied what is not on the leader's disk", f.addr)
		}
	}
	select {
	case err := <-done:
		t.Errorf("Apply = %v before the leader's sync", err)
		done <- err
	default:
	}
	release()
	if err := <-done; err != nil {
		t.Error("Apply after the sync:", err)
	}
}

// One that is the only voter has no others to wait for.
func TestSingleVoterSyncs(t *testing.T) {
	var disk slowDisk
	g := newGroup(t, tcp{}, 1, Config{NoSync: true, journal: journalOptions{segment: 1 << 20, keep: 4 << 20, noSync: true, syncing: disk.syncing}})
	release := disk.shut(filepath.Join(g.nodes[0].cfg.Dir, folderLog))
	defer release()
	done, early := returns(func() error {
		_, err := g.nodes[0].Apply(t.Context(), &AccountAdd{Name: "bob"})
		return err
	})
	if early {
		t.Error("Apply returned before the sync")
	}
	release()
	if err := <-done; err != nil {
		t.Error("Apply after the sync:", err)
	}
}

// A node confirms no entries that a leader sends while its own disk has not got
// them, as those that it has sent out itself when it led.
func TestConfirmsWhatIsOnDisk(t *testing.T) {
	_, below := raft.NewInmemTransport("a")
	_, other := raft.NewInmemTransport("b")
	other.Connect("a", below)
	broken := errors.New("input/output error")
	var asked []uint64
	w := newWire(below, "a", func() (int, bool) { return 3, true }, func() (uint64, uint64) { return 7, 1 }, func(index uint64) error {
		asked = append(asked, index)
		return broken
	})
	defer w.end()
	send := func(es ...*raft.Log) error {
		return other.AppendEntries("a", "a", &raft.AppendEntriesRequest{Leader: []byte("a"), Term: 2, Entries: es}, &raft.AppendEntriesResponse{})
	}
	if err := send(entries(6, 2)...); err == nil || err.Error() != broken.Error() {
		t.Errorf("AppendEntries = %v; want %v", err, broken)
	}
	if len(asked) != 1 || asked[0] != 7 {
		t.Errorf("asked for %v; want 7", asked)
	}
}
