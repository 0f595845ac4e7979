package store

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/hashicorp/raft"

	"parley/services/xmpp/link"
)

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
	node := func(trans raft.Transport) (*Store, string) {
		dir := t.TempDir()
		return New(Config{Dir: dir, NoSync: true, Timing: steady.Timing, journal: small}, Deps{Log: slog.New(slog.DiscardHandler), Transport: trans}), dir
	}
	a, _ := node(transA)
	run(t, a)
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
	b, dir := node(transB)
	if _, err := CreateMember(dir); err != nil {
		t.Fatal(err)
	}
	run(t, b)
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
