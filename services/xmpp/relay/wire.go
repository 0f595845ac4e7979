package relay

import (
	"bufio"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
)

// A frame is four bytes of length, big-endian, a byte of kind, and the fields
// that the kind has. Numbers are varints, byte strings have their length in
// front. Both sides have authenticated; the bounds are against faults.
const (
	frameHead = 4
	maxFrame  = 64 << 20
	// growth is how much memory a length that was only announced gets at a
	// time.
	growth = 256 << 10
)

var errFrame = errors.New("frame is not well-formed")

// appendFrame encodes m.
func appendFrame(b []byte, m *message) []byte {
	start := len(b)
	b = append(b, 0, 0, 0, 0, byte(m.kind))
	for _, f := range fields[m.kind&^mirrored] {
		switch f {
		case 'r':
			b = appendRef(b, m.ref)
		case 'n':
			b = binary.AppendUvarint(b, m.n)
		case 'm':
			b = binary.AppendUvarint(b, m.m)
		case 'i':
			b = binary.AppendUvarint(b, uint64(m.item))
		case 'c':
			b = appendCause(b, m.cause)
		case 'b':
			b = appendBytes(b, m.bytes)
		case 't':
			b = appendBytes(b, m.text)
		case 'j':
			b = appendBytes(b, m.jid.String())
		case 's':
			b = appendSession(b, m.session)
		case 'e':
			b = appendEnable(b, m.enable)
		case 'w':
			b = append(b, byte(m.what))
		case 'f':
			b = append(b, byte(m.fault))
		}
	}
	binary.BigEndian.PutUint32(b[start:], uint32(len(b)-start-frameHead))
	return b
}

func appendBytes[T string | []byte](b []byte, s T) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendRef(b []byte, ref link.Ref) []byte {
	b = append(b, ref.ID[:]...)
	return binary.AppendUvarint(b, uint64(ref.Epoch))
}

// appendCause writes the number first: without one there is no more.
func appendCause(b []byte, c link.Cause) []byte {
	b = binary.AppendUvarint(b, c.Seq)
	if c.Seq == 0 {
		return b
	}
	b = append(b, c.ID[:]...)
	return binary.BigEndian.AppendUint32(b, c.Sum)
}

func appendEnable(b []byte, e link.Enable) []byte {
	b = binary.AppendUvarint(b, e.In)
	b = binary.AppendUvarint(b, e.Out)
	return binary.AppendUvarint(b, uint64(max(e.Keep, 0)))
}

const (
	flagSession = 1 << iota
	flagEnabled
	flagDetached
	flagMemo
)

func appendSession(b []byte, s *link.Session) []byte {
	if s == nil {
		return append(b, 0)
	}
	flags := byte(flagSession)
	if s.Enabled {
		flags |= flagEnabled
	}
	if s.Detached {
		flags |= flagDetached
	}
	if s.Memo != nil {
		flags |= flagMemo
	}
	b = append(b, flags)
	b = appendRef(b, s.Ref)
	b = append(b, byte(s.Kind))
	b = appendBytes(b, s.JID.String())
	b = appendEnable(b, s.Enable)
	b = binary.AppendUvarint(b, s.Confirmed)
	b = binary.AppendUvarint(b, s.Last)
	if s.Memo != nil {
		b = appendBytes(b, s.Memo)
	}
	b = binary.AppendUvarint(b, uint64(len(s.Queue)))
	for i := range s.Queue {
		d := &s.Queue[i]
		b = binary.AppendUvarint(b, d.N)
		b = binary.AppendUvarint(b, uint64(d.Item))
		b = appendCause(b, d.Cause)
		b = appendBytes(b, d.Bytes)
	}
	return b
}

// decodeFrame reads what appendFrame wrote after the length. The message
// keeps nothing of b.
func decodeFrame(b []byte) (message, error) {
	if len(b) == 0 {
		return message{}, errFrame
	}
	m := message{kind: kind(b[0])}
	k := m.kind &^ mirrored
	if k == 0 || int(k) >= len(fields) {
		return m, fmt.Errorf("kind %d: %w", m.kind, errFrame)
	}
	d := decoder{b: b[1:]}
	for _, f := range fields[k] {
		switch f {
		case 'r':
			m.ref = d.ref()
		case 'n':
			m.n = d.uvarint()
		case 'm':
			m.m = d.uvarint()
		case 'i':
			m.item = link.Item(d.uvarint())
		case 'c':
			m.cause = d.cause()
		case 'b':
			m.bytes = d.copied()
		case 't':
			m.text = string(d.bytes())
		case 'j':
			m.jid = d.jid()
		case 's':
			m.session = d.session()
		case 'e':
			m.enable = d.enable()
		case 'w':
			m.what = link.Kind(d.oneOf(byte(link.Component)))
		case 'f':
			m.fault = fault(d.oneOf(byte(faultOther)))
		}
	}
	if d.bad || len(d.b) > 0 {
		return message{}, fmt.Errorf("kind %d: %w", m.kind, errFrame)
	}
	return m, nil
}

// decoder takes fields from b; at the first fault it sets bad, and all that
// follows is zero.
type decoder struct {
	b   []byte
	bad bool
}

func (d *decoder) fail() {
	d.bad = true
	d.b = nil
}

func (d *decoder) take(n uint64) []byte {
	if uint64(len(d.b)) < n {
		d.fail()
		return nil
	}
	b := d.b[:n:n]
	d.b = d.b[n:]
	return b
}

func (d *decoder) oneOf(most byte) byte {
	b := d.take(1)
	if d.bad {
		return 0
	}
	if b[0] > most {
		d.fail()
		return 0
	}
	return b[0]
}

func (d *decoder) uvarint() uint64 {
	v, n := binary.Uvarint(d.b)
	if n <= 0 {
		d.fail()
		return 0
	}
	d.b = d.b[n:]
	return v
}

func (d *decoder) bytes() []byte { return d.take(d.uvarint()) }

// copied is bytes of their own memory: deliveries live as long as their
// sessions wait, frames do not. Empty is nil.
func (d *decoder) copied() []byte { return append([]byte(nil), d.bytes()...) }

func (d *decoder) ref() (ref link.Ref) {
	copy(ref.ID[:], d.take(uint64(len(ref.ID))))
	epoch := d.uvarint()
	if epoch > 1<<32-1 {
		d.fail()
		return link.Ref{}
	}
	ref.Epoch = uint32(epoch)
	return ref
}

func (d *decoder) cause() (c link.Cause) {
	if c.Seq = d.uvarint(); c.Seq == 0 {
		return link.Cause{}
	}
	copy(c.ID[:], d.take(uint64(len(c.ID))))
	if b := d.take(4); !d.bad {
		c.Sum = binary.BigEndian.Uint32(b)
	}
	return c
}

// jid of any sender was prepared there; it is prepared again, as no JID is
// made otherwise.
func (d *decoder) jid() jid.JID {
	b := d.bytes()
	if len(b) == 0 {
		return jid.JID{}
	}
	j, err := jid.Parse(string(b))
	if err != nil {
		d.fail()
	}
	return j
}

func (d *decoder) enable() link.Enable {
	e := link.Enable{In: d.uvarint(), Out: d.uvarint()}
	keep := d.uvarint()
	if keep > uint64(1<<63-1) {
		d.fail()
		return link.Enable{}
	}
	e.Keep = time.Duration(keep)
	return e
}

func (d *decoder) session() *link.Session {
	flags := d.oneOf(flagSession | flagEnabled | flagDetached | flagMemo)
	if flags&flagSession == 0 {
		if flags != 0 {
			d.fail()
		}
		return nil
	}
	s := &link.Session{
		Ref: d.ref(), Kind: link.Kind(d.oneOf(byte(link.Component))), JID: d.jid(),
		Enabled: flags&flagEnabled != 0, Enable: d.enable(), Confirmed: d.uvarint(), Last: d.uvarint(),
		Detached: flags&flagDetached != 0,
	}
	if flags&flagMemo != 0 {
		s.Memo = append([]byte{}, d.bytes()...)
	}
	n := d.uvarint()
	// A delivery takes four bytes at least.
	if n > uint64(len(d.b)/4) {
		d.fail()
	}
	if d.bad {
		return nil
	}
	if n > 0 {
		s.Queue = make([]link.Delivery, n)
	}
	for i := range s.Queue {
		s.Queue[i] = link.Delivery{N: d.uvarint(), Item: link.Item(d.uvarint()), Cause: d.cause(), Bytes: d.copied()}
	}
	if d.bad {
		return nil
	}
	return s
}

// reader reads frames. It is for one goroutine.
type reader struct {
	r   *bufio.Reader
	buf []byte
}

func newReader(r io.Reader) *reader { return &reader{r: bufio.NewReaderSize(r, 64<<10)} }

func (r *reader) next() (message, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r.r, head[:]); err != nil {
		return message{}, err
	}
	n := int(binary.BigEndian.Uint32(head[:]))
	if n == 0 || n > maxFrame {
		return message{}, fmt.Errorf("%d bytes: %w", n, errFrame)
	}
	if cap(r.buf) > growth && n <= growth {
		r.buf = nil
	}
	r.buf = r.buf[:0]
	for len(r.buf) < n {
		had, part := len(r.buf), min(n-len(r.buf), growth)
		if cap(r.buf) < had+part {
			r.buf = append(make([]byte, 0, max(2*cap(r.buf), had+part, 4096)), r.buf...)
		}
		r.buf = r.buf[:had+part]
		if _, err := io.ReadFull(r.r, r.buf[had:]); err != nil {
			if errors.Is(err, io.EOF) {
				err = io.ErrUnexpectedEOF
			}
			return message{}, err
		}
	}
	return decodeFrame(r.buf)
}

// more says that another frame is there already.
func (r *reader) more() bool {
	head, err := r.r.Peek(min(frameHead, r.r.Buffered()))
	return err == nil && len(head) == frameHead &&
		r.r.Buffered() >= frameHead+int(binary.BigEndian.Uint32(head))
}
