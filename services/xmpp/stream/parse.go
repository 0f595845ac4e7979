package stream

import (
	"fmt"

	"parley/services/xmpp/stanza"
)

// Parse reads one whole element as Element.Append wrote it, the prefix stream
// being known. There are no limits: the bytes are in memory already, and it is
// for what was let in once. b is not kept.
func Parse(b []byte) (*stanza.Element, error) { return parse(b, usualNS[1:]) }

// ParseStanza is Parse of an element as it stands on a stream, whose default
// namespace is the content namespace: what Append wrote into stanza.NSClient.
func ParseStanza(b []byte) (*stanza.Element, error) { return parse(b, usualNS) }

func parse(b []byte, ns []binding) (*stanza.Element, error) {
	s := Scanner{limits: &Limits{}, buf: b, end: len(b), ns: ns}
	e, err := s.scan()
	defer s.freeTree()
	switch {
	case err != nil:
		return nil, fmt.Errorf("parse element: %w", err)
	case e == nil:
		return nil, fmt.Errorf("parse element: %w", notWellFormed("the element is not whole"))
	case s.start < s.end:
		return nil, fmt.Errorf("parse element: %w", notWellFormed("more than one element"))
	}
	return e, nil
}
