package stream

import (
	"bytes"
	"strings"
)

// declaration takes the XML declaration, if there is one. It returns false
// when it needs more bytes.
func (s *Scanner) declaration() (bool, error) {
	b := s.buf[s.start:s.end]
	if len(b) == 0 {
		return false, nil
	}
	// A byte order mark of UTF-16, or UTF-16 without.
	if b[0] == 0xFE || b[0] == 0xFF || b[0] == 0 || len(b) > 1 && b[0] == '<' && b[1] == 0 {
		return false, &Error{Condition: UnsupportedEncoding, Text: "the encoding must be UTF-8"}
	}
	const open = "<?xml"
	n := min(len(b), len(open)+1)
	if n <= len(open) {
		if string(b[:n]) == open[:n] {
			return false, nil
		}
		return true, nil
	}
	if string(b[:len(open)]) != open || !isSpace(b[len(open)]) {
		return true, nil
	}
	end, err := s.find(b, "?>")
	if end < 0 || err != nil {
		return false, err
	}
	if err := checkDeclaration(b[len(open):end]); err != nil {
		return false, err
	}
	s.consume(end + 2)
	return true, nil
}

// checkDeclaration takes what stands in <?xml …?> (XML 1.0 §2.8): version,
// encoding and standalone, in that order.
func checkDeclaration(b []byte) error {
	rest := b
	field := func(name string) (string, bool, error) {
		trimmed := bytes.TrimLeft(rest, " \t\r\n")
		after, ok := bytes.CutPrefix(trimmed, []byte(name))
		if !ok {
			return "", false, nil
		}
		after = bytes.TrimLeft(after, " \t\r\n")
		after, ok = bytes.CutPrefix(after, []byte("="))
		after = bytes.TrimLeft(after, " \t\r\n")
		if !ok || len(trimmed) == len(rest) || len(after) < 2 || after[0] != '\'' && after[0] != '"' {
			return "", false, badDeclaration()
		}
		i := bytes.IndexByte(after[1:], after[0])
		if i < 0 {
			return "", false, badDeclaration()
		}
		rest = after[i+2:]
		return string(after[1 : i+1]), true, nil
	}
	version, ok, err := field("version")
	if err != nil {
		return err
	}
	if !ok || version != "1.0" && version != "1.1" {
		return badDeclaration()
	}
	encoding, ok, err := field("encoding")
	if err != nil {
		return err
	}
	if ok && !strings.EqualFold(encoding, "UTF-8") {
		return &Error{Condition: UnsupportedEncoding, Text: "the encoding must be UTF-8"}
	}
	alone, ok, err := field("standalone")
	if err != nil {
		return err
	}
	if ok && alone != "yes" && alone != "no" || len(bytes.TrimLeft(rest, " \t\r\n")) > 0 {
		return badDeclaration()
	}
	return nil
}

func badDeclaration() error { return notWellFormed("the XML declaration is malformed") }
