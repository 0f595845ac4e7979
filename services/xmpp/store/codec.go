package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"time"

	"parley/services/xmpp/link"
)

// Errors of decoding. A node that meets one in the log must not go on: it is
// older than the log, or the log is damaged.
var (
	ErrEntryVersion = errors.New("log entry of an unknown version")
	ErrEntry        = errors.New("log entry not readable")
	ErrRecord       = errors.New("record not readable")
)

// entryVersion is the first byte of a log entry; ops follow, each a code and
// its fields, without lengths, up to the end.
const entryVersion = 1

// EncodeOps writes ops as they are in a log entry, to be sent to the leader.
func EncodeOps(ops []Op) []byte { return encodeEntry(ops) }

// DecodeOps reads what EncodeOps has written; byte fields of the ops alias b.
func DecodeOps(b []byte) ([]Op, error) { return decodeEntry(b) }

func encodeEntry(ops []Op) []byte {
	e := encoder{b: make([]byte, 0, 256*len(ops)+16)}
	e.b = append(e.b, entryVersion)
	for _, op := range ops {
		e.b = append(e.b, byte(op.code()))
		op.encode(&e)
	}
	return e.b
}

// decodeEntry reads an entry; byte fields of the ops alias b.
func decodeEntry(b []byte) ([]Op, error) {
	if len(b) == 0 {
		return nil, ErrEntry
	}
	if b[0] != entryVersion {
		return nil, fmt.Errorf("%w: %d", ErrEntryVersion, b[0])
	}
	d := decoder{b: b[1:]}
	var ops []Op
	for len(d.b) > 0 && !d.bad {
		op := newOp(opCode(d.b[0]))
		if op == nil {
			return nil, fmt.Errorf("%w: change %d", ErrEntryVersion, d.b[0])
		}
		d.b = d.b[1:]
		op.decode(&d)
		ops = append(ops, op)
	}
	if d.bad {
		return nil, ErrEntry
	}
	return ops, nil
}

type encoder struct{ b []byte }

func (e *encoder) uint(n uint64) { e.b = binary.AppendUvarint(e.b, n) }

func (e *encoder) str(s string) {
	e.uint(uint64(len(s)))
	e.b = append(e.b, s...)
}

func (e *encoder) bytes(p []byte) {
	e.uint(uint64(len(p)))
	e.b = append(e.b, p...)
}

// time keeps milliseconds, which is what a delay stamp shows (XEP-0082), of
// times since 1970.
func (e *encoder) time(t time.Time) { e.uint(uint64(max(0, t.UnixMilli()))) }

// decoder reads fields; after the first that is not there it is bad, and
// returns zeroes.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) uint() uint64 {
	n, size := binary.Uvarint(d.b)
	if size <= 0 || d.bad {
		d.bad = true
		return 0
	}
	d.b = d.b[size:]
	return n
}

func (d *decoder) bytes() []byte {
	n := d.uint()
	if n > uint64(len(d.b)) || d.bad {
		d.bad = true
		return nil
	}
	p := d.b[:n:n]
	d.b = d.b[n:]
	return p
}

func (d *decoder) session() (id link.SessionID) {
	if len(d.b) < len(id) || d.bad {
		d.bad = true
		return id
	}
	d.b = d.b[copy(id[:], d.b):]
	return id
}

func (d *decoder) str() string { return string(d.bytes()) }

// count reads the length of a list whose elements take a byte at least, so
// that a short input cannot ask for much memory.
func (d *decoder) count() int {
	n := d.uint()
	if n > uint64(len(d.b)) {
		d.bad = true
		return 0
	}
	return int(n)
}

func (d *decoder) time() time.Time {
	n := d.uint()
	if n > math.MaxInt64/2 {
		d.bad = true
		return time.Time{}
	}
	return time.UnixMilli(int64(n)).UTC()
}

func (d *decoder) strs() []string {
	n := d.count()
	if n == 0 {
		return nil
	}
	ss := make([]string, 0, n)
	for range n {
		ss = append(ss, d.str())
	}
	return ss
}

func (e *encoder) strs(ss []string) {
	e.uint(uint64(len(ss)))
	for _, s := range ss {
		e.str(s)
	}
}
