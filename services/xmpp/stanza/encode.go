package stanza

import "strconv"

// String is the element on its own, with all its namespaces.
func (e *Element) String() string { return string(e.Append(nil, "")) }

// Append serialises e where defaultNS is the default namespace in force. A
// namespace is declared where it changes, and attributes with one get a prefix
// of their own; prefixes of the source are not kept, so the bytes mean the
// same in any stream.
func (e *Element) Append(b []byte, defaultNS string) []byte {
	b = append(b, '<')
	b = e.appendStart(b, defaultNS)
	if len(e.Nodes) == 0 {
		return append(b, '/', '>')
	}
	b = append(b, '>')
	inner := e.Name.Space
	if e.prefix() != "" {
		inner = defaultNS
	}
	for i := range e.Nodes {
		if c := e.Nodes[i].Element; c != nil {
			b = c.Append(b, inner)
		} else {
			b = appendText(b, e.Nodes[i].Text)
		}
	}
	b = append(b, '<', '/')
	b = append(b, e.prefix()...)
	b = append(b, e.Name.Local...)
	return append(b, '>')
}

// prefix is "stream:" for the elements that only ever stand below a stream
// header, which declares it (RFC 6120 §4.8.5).
func (e *Element) prefix() string {
	if e.Name.Space == NSStreams {
		return "stream:"
	}
	return ""
}

func (e *Element) appendStart(b []byte, defaultNS string) []byte {
	b = append(b, e.prefix()...)
	b = append(b, e.Name.Local...)
	if e.prefix() == "" && e.Name.Space != defaultNS {
		b = appendAttr(b, "xmlns", e.Name.Space)
	}
	spaces := 0
	for i := range e.Attrs {
		a := &e.Attrs[i]
		switch a.Name.Space {
		case "":
			b = appendAttr(b, a.Name.Local, a.Value)
		case NSXML:
			b = appendAttr(b, "xml:"+a.Name.Local, a.Value)
		default:
			prefix := "ns" + strconv.Itoa(spaces)
			spaces++
			b = appendAttr(b, "xmlns:"+prefix, a.Name.Space)
			b = appendAttr(b, prefix+":"+a.Name.Local, a.Value)
		}
	}
	return b
}

func appendAttr(b []byte, name, value string) []byte {
	b = append(b, ' ')
	b = append(b, name...)
	b = append(b, '=', '\'')
	for i := range len(value) {
		switch c := value[i]; c {
		case '&':
			b = append(b, "&amp;"...)
		case '<':
			b = append(b, "&lt;"...)
		case '\'':
			b = append(b, "&apos;"...)
		// Unescaped these would be read back as spaces (XML 1.0 §3.3.3).
		case '\t':
			b = append(b, "&#9;"...)
		case '\n':
			b = append(b, "&#10;"...)
		case '\r':
			b = append(b, "&#13;"...)
		default:
			b = append(b, c)
		}
	}
	return append(b, '\'')
}

func appendText(b []byte, s string) []byte {
	for i := range len(s) {
		switch c := s[i]; c {
		case '&':
			b = append(b, "&amp;"...)
		case '<':
			b = append(b, "&lt;"...)
		// "]]>" must not stand in text (XML 1.0 §2.4).
		case '>':
			b = append(b, "&gt;"...)
		// A bare carriage return would be read back as a line feed.
		case '\r':
			b = append(b, "&#13;"...)
		default:
			b = append(b, c)
		}
	}
	return b
}
