package stream

import (
	"io"
	"sync"
)

// bufferSize is what a stanza gets at first; nearly all fit.
const bufferSize = 4 << 10

var buffers = sync.Pool{New: func() any { return new([bufferSize]byte) }}

// more reads once. Between stanzas it holds no buffer while it waits: it reads
// a single byte, and the rest, which TLS has by then decrypted, the next time.
func (s *Scanner) more() error {
	if s.start == s.end && s.tree == nil {
		s.freeBuffer()
		n, err := s.read(s.one[:])
		if n == 0 {
			return err
		}
		s.buf = buffers.Get().(*[bufferSize]byte)[:]
		s.buf[0], s.start, s.end = s.one[0], 0, 1
		return nil
	}
	if s.end == len(s.buf) {
		to := s.buf
		if s.start < len(s.buf)/2 {
			to = make([]byte, 2*len(s.buf))
		}
		n := copy(to, s.buf[s.start:s.end])
		if len(to) != len(s.buf) {
			s.freeBuffer()
			s.buf = to
		}
		s.start, s.end = 0, n
	}
	n, err := s.read(s.buf[s.end:])
	s.end += n
	if n > 0 {
		return nil
	}
	return err
}

// read is one Read that brings bytes or an error.
func (s *Scanner) read(p []byte) (int, error) {
	for range 100 {
		n, err := s.r.Read(p)
		if n > 0 {
			return n, nil
		}
		if err == io.EOF {
			return 0, io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
	}
	return 0, io.ErrNoProgress
}

func (s *Scanner) freeBuffer() {
	if len(s.buf) == bufferSize {
		buffers.Put((*[bufferSize]byte)(s.buf))
	}
	s.buf, s.start, s.end = nil, 0, 0
	s.advance(0)
}
