// Package stream turns the bytes of an XML stream into stream headers and
// stanzas, and back. It is the only parser of bytes from the network that XMPP
// has: it takes the subset of XML that RFC 6120 §11 leaves, within limits, and
// names every fault as RFC 6120 §4.9.3 does. Time limits, and what a stanza
// means, are the edge's.
package stream
