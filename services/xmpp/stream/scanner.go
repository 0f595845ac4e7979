package stream

import (
	"bytes"
	"io"

	"parley/services/xmpp/stanza"
)

// Limits bound what a peer can make us hold; zero is no limit. Going over one
// is a policy-violation.
type Limits struct {
	// Stanza is the most bytes of a stanza or stream header. They are
	// counted before any tree is built.
	Stanza int
	// Depth of elements in a stanza, itself included.
	Depth int
	// Attrs of one element, namespace declarations included.
	Attrs int
	// Name is the most bytes of a name, with its prefix.
	Name int
}

// Scanner reads one direction of an XML stream. It holds no buffer while it
// waits between stanzas. It is for one goroutine; an error of the reader, such
// as a deadline, leaves it as it was, and the call may be repeated.
type Scanner struct {
	r      io.Reader
	limits *Limits
	// content is the content namespace that the header must declare;
	// elements of stanza.NSComponent become those of NSClient.
	content string

	// buf[start:end] is unread, from the first byte of the current stanza
	// on. All offsets below count from start, so they outlive a move.
	buf        []byte
	start, end int
	// pos is where the current token begins; scanned is how far its end has
	// been looked for, which keeps a trickle of bytes from costing squares;
	// quote is the quote that is open there.
	pos, scanned int
	quote        byte

	// tree is the stanza that is being read, nil between stanzas.
	tree *tree
	// ns is what the header declared.
	ns []binding
	// declared says that the place of the XML declaration has been passed.
	declared bool
	// restarted says that this is not the first stream.
	restarted bool
	// one takes the first byte after a silence, in place of a buffer.
	one [1]byte
}

// NewScanner reads a stream of the content namespace, stanza.NSClient or
// NSComponent, from r.
func NewScanner(r io.Reader, content string, limits *Limits) *Scanner {
	return &Scanner{r: r, content: content, limits: limits}
}

// SetLimits replaces the limits, from the next token on.
func (s *Scanner) SetLimits(l *Limits) { s.limits = l }

// Restart expects a new stream on the same bytes (RFC 6120 §4.3.3). White
// space before it still belongs to the old one.
func (s *Scanner) Restart() { s.declared, s.restarted, s.ns = false, true, nil }

// Buffered is the number of bytes that have been read but not yet scanned,
// white space between stanzas left out.
func (s *Scanner) Buffered() int {
	if s.tree == nil {
		s.skipSpace()
	}
	return s.end - s.start
}

// Release gives the buffers back; the scanner must not be used afterwards.
func (s *Scanner) Release() {
	s.freeTree()
	s.freeBuffer()
}

// Header reads the stream header. Its errors are those of Next.
func (s *Scanner) Header() (Header, error) {
	for {
		e, err := s.header()
		if err != nil {
			s.Release()
			return Header{}, err
		}
		if e != nil {
			h := headerOf(e)
			h.Content = s.content
			return h, nil
		}
		if err := s.more(); err != nil {
			return Header{}, err
		}
	}
}

// Next reads the next stanza, which may be of any namespace. It returns io.EOF
// when the stream was closed, io.ErrUnexpectedEOF when the connection was, an
// *Error when the peer has broken a rule, and the reader's error otherwise. The
// strings of a stanza share one allocation.
func (s *Scanner) Next() (*stanza.Element, error) {
	for {
		e, err := s.scan()
		if err != nil {
			s.Release()
			return nil, err
		}
		if e != nil {
			return e, nil
		}
		if err := s.more(); err != nil {
			return nil, err
		}
	}
}

// header returns nil, nil when it needs more bytes.
func (s *Scanner) header() (*stanza.Element, error) {
	if !s.declared {
		if s.restarted {
			s.skipSpace()
		}
		ok, err := s.declaration()
		if !ok || err != nil {
			return nil, err
		}
		s.declared = true
	}
	s.skipSpace()
	b := s.buf[s.start:s.end]
	if len(b) == 0 {
		return nil, nil
	}
	if b[0] != '<' {
		return nil, &Error{Condition: BadFormat, Text: "a stream header was expected"}
	}
	if len(b) > 1 && (b[1] == '!' || b[1] == '?') {
		return nil, restricted()
	}
	end, err := s.tagEnd(b)
	if end < 0 || err != nil {
		return nil, err
	}
	t := s.takeTree()
	closed, err := t.startTag(b, 0, end, s.limits)
	if err != nil {
		return nil, err
	}
	if err := s.checkHeader(b, t); err != nil {
		return nil, err
	}
	if closed {
		return nil, &Error{Condition: BadFormat, Text: "the stream header closes itself"}
	}
	t.open = t.open[:0]
	e := t.build(b[:end+1])
	s.ns = t.headerNS(b)
	s.freeTree()
	s.consume(end + 1)
	return e, nil
}

// checkHeader applies RFC 6120 §4.8.
func (s *Scanner) checkHeader(b []byte, t *tree) error {
	e := &t.events[0]
	switch {
	case !e.space.is(b, stanza.NSStreams):
		return &Error{Condition: InvalidNamespace, Text: "the stream's namespace must be " + stanza.NSStreams}
	case !bytes.Equal(b[e.local.off:e.local.end], []byte("stream")):
		return &Error{Condition: BadFormat, Text: "a stream header was expected"}
	case !bytes.HasPrefix(b[e.name:], []byte("stream:")):
		return &Error{Condition: BadNamespacePrefix, Text: "the prefix of the stream's namespace must be stream"}
	}
	if uri, ok := t.resolve(b, nil); !ok || !uri.is(b, s.content) {
		return &Error{Condition: InvalidNamespace, Text: "the content namespace must be " + s.content}
	}
	return nil
}

// scan takes tokens until a stanza is whole. It returns nil, nil when it needs
// more bytes.
func (s *Scanner) scan() (*stanza.Element, error) {
	if s.tree == nil {
		s.skipSpace()
		b := s.buf[s.start:s.end]
		if len(b) == 0 {
			return nil, nil
		}
		if b[0] != '<' {
			return nil, &Error{Condition: BadFormat, Text: "text between stanzas"}
		}
		if len(b) == 1 {
			return nil, nil
		}
		switch b[1] {
		case '/':
			return nil, s.streamEnd(b)
		case '!', '?':
			return nil, restricted()
		}
		t := s.takeTree()
		t.ns = append(t.ns, s.ns...)
	}
	b := s.buf[s.start:s.end]
	for {
		whole, more, err := s.token(b)
		if err != nil || more {
			return nil, err
		}
		if s.limits.Stanza > 0 && s.pos > s.limits.Stanza {
			return nil, tooLong()
		}
		if whole {
			e := s.tree.build(b[:s.pos])
			s.freeTree()
			s.consume(s.pos)
			return e, nil
		}
	}
}

// token takes one token of the stanza in b, and says whether that was the
// stanza's last, or whether it needs more bytes.
func (s *Scanner) token(b []byte) (whole, more bool, err error) {
	t, i := s.tree, s.pos
	if len(b)-i < 2 {
		return false, true, nil
	}
	end := -1
	switch {
	case b[i] != '<':
		if end, err = s.find(b, "<"); end < 0 || err != nil {
			return false, true, err
		}
		err = t.text(b, i, end)
		s.advance(end)
		return false, false, err
	case b[i+1] == '/':
		if end, err = s.find(b, ">"); end < 0 || err != nil {
			return false, true, err
		}
		whole, err = t.endTag(b, i, end)
	case b[i+1] == '?':
		return false, false, restricted()
	case b[i+1] == '!':
		const cdata = "<![CDATA["
		if n := min(len(b)-i, len(cdata)); string(b[i:i+n]) != cdata[:n] {
			return false, false, restricted()
		} else if n < len(cdata) {
			return false, true, nil
		}
		if s.scanned < i+len(cdata) {
			s.scanned = i + len(cdata)
		}
		if end, err = s.find(b, "]]>"); end < 0 || err != nil {
			return false, true, err
		}
		err = t.cdata(b[i+len(cdata) : end])
		end += 2
	default:
		if end, err = s.tagEnd(b); end < 0 || err != nil {
			return false, true, err
		}
		var closed bool
		if closed, err = t.startTag(b, i, end, s.limits); closed && err == nil {
			whole = t.close()
		}
	}
	s.advance(end + 1)
	return whole, false, err
}

// streamEnd returns io.EOF for the whole end tag of the stream, nil for a part
// of it.
func (s *Scanner) streamEnd(b []byte) error {
	end, err := s.find(b, ">")
	if end < 0 || err != nil {
		return err
	}
	if string(bytes.TrimRight(b[2:end], " \t\r\n")) != "stream:stream" {
		return notWellFormed("an end tag without its start tag")
	}
	s.consume(end + 1)
	return io.EOF
}

// find returns the offset of what ends the current token, -1 where that has
// not come yet.
func (s *Scanner) find(b []byte, what string) (int, error) {
	from := max(s.scanned, s.pos)
	var i int
	if len(what) == 1 {
		i = bytes.IndexByte(b[from:], what[0])
	} else {
		i = bytes.Index(b[from:], []byte(what))
	}
	if i >= 0 {
		return from + i, nil
	}
	s.scanned = max(from, len(b)-len(what)+1)
	return -1, s.checkSize(len(b))
}

// tagEnd returns the offset of the ">" that ends the start tag at pos, -1
// where that has not come yet.
func (s *Scanner) tagEnd(b []byte) (int, error) {
	i := max(s.scanned, s.pos+1)
	for i < len(b) {
		if s.quote != 0 {
			j := bytes.IndexByte(b[i:], s.quote)
			part := b[i:]
			if j >= 0 {
				part = b[i : i+j]
			}
			if bytes.IndexByte(part, '<') >= 0 {
				return -1, notWellFormed("< in an attribute's value")
			}
			if j < 0 {
				i = len(b)
				break
			}
			s.quote = 0
			i += j + 1
			continue
		}
		switch c := b[i]; c {
		case '\'', '"':
			s.quote = c
		case '>':
			return i, nil
		case '<':
			return -1, notWellFormed("< in a tag")
		}
		i++
	}
	s.scanned = i
	return -1, s.checkSize(len(b))
}

func (s *Scanner) checkSize(n int) error {
	if s.limits.Stanza > 0 && n >= s.limits.Stanza {
		return tooLong()
	}
	return nil
}

func tooLong() error { return &Error{Condition: PolicyViolation, Text: "the stanza is too long"} }

func restricted() error {
	return &Error{Condition: RestrictedXML, Text: "comments, instructions, document types and entities are not allowed"}
}

// advance moves on to the next token of the stanza.
func (s *Scanner) advance(pos int) { s.pos, s.scanned, s.quote = pos, pos, 0 }

// consume drops n bytes from the front.
func (s *Scanner) consume(n int) {
	s.start += n
	s.advance(0)
}

// skipSpace drops the white space between stanzas, which keeps connections
// alive (RFC 6120 §4.6.1).
func (s *Scanner) skipSpace() {
	for s.start < s.end && isSpace(s.buf[s.start]) {
		s.start++
	}
}

func (s *Scanner) takeTree() *tree {
	if s.tree == nil {
		s.tree = trees.Get().(*tree)
		s.tree.component = s.content == stanza.NSComponent
	}
	return s.tree
}

func (s *Scanner) freeTree() {
	if s.tree != nil {
		s.tree.free()
		s.tree = nil
	}
}
