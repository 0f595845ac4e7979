package store

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/hashicorp/raft"
)

func openTestJournal(t testing.TB, dir string, opt journalOptions) *journal {
	t.Helper()
	j, err := openJournal(dir, opt)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func newTestJournal(t testing.TB, opt journalOptions) *journal {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "log")
	if err := createJournal(dir, opt); err != nil {
		t.Fatal(err)
	}
	return openTestJournal(t, dir, opt)
}

// fill appends entries first to last, the data of each its index and term.
func fill(t testing.TB, j *journal, first, last, term uint64, size int) {
	t.Helper()
	for i := first; i <= last; {
		var logs []*raft.Log
		for n := uint64(0); n < 1+i%3 && i <= last; n++ {
			logs = append(logs, testEntry(i, term, size))
			i++
		}
		if err := j.StoreLogs(logs); err != nil {
			t.Fatal(err)
		}
	}
}

func testEntry(i, term uint64, size int) *raft.Log {
	l := &raft.Log{Index: i, Term: term, Type: raft.LogCommand, Data: bytes.Repeat(fmt.Appendf(nil, "%d/%d ", i, term), 1+size/8)}
	if i%5 == 0 {
		l.Extensions = []byte("ext")
	}
	return l
}

// checkJournal checks the range, and all entries in it, against term.
func checkJournal(t testing.TB, j *journal, first, last uint64, size int, term func(uint64) uint64) {
	t.Helper()
	f, _ := j.FirstIndex()
	l, _ := j.LastIndex()
	if f != first || l != last {
		t.Fatalf("the log is %d to %d; want %d to %d", f, l, first, last)
	}
	for i := first; i <= last && i > 0; i++ {
		var got raft.Log
		if err := j.GetLog(i, &got); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(testEntry(i, term(i), size), &got); diff != "" {
			t.Fatalf("entry %d:\n%s", i, diff)
		}
	}
	for _, i := range []uint64{0, first - 1, last + 1} {
		if i < first || i > last {
			if err := j.GetLog(i, new(raft.Log)); !errors.Is(err, raft.ErrLogNotFound) {
				t.Errorf("GetLog(%d) = %v; want %v", i, err, raft.ErrLogNotFound)
			}
		}
	}
}

func TestJournal(t *testing.T) {
	opt := journalOptions{segment: 4096, noSync: true}
	j := newTestJournal(t, opt)
	reopen := func() {
		t.Helper()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j = openTestJournal(t, j.dir, opt)
	}
	one := func(uint64) uint64 { return 1 }
	checkJournal(t, j, 0, 0, 60, one)
	fill(t, j, 1, 500, 1, 60)
	checkJournal(t, j, 1, 500, 60, one)
	reopen()
	checkJournal(t, j, 1, 500, 60, one)
	// A later leader's entries take the place of the end, over segments.
	if err := j.DeleteRange(200, 500); err != nil {
		t.Fatal(err)
	}
	checkJournal(t, j, 1, 500, 60, one)
	fill(t, j, 200, 300, 2, 60)
	terms := func(i uint64) uint64 { return 1 + i/200 }
	checkJournal(t, j, 1, 300, 60, terms)
	reopen()
	checkJournal(t, j, 1, 300, 60, terms)
	// The front goes by segments.
	if err := j.DeleteRange(1, 150); err != nil {
		t.Fatal(err)
	}
	first, _ := j.FirstIndex()
	if first < 50 || first > 151 {
		t.Errorf("the log begins at %d; want 50 to 151", first)
	}
	checkJournal(t, j, first, 300, 60, terms)
	reopen()
	checkJournal(t, j, first, 300, 60, terms)
	if err := j.DeleteRange(first+1, 299); err == nil {
		t.Error("a range in the middle was deleted")
	}
	if err := j.StoreLog(testEntry(302, 2, 60)); err == nil {
		t.Error("an entry was stored that does not follow")
	}
	// All of it, as when a snapshot came; what follows begins anywhere.
	if err := j.DeleteRange(first, 300); err != nil {
		t.Fatal(err)
	}
	checkJournal(t, j, 0, 0, 60, terms)
	reopen()
	checkJournal(t, j, 0, 0, 60, terms)
	fill(t, j, 1000, 1100, 3, 60)
	reopen()
	checkJournal(t, j, 1000, 1100, 60, func(uint64) uint64 { return 3 })
	// An entry larger than a segment.
	if err := j.StoreLog(testEntry(1101, 3, 20000)); err != nil {
		t.Fatal(err)
	}
	reopen()
	var l raft.Log
	if err := j.GetLog(1101, &l); err != nil || len(l.Data) < 15000 {
		t.Errorf("GetLog of a large entry = %d bytes, %v", len(l.Data), err)
	}
}

func TestJournalKeeps(t *testing.T) {
	j := newTestJournal(t, journalOptions{segment: 4096, keep: 64 << 10, noSync: true})
	fill(t, j, 1, 2000, 1, 60)
	if err := j.DeleteRange(1, 1900); err != nil {
		t.Fatal(err)
	}
	kept, _ := j.FirstIndex()
	if kept < 500 || kept > 1800 {
		t.Errorf("with 64 KiB to keep the log begins at %d", kept)
	}
	release := j.keepFrom(kept + 100)
	fill(t, j, 2001, 4000, 1, 60)
	drop := func() uint64 {
		first, _ := j.FirstIndex()
		if err := j.DeleteRange(first, 3900); err != nil {
			t.Fatal(err)
		}
		first, _ = j.FirstIndex()
		return first
	}
	if first := drop(); first > kept+100 {
		t.Errorf("the log begins at %d; %d was to be kept", first, kept+100)
	}
	release(0)
	if first := drop(); first < 2000 {
		t.Errorf("after the release the log begins at %d", first)
	}
}

// A segment that is cut off or torn at any place of its last write has all
// that was written before; one that is damaged before it is refused.
func TestJournalTorn(t *testing.T) {
	opt := journalOptions{segment: 4096, noSync: true}
	j := newTestJournal(t, opt)
	for i := uint64(1); i <= 20; i++ {
		if err := j.StoreLog(testEntry(i, 1, 60)); err != nil {
			t.Fatal(err)
		}
	}
	before := j.end
	if err := j.StoreLogs([]*raft.Log{testEntry(21, 1, 60), testEntry(22, 1, 60), testEntry(23, 1, 60)}); err != nil {
		t.Fatal(err)
	}
	end := j.end
	path := j.segmentPath(1)
	j.Close()
	whole, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	open := func(b []byte) (last uint64, err error) {
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		j, err := openJournal(j.dir, opt)
		if err != nil {
			return 0, err
		}
		defer j.Close()
		last, _ = j.LastIndex()
		// It goes on from there, and what was torn does not come back.
		if err := j.StoreLog(testEntry(last+1, 2, 60)); err != nil {
			t.Fatal(err)
		}
		j.Close()
		again, err := openJournal(j.dir, opt)
		if err != nil {
			t.Fatal(err)
		}
		defer again.Close()
		if l, _ := again.LastIndex(); l != last+1 {
			t.Errorf("one entry after %d the log ends at %d", last, l)
		}
		return last, nil
	}
	for off := before; off < end; off++ {
		b := bytes.Clone(whole)
		clear(b[off:])
		if last, err := open(b); last < 20 || last > 23 || err != nil {
			t.Fatalf("cut off at %d the log ends at %d, %v", off, last, err)
		}
		b = bytes.Clone(whole)
		b[off] ^= 0x40
		if last, err := open(b); last < 20 || last > 23 || err != nil {
			t.Fatalf("torn at %d the log ends at %d, %v", off, last, err)
		}
	}
	for off := int64(segmentHead); off < before; off++ {
		b := bytes.Clone(whole)
		b[off] ^= 0x40
		last, err := open(b)
		// Padding matters to nobody.
		if !errors.Is(err, errJournal) && (err != nil || last != 23) {
			t.Fatalf("damaged at %d the log ends at %d, %v; want %v", off, last, err, errJournal)
		}
	}
}

// What a segment held in a former life is not read again.
func TestJournalUsesSegmentsAgain(t *testing.T) {
	opt := journalOptions{segment: 4096, noSync: true}
	j := newTestJournal(t, opt)
	rnd := rand.New(rand.NewPCG(1, 2))
	next, size := uint64(1), 40
	for range 200 {
		n := uint64(1 + rnd.IntN(60))
		fill(t, j, next, next+n, 1, size)
		next += n + 1
		if first, _ := j.FirstIndex(); next > 100 {
			if err := j.DeleteRange(first, next-50); err != nil {
				t.Fatal(err)
			}
		}
		first, _ := j.FirstIndex()
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		j = openTestJournal(t, j.dir, opt)
		checkJournal(t, j, first, next-1, size, func(uint64) uint64 { return 1 })
	}
	if files, _ := os.ReadDir(j.dir); len(files) > 8 {
		t.Errorf("%d files for at most 100 entries", len(files))
	}
}

func FuzzScanSegment(f *testing.F) {
	var b []byte
	b = append(b, segmentHeader{seq: 3, size: 4096}.encode()...)
	for i := range uint64(4) {
		at := uint32(len(b))
		b = appendRecord(b, 3, record{kind: recordEntry, batch: at, attempt: uint32(i), index: i, term: 1, payload: []byte("data")}, []byte("ext"))
		b = appendRecord(b, 3, record{kind: recordCut, batch: at, attempt: uint32(i), index: i}, nil)
	}
	f.Add(b)
	f.Add(append(b, make([]byte, 100)...))
	f.Add(b[:len(b)-9])
	f.Fuzz(func(t *testing.T, b []byte) {
		decodeSegmentHeader(b)
		at := segmentHead
		end, err := scanSegment(b, 3, func(r record, off, size int) error {
			if off != at || size < recordHead || off+size > len(b)+recordAlign || r.ext > len(r.payload) {
				t.Errorf("record of %d bytes at %d of %d, after %d", size, off, len(b), at)
			}
			at += size
			var l raft.Log
			r.entry(&l)
			return nil
		})
		if end < segmentHead || err != nil && !errors.Is(err, errJournal) {
			t.Errorf("scanSegment = %d, %v", end, err)
		}
	})
}

func BenchmarkJournal(b *testing.B) {
	j := newTestJournal(b, journalOptions{segment: 8 << 20, keep: 32 << 20})
	data := make([]byte, 300)
	for i := range b.N {
		if err := j.StoreLog(&raft.Log{Index: uint64(i + 1), Term: 1, Data: data}); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(j.syncs.Load())/float64(b.N), "syncs/op")
}
