package store

import (
	"errors"
	"fmt"
	"io/fs"
	"math"
	"os"
	"slices"
	"sort"
	"time"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"parley/services/durable"
)

// StoreLogs implements raft.LogStore. The entries must follow the last one;
// they are kept for a while, and must not be changed.
func (j *journal) StoreLogs(logs []*raft.Log) error { return j.store(logs, false) }

// storeSoon is StoreLogs that does not wait for the disk: onDisk does. What
// cannot be synced breaks the journal.
func (j *journal) storeSoon(logs []*raft.Log) error { return j.store(logs, true) }

// onDisk returns when the entry at index, which was stored, is on the disk.
func (j *journal) onDisk(index uint64) error {
	u := j.under.Load()
	if u == nil || index < u.first {
		return nil
	}
	<-u.done
	return u.err
}

// settle waits for a write that is under way. Caller holds w.
func (j *journal) settle() error {
	if u := j.under.Load(); u != nil {
		<-u.done
		if u.err != nil && j.broken == nil {
			j.broken = fmt.Errorf("write log: %w", u.err)
		}
	}
	return j.broken
}

func (j *journal) store(logs []*raft.Log, soon bool) error {
	if len(logs) == 0 {
		return nil
	}
	j.w.Lock()
	defer j.w.Unlock()
	if err := j.settle(); err != nil {
		return err
	}
	need, next := 0, logs[0].Index
	if len(j.locs) > 0 {
		next = j.first + uint64(len(j.locs))
	}
	cut := j.cutting
	j.cutting = 0
	if cut != 0 {
		need, next = recordHead+recordAlign, cut+1
	}
	for i, l := range logs {
		if l.Index != next+uint64(i) {
			return fmt.Errorf("store entry %d: next is %d", l.Index, next+uint64(i))
		}
		if len(l.Data) > maxRecord/2 || len(l.Extensions) > math.MaxUint16 {
			return fmt.Errorf("store entry %d: %w", l.Index, ErrTooLarge)
		}
		need += recordSize(l)
	}
	if err := j.room(need); err != nil {
		return err
	}
	cur := j.segs[len(j.segs)-1]
	j.attempt++
	j.buf = j.buf[:0]
	if cut != 0 {
		j.buf = appendRecord(j.buf, cur.seq, record{kind: recordCut, batch: uint32(j.end), attempt: j.attempt, index: cut}, nil)
	}
	locs := make([]location, len(logs))
	for i, l := range logs {
		locs[i] = location{uint32(cur.seq), uint32(int(j.end) + len(j.buf)), uint32(recordHead + len(l.Data) + len(l.Extensions))}
		j.buf = appendRecord(j.buf, cur.seq, record{
			kind: recordEntry, typ: l.Type, batch: uint32(j.end), attempt: j.attempt, index: l.Index, term: l.Term, payload: l.Data,
		}, l.Extensions)
	}
	if soon {
		if err := j.writeSoon(logs[0].Index); err != nil {
			return err
		}
	} else if err := j.write(); err != nil {
		return err
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	if cut != 0 {
		j.cut(cut)
	}
	for i, l := range logs {
		j.push(l.Index, locs[i])
		j.remember(l)
	}
	return nil
}

// StoreLog implements raft.LogStore.
func (j *journal) StoreLog(l *raft.Log) error { return j.StoreLogs([]*raft.Log{l}) }

func (j *journal) remember(l *raft.Log) {
	c := *l
	j.recent = append(j.recent, &c)
	j.recentBytes += recordSize(l)
	if j.recentBytes <= maxRecent || len(j.recent) < 2 {
		return
	}
	n := 0
	for j.recentBytes > maxRecent/2 && n < len(j.recent)-1 {
		j.recentBytes -= recordSize(j.recent[n])
		n++
	}
	j.recent = slices.Clone(j.recent[n:])
}

// write appends buf, whole records, and syncs. Caller holds w.
func (j *journal) write() error {
	cur := j.segs[len(j.segs)-1]
	_, err := cur.f.WriteAt(j.buf, j.end)
	if err == nil {
		err = j.sync(cur.f)
	}
	if err == nil {
		j.written()
		return nil
	}
	return j.unwrite(cur, err)
}

// writeSoon is write, and has the sync, of entries from first on, under way.
func (j *journal) writeSoon(first uint64) error {
	cur := j.segs[len(j.segs)-1]
	if _, err := cur.f.WriteAt(j.buf, j.end); err != nil {
		return j.unwrite(cur, err)
	}
	j.written()
	u := &underway{first: first, done: make(chan struct{})}
	j.under.Store(u)
	// Whoever closes the file waits for it: settle.
	go func() {
		u.err = j.sync(cur.f)
		close(u.done)
	}()
	return nil
}

func (j *journal) written() {
	j.end += int64(len(j.buf))
	if cap(j.buf) > 4<<20 {
		j.buf = nil
	}
}

// unwrite undoes a write that has failed, where that was for lack of room.
func (j *journal) unwrite(cur *segment, err error) error {
	if isFull(err) {
		// What was refused must not be read after a crash.
		_, undo := cur.f.WriteAt(make([]byte, recordHead), j.end)
		if undo == nil {
			undo = j.sync(cur.f)
		}
		if undo == nil {
			return err
		}
		err = undo
	}
	j.broken = fmt.Errorf("write log: %w", err)
	return j.broken
}

func (j *journal) sync(f *os.File) error {
	if j.opt.syncing != nil {
		if err := j.opt.syncing(f); err != nil {
			return err
		}
	}
	if j.opt.noSync {
		return nil
	}
	j.syncs.Add(1)
	for {
		if err := unix.Fdatasync(int(f.Fd())); !errors.Is(err, unix.EINTR) {
			return err
		}
	}
}

// room begins the next segment where need bytes do not fit. Caller holds w.
func (j *journal) room(need int) error {
	cur := j.segs[len(j.segs)-1]
	if j.end+int64(need) <= cur.size {
		return nil
	}
	if int64(need) > math.MaxInt32 || cur.seq >= math.MaxUint32 {
		return fmt.Errorf("%w: %d bytes", ErrTooLarge, need)
	}
	s, err := j.newSegment(segmentHeader{
		seq: cur.seq + 1, size: uint64(max(j.opt.segment, int64(padded(segmentHead+need)))), before: uint64(j.end),
	})
	if err != nil {
		return err
	}
	j.mu.Lock()
	j.segs = append(j.segs, s)
	j.mu.Unlock()
	j.end = segmentHead
	j.needSpare()
	return nil
}

// DeleteRange implements raft.LogStore, for a range at the front or at the
// end. At the front it is a permission: whole segments go, and those that a
// follower may need stay. At the end it takes effect with the next StoreLogs,
// or not at all: where Raft cannot store what is to replace the entries, it
// goes on as if they were there.
func (j *journal) DeleteRange(from, to uint64) error {
	j.w.Lock()
	defer j.w.Unlock()
	if err := j.settle(); err != nil {
		return err
	}
	last := j.lastLocked()
	if last == 0 || to < j.first || from > last {
		return nil
	}
	if to < last {
		if from > j.first {
			return fmt.Errorf("delete entries %d to %d of %d to %d: in the middle", from, to, j.first, last)
		}
		return j.dropFront(to)
	}
	if from > j.first {
		j.cutting = from - 1
		return nil
	}
	if err := j.room(recordHead + recordAlign); err != nil {
		return err
	}
	j.attempt++
	j.buf = appendRecord(j.buf[:0], j.segs[len(j.segs)-1].seq, record{kind: recordCut, batch: uint32(j.end), attempt: j.attempt}, nil)
	if err := j.write(); err != nil {
		return err
	}
	j.mu.Lock()
	j.cut(0)
	j.mu.Unlock()
	return j.removeSegments(len(j.segs) - 1)
}

// dropFront removes segments that hold nothing above to. Caller holds w.
func (j *journal) dropFront(to uint64) error {
	var size int64
	for _, s := range j.segs[:len(j.segs)-1] {
		size += s.size
	}
	size += j.end
	j.mu.Lock()
	for h := range j.holds {
		if !h.until.IsZero() && time.Now().After(h.until) {
			delete(j.holds, h)
			continue
		}
		to = min(to, h.index-1)
	}
	j.mu.Unlock()
	n := 0
	for ; n < len(j.segs)-1; n++ {
		s := j.segs[n]
		beyond := sort.Search(len(j.locs), func(i int) bool { return uint64(j.locs[i].seq) > s.seq })
		if size-s.size < j.opt.keep || j.first+uint64(beyond)-1 > to {
			break
		}
		size -= s.size
	}
	return j.removeSegments(n)
}

// removeSegments removes the first n, oldest first, and with them their
// entries. Caller holds w.
func (j *journal) removeSegments(n int) error {
	if n == 0 {
		return nil
	}
	j.mu.Lock()
	gone := j.segs[:n:n]
	j.segs = slices.Clone(j.segs[n:])
	beyond := sort.Search(len(j.locs), func(i int) bool { return uint64(j.locs[i].seq) >= j.segs[0].seq })
	j.locs = slices.Clone(j.locs[beyond:])
	j.first += uint64(beyond)
	j.recent = slices.Clone(j.recent[max(0, len(j.recent)-len(j.locs)):])
	j.recentBytes = 0
	for _, l := range j.recent {
		j.recentBytes += recordSize(l)
	}
	j.mu.Unlock()
	for _, s := range gone {
		s.f.Close()
		path := j.segmentPath(s.seq)
		if s.size == j.opt.segment && len(j.spares) < maxSpares {
			if spare := j.sparePath(); os.Rename(path, spare) == nil {
				j.spares = append(j.spares, spare)
				continue
			}
		}
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			j.broken = fmt.Errorf("remove segment: %w", err)
			return j.broken
		}
	}
	if err := j.syncDir(); err != nil {
		j.broken = err
	}
	return j.broken
}

func (j *journal) syncDir() error {
	if j.opt.noSync {
		return nil
	}
	return durable.SyncDir(j.dir)
}
