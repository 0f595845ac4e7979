package stream

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// text takes the character data b[i:end] of the innermost open element.
func (t *tree) text(b []byte, i, end int) error {
	p, err := characters(b, i, end, false)
	if err == nil {
		t.addText(p)
	}
	return err
}

// cdata takes the content of a CDATA section, where nothing is escaped.
func (t *tree) cdata(content []byte) error {
	if err := checkCharacters(content); err != nil {
		return err
	}
	if bytes.IndexByte(content, '\r') >= 0 {
		content = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
		content = bytes.ReplaceAll(content, []byte("\r"), []byte("\n"))
	}
	if len(content) > 0 {
		t.addText(span{s: string(content)})
	}
	return nil
}

// What a byte of character data needs: nothing, a look, or rejecting.
const (
	plain byte = iota
	special
	// white is white space that becomes a space in an attribute's value.
	white
	high
	control
)

var charClass = func() (class [256]byte) {
	for c := range class {
		switch {
		case c >= utf8.RuneSelf:
			class[c] = high
		case c == '&' || c == '\r' || c == ']':
			class[c] = special
		case c == '\t' || c == '\n':
			class[c] = white
		case c < ' ':
			class[c] = control
		}
	}
	return class
}()

const (
	nameStart = 1
	nameOther = 2
)

var nameClass = func() (class [utf8.RuneSelf]byte) {
	for c := range class {
		switch {
		case c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c == '_':
			class[c] = nameStart
		case c >= '0' && c <= '9' || c == '-' || c == '.':
			class[c] = nameOther
		}
	}
	return class
}()

// isNameRune is NameStartChar, or NameChar where not first (XML 1.0, fifth
// edition, §2.3), beyond ASCII.
func isNameRune(r rune, first bool) bool {
	switch {
	case r == 0xB7, r >= 0x300 && r <= 0x36F, r == 0x203F, r == 0x2040:
		return !first
	case r == 0xD7, r == 0xF7, r == 0x37E:
		return false
	case r >= 0xC0 && r <= 0x1FFF, r == 0x200C, r == 0x200D, r >= 0x2070 && r <= 0x218F,
		r >= 0x2C00 && r <= 0x2FEF, r >= 0x3001 && r <= 0xD7FF, r >= 0xF900 && r <= 0xFDCF,
		r >= 0xFDF0 && r <= 0xFFFD, r >= 0x10000 && r <= 0xEFFFF:
		return true
	}
	return false
}

// characters reads the character data b[i:end], of an attribute's value or of
// text: references replaced, line ends and white space normalised (XML 1.0
// §2.11, §3.3.3), every character checked.
func characters(b []byte, i, end int, inAttr bool) (span, error) {
	seg := b[i:end]
	rewrite, hasHigh := false, false
	for j, c := range seg {
		switch charClass[c] {
		case special:
			if c != ']' {
				rewrite = true
			} else if !inAttr && j+2 < len(seg) && seg[j+1] == ']' && seg[j+2] == '>' {
				return span{}, notWellFormed("]]> in text")
			}
		case white:
			rewrite = rewrite || inAttr
		case high:
			hasHigh = true
		case control:
			return span{}, badCharacter()
		}
	}
	if hasHigh {
		if err := checkHigh(seg); err != nil {
			return span{}, err
		}
	}
	if !rewrite {
		if i == end {
			return span{}, nil
		}
		return span{off: i, end: end}, nil
	}
	s, err := unescape(seg, inAttr)
	return span{s: s}, err
}

// unescape rewrites character data that has been checked.
func unescape(seg []byte, inAttr bool) (string, error) {
	out := make([]byte, 0, len(seg))
	for i := 0; i < len(seg); i++ {
		switch c := seg[i]; {
		case c == '&':
			n := bytes.IndexByte(seg[i:min(len(seg), i+maxReference)], ';')
			if n < 0 {
				return "", notWellFormed("an & that begins no reference")
			}
			var err error
			if out, err = appendReference(out, string(seg[i+1:i+n])); err != nil {
				return "", err
			}
			i += n
		case c == '\r' && i+1 < len(seg) && seg[i+1] == '\n':
			// The line feed that follows stands for both.
		case inAttr && (c == '\r' || c == '\n' || c == '\t'):
			out = append(out, ' ')
		case c == '\r':
			out = append(out, '\n')
		default:
			out = append(out, c)
		}
	}
	return string(out), nil
}

// maxReference is longer than any reference that is not mere zeros.
const maxReference = 64

// appendReference appends what &ref; stands for (XML 1.0 §4.1, §4.6).
func appendReference(out []byte, ref string) ([]byte, error) {
	switch ref {
	case "lt":
		return append(out, '<'), nil
	case "gt":
		return append(out, '>'), nil
	case "amp":
		return append(out, '&'), nil
	case "apos":
		return append(out, '\''), nil
	case "quot":
		return append(out, '"'), nil
	}
	if len(ref) < 2 || ref[0] != '#' {
		if _, colon, err := name([]byte(ref), 0, &Limits{}); err != nil || colon >= 0 {
			return nil, notWellFormed("an & that begins no reference")
		}
		return nil, restricted()
	}
	digits, base := ref[1:], 10
	if digits[0] == 'x' {
		digits, base = digits[1:], 16
	}
	n, err := strconv.ParseUint(digits, base, 32)
	if err != nil || !isChar(n) {
		return nil, notWellFormed("a reference to no character")
	}
	return utf8.AppendRune(out, rune(n)), nil
}

// isChar is Char of XML 1.0 §2.2.
func isChar(n uint64) bool {
	return n == '\t' || n == '\n' || n == '\r' || n >= 0x20 && n <= 0xD7FF || n >= 0xE000 && n <= 0xFFFD || n >= 0x10000 && n <= utf8.MaxRune
}

func checkCharacters(seg []byte) error {
	hasHigh := false
	for _, c := range seg {
		switch charClass[c] {
		case high:
			hasHigh = true
		case control:
			return badCharacter()
		}
	}
	if hasHigh {
		return checkHigh(seg)
	}
	return nil
}

// checkHigh checks the characters beyond ASCII: valid UTF-8, and neither U+FFFE
// nor U+FFFF.
func checkHigh(seg []byte) error {
	if !utf8.Valid(seg) {
		return badEncoding()
	}
	for rest := seg; ; {
		i := bytes.Index(rest, []byte{0xEF, 0xBF})
		if i < 0 {
			return nil
		}
		if rest[i+2] >= 0xBE {
			return badCharacter()
		}
		rest = rest[i+3:]
	}
}

func badCharacter() error { return notWellFormed("a character that XML does not allow") }
