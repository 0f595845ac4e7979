package stream

import (
	"strings"

	"parley/services/xmpp/stanza"
)

// Header is a stream header (RFC 6120 §4.7).
type Header struct {
	// Content is the content namespace, stanza.NSClient or NSComponent.
	Content string
	To      string
	From    string
	ID      string
	Version string
	Lang    string
}

// Append serialises the header with an XML declaration in front. It opens the
// stream, which End closes.
func (h Header) Append(b []byte) []byte {
	e := stanza.New(stanza.NSStreams, "stream", "xmlns", h.Content, "xmlns:stream", stanza.NSStreams,
		"from", h.From, "to", h.To, "id", h.ID, "version", h.Version)
	if h.Lang != "" {
		e.Attrs = append(e.Attrs, stanza.Attr{Name: stanza.Name{Space: stanza.NSXML, Local: "lang"}, Value: h.Lang})
	}
	b = append(b, "<?xml version='1.0'?>"...)
	b = e.Append(b, h.Content)
	// The element has no children, so Append closed it.
	return append(b[:len(b)-len("/>")], '>')
}

// End closes a stream.
const End = "</stream:stream>"

// Features makes the <stream:features/> of a receiving entity.
func Features(features ...*stanza.Element) *stanza.Element {
	return stanza.New(stanza.NSStreams, "features").Add(features...)
}

// headerOf reads the header from its start tag.
func headerOf(e *stanza.Element) Header {
	h := Header{To: e.Attr("to"), From: e.Attr("from"), ID: e.Attr("id"), Version: e.Attr("version")}
	for _, a := range e.Attrs {
		if a.Name == (stanza.Name{Space: stanza.NSXML, Local: "lang"}) {
			h.Lang = a.Value
		}
	}
	// The header outlives the buffer's string by far.
	for _, s := range []*string{&h.To, &h.From, &h.ID, &h.Version, &h.Lang} {
		*s = strings.Clone(*s)
	}
	return h
}
