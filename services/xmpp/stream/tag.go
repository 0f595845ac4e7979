package stream

import (
	"bytes"
	"unicode/utf8"

	"parley/services/xmpp/stanza"
)

const nsXMLNS = "http://www.w3.org/2000/xmlns/"

// startTag takes the start tag b[i:end+1], and says whether it is an empty
// element's.
func (t *tree) startTag(b []byte, i, end int, l *Limits) (closed bool, err error) {
	if l.Depth > 0 && len(t.open) >= l.Depth {
		return false, &Error{Condition: PolicyViolation, Text: "elements are nested too deep"}
	}
	stop := end
	if b[end-1] == '/' {
		closed, stop = true, end-1
	}
	nameEnd, colon, err := name(b[:stop], i+1, l)
	if err != nil {
		return false, err
	}
	ev := event{name: i + 1, nameEnd: nameEnd, ns: len(t.ns)}
	firstAttr, count := len(t.attrs), 0
	for p := nameEnd; ; {
		q := skipSpace(b[:stop], p)
		if q == stop {
			break
		}
		if q == p {
			return false, notWellFormed("no space before an attribute")
		}
		if count++; l.Attrs > 0 && count > l.Attrs {
			return false, &Error{Condition: PolicyViolation, Text: "too many attributes"}
		}
		if p, err = t.attribute(b[:stop], q, ev.ns, l); err != nil {
			return false, err
		}
	}
	var ok bool
	if ev.space, ev.local, ok = t.expand(b, i+1, colon, nameEnd); !ok {
		return false, notWellFormed("an undeclared namespace prefix")
	}
	if err := t.expandAttrs(b, firstAttr); err != nil {
		return false, err
	}
	ev.attrs = len(t.attrs) - firstAttr
	t.node()
	t.inText = false
	t.elements++
	t.open = append(t.open, len(t.events))
	t.events = append(t.events, ev)
	return closed, nil
}

// endTag takes the end tag b[i:end+1], and says whether it was the stanza's.
func (t *tree) endTag(b []byte, i, end int) (bool, error) {
	e := &t.events[t.open[len(t.open)-1]]
	written := b[e.name:e.nameEnd]
	rest, ok := bytes.CutPrefix(b[i+2:end], written)
	if !ok || len(bytes.TrimLeft(rest, " \t\r\n")) > 0 {
		return false, notWellFormed("an end tag without its start tag")
	}
	return t.close(), nil
}

// attribute takes the attribute or declaration at b[p:] and returns where it
// ends. Declarations of this element are those from t.ns[ns] on.
func (t *tree) attribute(b []byte, p, ns int, l *Limits) (int, error) {
	nameEnd, colon, err := name(b, p, l)
	if err != nil {
		return 0, err
	}
	q := skipSpace(b, nameEnd)
	if q == len(b) || b[q] != '=' {
		return 0, notWellFormed("an attribute without a value")
	}
	q = skipSpace(b, q+1)
	if q == len(b) || b[q] != '\'' && b[q] != '"' {
		return 0, notWellFormed("an attribute's value without quotes")
	}
	n := bytes.IndexByte(b[q+1:], b[q])
	if n < 0 {
		return 0, notWellFormed("an attribute's value without its last quote")
	}
	value, err := characters(b, q+1, q+1+n, true)
	if err != nil {
		return 0, err
	}
	switch {
	case colon < 0 && string(b[p:nameEnd]) == "xmlns":
		err = t.declare(b, ns, span{}, value)
	case colon >= 0 && string(b[p:colon]) == "xmlns":
		err = t.declare(b, ns, span{off: colon + 1, end: nameEnd}, value)
	case colon >= 0:
		t.attrs = append(t.attrs, attr{prefix: span{off: p, end: colon}, local: span{off: colon + 1, end: nameEnd}, value: value})
	default:
		t.attrs = append(t.attrs, attr{local: span{off: p, end: nameEnd}, value: value})
	}
	return q + n + 2, err
}

// declare binds prefix to uri (Namespaces in XML 1.0 §3).
func (t *tree) declare(b []byte, from int, prefix, uri span) error {
	for _, x := range t.ns[from:] {
		if x.prefix.equal(b, prefix) {
			return notWellFormed("an attribute given twice")
		}
	}
	empty, isXML := uri.is(b, ""), uri.is(b, stanza.NSXML)
	if prefix.is(b, "xml") != isXML || uri.is(b, nsXMLNS) || prefix.is(b, "xmlns") || empty && !prefix.is(b, "") {
		return notWellFormed("a namespace declaration that is not allowed")
	}
	t.ns = append(t.ns, binding{prefix, uri})
	return nil
}

// expand resolves the name b[p:end], whose prefix ends at colon unless that is
// -1.
func (t *tree) expand(b []byte, p, colon, end int) (space, local span, ok bool) {
	if colon < 0 {
		space, _ = t.resolve(b, nil)
		local, ok = span{off: p, end: end}, true
	} else {
		space, ok = t.resolve(b, b[p:colon])
		local = span{off: colon + 1, end: end}
	}
	if t.component && space.is(b, stanza.NSComponent) {
		space = span{s: stanza.NSClient}
	}
	return space, local, ok
}

// resolve returns the namespace bound to prefix, nil for the default one.
func (t *tree) resolve(b, prefix []byte) (span, bool) {
	for i := len(t.ns) - 1; i >= 0; i-- {
		if t.ns[i].prefix.is(b, string(prefix)) {
			return t.ns[i].uri, true
		}
	}
	if string(prefix) == "xml" {
		return span{s: stanza.NSXML}, true
	}
	return span{}, false
}

// expandAttrs resolves the prefixes of t.attrs[first:] and finds attributes
// given twice.
func (t *tree) expandAttrs(b []byte, first int) error {
	for i := first; i < len(t.attrs); i++ {
		a := &t.attrs[i]
		if a.prefix.end > 0 {
			var ok bool
			if a.space, ok = t.resolve(b, b[a.prefix.off:a.prefix.end]); !ok {
				return notWellFormed("an undeclared namespace prefix")
			}
		}
		for j := first; j < i; j++ {
			if o := &t.attrs[j]; o.local.end-o.local.off == a.local.end-a.local.off && o.local.equal(b, a.local) && o.space.equal(b, a.space) {
				return notWellFormed("an attribute given twice")
			}
		}
	}
	return nil
}

// name takes the qualified name at b[i:] (Namespaces in XML 1.0 §4): where it
// ends, and where its colon is, -1 for none.
func name(b []byte, i int, l *Limits) (end, colon int, err error) {
	colon = -1
	first := true
	p := i
	for p < len(b) {
		c := b[p]
		size := 1
		switch {
		case c == ':':
			if colon >= 0 || first {
				return 0, 0, notWellFormed("a misplaced colon in a name")
			}
			colon, first = p, true
			p++
			continue
		case c < utf8.RuneSelf:
			if class := nameClass[c]; class == 0 {
				goto done
			} else if first && class != nameStart {
				return 0, 0, notWellFormed("a name that begins with a wrong character")
			}
		default:
			var r rune
			if r, size = utf8.DecodeRune(b[p:]); r == utf8.RuneError && size == 1 {
				return 0, 0, badEncoding()
			}
			if !isNameRune(r, first) {
				return 0, 0, notWellFormed("a character that is not allowed in a name")
			}
		}
		first = false
		p += size
	}
done:
	if first {
		return 0, 0, notWellFormed("a name was expected")
	}
	if l.Name > 0 && p-i > l.Name {
		return 0, 0, &Error{Condition: PolicyViolation, Text: "a name is too long"}
	}
	return p, colon, nil
}

func isSpace(c byte) bool { return c == ' ' || c == '\n' || c == '\r' || c == '\t' }

func skipSpace(b []byte, i int) int {
	for i < len(b) && isSpace(b[i]) {
		i++
	}
	return i
}
