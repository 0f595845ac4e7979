package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"

	"github.com/hashicorp/raft"
)

// A segment of the journal is a header and records, each padded to recordAlign
// bytes; behind the last is what the file held before. All numbers are
// little-endian:
//
//	checksum  4  CRC-32C of the segment's number (8 bytes) and all that follows
//	length    4  of the payload
//	kind      1  entry or cut
//	type      1  of the entry, as Raft numbers them
//	ext       2  length of the entry's extensions, at the end of the payload
//	batch     4  where the first record of the same write begins
//	attempt   4  the same in all records of a write, and different in the next
//	index     8  of the entry; of a cut, the last entry that stays
//	term      8
//	payload
//
// The segment's number in the checksum makes records void that the file held
// when it was another segment; batch and attempt those of a write that failed.
const (
	recordHead  = 36
	recordAlign = 8
	segmentHead = 40
	// maxRecord bounds a payload; maxEntry and Raft's own are far below.
	maxRecord = 1 << 30
)

type recordKind uint8

const (
	recordEntry recordKind = 1
	// recordCut drops all entries above index; 0 drops all, and what
	// follows may have any index.
	recordCut recordKind = 2
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// record is one as it is in a segment; payload aliases it.
type record struct {
	kind           recordKind
	typ            raft.LogType
	ext            int
	batch, attempt uint32
	index, term    uint64
	payload        []byte
}

func padded(n int) int { return (n + recordAlign - 1) &^ (recordAlign - 1) }

func recordSize(l *raft.Log) int { return padded(recordHead + len(l.Data) + len(l.Extensions)) }

func checksum(seq uint64, b []byte) uint32 {
	var s [8]byte
	binary.LittleEndian.PutUint64(s[:], seq)
	return crc32.Update(crc32.Checksum(s[:], castagnoli), castagnoli, b)
}

// appendRecord writes r, whose payload comes in two parts.
func appendRecord(b []byte, seq uint64, r record, ext []byte) []byte {
	at := len(b)
	le := binary.LittleEndian
	b = le.AppendUint32(b, 0)
	b = le.AppendUint32(b, uint32(len(r.payload)+len(ext)))
	b = append(b, byte(r.kind), byte(r.typ))
	b = le.AppendUint16(b, uint16(len(ext)))
	b = le.AppendUint32(b, r.batch)
	b = le.AppendUint32(b, r.attempt)
	b = le.AppendUint64(b, r.index)
	b = le.AppendUint64(b, r.term)
	b = append(append(b, r.payload...), ext...)
	le.PutUint32(b[at:], checksum(seq, b[at+4:]))
	for (len(b)-at)%recordAlign != 0 {
		b = append(b, 0)
	}
	return b
}

// readRecord reads the record at the start of b; false where there is none.
func readRecord(b []byte, seq uint64) (r record, size int, ok bool) {
	if len(b) < recordHead {
		return r, 0, false
	}
	le := binary.LittleEndian
	n := int64(le.Uint32(b[4:]))
	r.kind, r.typ, r.ext = recordKind(b[8]), raft.LogType(b[9]), int(le.Uint16(b[10:]))
	if r.kind != recordEntry && r.kind != recordCut || n > maxRecord || recordHead+n > int64(len(b)) || int64(r.ext) > n {
		return r, 0, false
	}
	end := recordHead + int(n)
	if checksum(seq, b[4:end]) != le.Uint32(b) {
		return r, 0, false
	}
	r.batch, r.attempt = le.Uint32(b[12:]), le.Uint32(b[16:])
	r.index, r.term = le.Uint64(b[20:]), le.Uint64(b[28:])
	r.payload = b[recordHead:end]
	return r, padded(end), true
}

// entry makes Raft's entry of a record, with memory of its own.
func (r record) entry(l *raft.Log) {
	p := append([]byte(nil), r.payload...)
	n := len(p) - r.ext
	*l = raft.Log{Index: r.index, Term: r.term, Type: r.typ, Data: p[:n:n]}
	if r.ext > 0 {
		l.Extensions = p[n:]
	}
}

// errJournal is a journal that a crash alone cannot have left so.
var errJournal = errors.New("log damaged")

// scanSegment calls f for each record of a segment, in their order, and
// returns where they end. What a torn write has left at the end is no error;
// a record that cannot be read, with a later write behind it, is: a write
// begins when the one before is on the disk.
func scanSegment(b []byte, seq uint64, f func(r record, off, size int) error) (end int, err error) {
	at := segmentHead
	var batch, attempt uint32
	for at < len(b) {
		r, size, ok := readRecord(b[at:], seq)
		if !ok || r.batch != uint32(at) && (r.batch != batch || r.attempt != attempt) {
			break
		}
		batch, attempt = r.batch, r.attempt
		if err := f(r, at, size); err != nil {
			return at, err
		}
		at += size
	}
	for off := at + recordAlign; off+recordHead <= len(b); off += recordAlign {
		if k := recordKind(b[off+8]); k != recordEntry && k != recordCut {
			continue
		}
		if start := binary.LittleEndian.Uint32(b[off+12:]); int64(start) <= int64(at) || int64(start) > int64(off) {
			continue
		}
		if _, _, ok := readRecord(b[off:], seq); ok {
			return at, fmt.Errorf("%w: no record at %d, and a later one at %d", errJournal, at, off)
		}
	}
	return at, nil
}

// segmentHeader is the start of a segment.
type segmentHeader struct {
	seq, size uint64
	// before is where the records of the segment before end; 0: there was none.
	before uint64
}

var segmentMagic = [8]byte{'p', 'a', 'r', 'l', 'e', 'y', 'l', '1'}

func (h segmentHeader) encode() []byte {
	b := append(make([]byte, 0, segmentHead), segmentMagic[:]...)
	for _, n := range []uint64{h.seq, h.size, h.before} {
		b = binary.LittleEndian.AppendUint64(b, n)
	}
	b = binary.LittleEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	return append(b, make([]byte, segmentHead-len(b))...)
}

func decodeSegmentHeader(b []byte) (h segmentHeader, ok bool) {
	if len(b) < segmentHead || [8]byte(b) != segmentMagic {
		return h, false
	}
	le := binary.LittleEndian
	h = segmentHeader{le.Uint64(b[8:]), le.Uint64(b[16:]), le.Uint64(b[24:])}
	return h, crc32.Checksum(b[:32], castagnoli) == le.Uint32(b[32:])
}
