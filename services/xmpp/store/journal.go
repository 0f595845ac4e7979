package store

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/raft"
)

// journal is Raft's log: segments of a fixed size that are written once from
// front to back, whose blocks the file has already, so that an append is one
// write and one fdatasync that changes no file system structure.
//
//   - An append that returned is on the disk, and one that storeSoon has begun
//     when onDisk says so; the next begins when it is. So all but the last
//     write is whole, and a record that is not was damaged: openJournal refuses
//     it.
//   - Nothing is written over: to drop entries from the end is a record, from
//     the front it is to remove segments, of which some are used again.
//   - After an error for lack of room nothing is stored, and it may be tried
//     again; after any other, nothing is any more.
type journal struct {
	dir string
	opt journalOptions

	// w is held by whoever writes; it guards all up to mu.
	w       sync.Mutex
	end     int64
	attempt uint32
	buf     []byte
	broken  error
	// cutting, where not 0, is the last entry that stays when the next are
	// stored.
	cutting uint64
	spares  []string
	spareNo int
	closed  bool
	// under is the last write that storeSoon has begun; whoever changes it
	// holds w.
	under atomic.Pointer[underway]
	// making counts the goroutine that makes a spare segment.
	making sync.WaitGroup

	// mu guards the rest; whoever changes it holds w too.
	mu   sync.RWMutex
	segs []*segment
	// locs are where the entries from first on are.
	first uint64
	locs  []location
	// recent are the last entries, which replication reads.
	recent      []*raft.Log
	recentBytes int
	// holds are the first entries that somebody still needs.
	holds map[*hold]struct{}

	// syncs counts fdatasync calls.
	syncs atomic.Int64
}

// journalOptions are sizes in bytes.
type journalOptions struct {
	segment int64
	// keep is how much is kept although Raft could do without, so that a
	// node that was away for a moment need not get the whole store.
	keep   int64
	noSync bool
	// syncing, where not nil, is called before a sync, whose error it may be:
	// a test's slow or broken disk.
	syncing func(f *os.File) error
}

type segment struct {
	seq  uint64
	size int64
	f    *os.File
}

// underway is a write whose sync nobody waits for, of entries from first on.
type underway struct {
	first uint64
	done  chan struct{}
	// err is set before done is closed.
	err error
}

// location of an entry: the segment's number, offset and length.
type location struct {
	seq      uint32
	off, len uint32
}

// hold keeps entries from index on from being dropped, for good or, where
// that is not zero, until a time.
type hold struct {
	index uint64
	until time.Time
}

// Names in the journal's folder.
const (
	segmentPrefix = "log-"
	sparePrefix   = "spare-"
)

const (
	maxRecent  = 4 << 20
	maxSpares  = 2
	minSegment = 4096
)

func (j *journal) segmentPath(seq uint64) string {
	return filepath.Join(j.dir, fmt.Sprintf("%s%016x", segmentPrefix, seq))
}

// createJournal makes an empty journal in a new folder.
func createJournal(dir string, opt journalOptions) error {
	if err := os.RemoveAll(dir); err != nil {
		return fmt.Errorf("remove %s: %w", dir, err)
	}
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("make folder %s: %w", dir, err)
	}
	j := &journal{dir: dir, opt: opt}
	s, err := j.newSegment(segmentHeader{seq: 1, size: uint64(opt.segment)})
	if err != nil {
		return err
	}
	return s.f.Close()
}

// openJournal reads a journal. Errors that are errJournal mean damage.
func openJournal(dir string, opt journalOptions) (*journal, error) {
	// What a torn write left must not look like a part of the next.
	j := &journal{dir: dir, opt: opt, holds: map[*hold]struct{}{}, attempt: rand.Uint32()}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errJournal, err)
	}
	if err := j.loadAll(files); err != nil {
		j.closeFiles()
		return nil, err
	}
	j.needSpare()
	return j, nil
}

func (j *journal) loadAll(files []os.DirEntry) error {
	var seqs []uint64
	for _, f := range files {
		name := f.Name()
		if strings.HasPrefix(name, sparePrefix) {
			j.spares = append(j.spares, filepath.Join(j.dir, name))
			n, _ := strconv.Atoi(name[len(sparePrefix):])
			j.spareNo = max(j.spareNo, n)
		} else if strings.HasPrefix(name, segmentPrefix) {
			seq, err := strconv.ParseUint(name[len(segmentPrefix):], 16, 64)
			if err != nil || seq > math.MaxUint32 {
				return fmt.Errorf("%w: %s", errJournal, name)
			}
			seqs = append(seqs, seq)
		}
	}
	if len(seqs) == 0 {
		return fmt.Errorf("%w: no segment", errJournal)
	}
	slices.Sort(seqs)
	for i, seq := range seqs {
		if i > 0 && seq != seqs[i-1]+1 {
			return fmt.Errorf("%w: segment %d is missing", errJournal, seqs[i-1]+1)
		}
		if err := j.load(seq, i > 0); err != nil {
			return fmt.Errorf("%s: %w", filepath.Base(j.segmentPath(seq)), err)
		}
	}
	return nil
}

// load reads a segment; after: it follows another, which ends at j.end.
func (j *journal) load(seq uint64, after bool) error {
	f, err := os.OpenFile(j.segmentPath(seq), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	s := &segment{seq: seq, f: f}
	j.segs = append(j.segs, s)
	b, err := os.ReadFile(f.Name())
	if err != nil {
		return err
	}
	h, ok := decodeSegmentHeader(b)
	if !ok || h.seq != seq {
		return fmt.Errorf("%w: header", errJournal)
	}
	if h.size != uint64(len(b)) {
		return fmt.Errorf("%w: it has %d bytes and should have %d", errJournal, len(b), h.size)
	}
	if after && h.before != uint64(j.end) {
		return fmt.Errorf("%w: the segment before ends at %d, not %d", errJournal, j.end, h.before)
	}
	s.size = int64(h.size)
	end, err := scanSegment(b, seq, func(r record, off, size int) error {
		if r.kind == recordCut {
			j.cut(r.index)
			return nil
		}
		if len(j.locs) > 0 && r.index != j.first+uint64(len(j.locs)) {
			return fmt.Errorf("%w: entry %d follows %d", errJournal, r.index, j.first+uint64(len(j.locs))-1)
		}
		j.push(r.index, location{uint32(seq), uint32(off), uint32(recordHead + len(r.payload))})
		return nil
	})
	j.end = int64(end)
	return err
}

// push adds an entry's location. Caller has checked that it is the next.
func (j *journal) push(index uint64, loc location) {
	if len(j.locs) == 0 {
		j.first = index
	}
	j.locs = append(j.locs, loc)
}

// cut forgets the entries above last.
func (j *journal) cut(last uint64) {
	if last < j.first || len(j.locs) == 0 {
		j.locs, j.recent, j.recentBytes = nil, nil, 0
		return
	}
	drop := int(min(j.first+uint64(len(j.locs))-1-last, uint64(len(j.locs))))
	j.locs = j.locs[:len(j.locs)-drop]
	for range min(drop, len(j.recent)) {
		l := j.recent[len(j.recent)-1]
		j.recentBytes -= recordSize(l)
		j.recent = j.recent[:len(j.recent)-1]
	}
}

// FirstIndex implements raft.LogStore.
func (j *journal) FirstIndex() (uint64, error) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	if len(j.locs) == 0 {
		return 0, nil
	}
	return j.first, nil
}

// LastIndex implements raft.LogStore.
func (j *journal) LastIndex() (uint64, error) {
	j.mu.RLock()
	defer j.mu.RUnlock()
	return j.lastLocked(), nil
}

func (j *journal) lastLocked() uint64 {
	if len(j.locs) == 0 {
		return 0
	}
	return j.first + uint64(len(j.locs)) - 1
}

// IsMonotonic implements raft.MonotonicLogStore: there can be no gaps.
func (j *journal) IsMonotonic() bool { return true }

// GetLog implements raft.LogStore.
func (j *journal) GetLog(index uint64, l *raft.Log) error {
	j.mu.RLock()
	defer j.mu.RUnlock()
	last := j.lastLocked()
	if last == 0 || index < j.first || index > last {
		return raft.ErrLogNotFound
	}
	if back := last - index; back < uint64(len(j.recent)) {
		*l = *j.recent[uint64(len(j.recent))-1-back]
		return nil
	}
	loc := j.locs[index-j.first]
	b := make([]byte, loc.len)
	if _, err := j.segs[uint64(loc.seq)-j.segs[0].seq].f.ReadAt(b, int64(loc.off)); err != nil {
		return fmt.Errorf("read entry %d: %w", index, err)
	}
	r, _, ok := readRecord(b, uint64(loc.seq))
	if !ok || r.index != index {
		return fmt.Errorf("%w: entry %d", errJournal, index)
	}
	r.entry(l)
	return nil
}

// keepFrom keeps the entries from index on until some time after the function
// that it returns is called.
func (j *journal) keepFrom(index uint64) (release func(after time.Duration)) {
	h := &hold{index: max(index, 1)}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.holds[h] = struct{}{}
	return func(after time.Duration) {
		j.mu.Lock()
		defer j.mu.Unlock()
		h.until = time.Now().Add(after)
	}
}

// keepNothing gives up what keepFrom keeps, as where there is no room for it.
func (j *journal) keepNothing() {
	j.mu.Lock()
	defer j.mu.Unlock()
	clear(j.holds)
}

// Close waits for what is under way and closes the files.
func (j *journal) Close() error {
	j.w.Lock()
	j.settle()
	j.closed = true
	if j.broken == nil {
		j.broken = ErrClosed
	}
	j.w.Unlock()
	j.making.Wait()
	return j.closeFiles()
}

func (j *journal) closeFiles() error {
	j.mu.Lock()
	defer j.mu.Unlock()
	var err error
	for _, s := range j.segs {
		err = errors.Join(err, s.f.Close())
	}
	j.locs, j.recent = nil, nil
	return err
}
