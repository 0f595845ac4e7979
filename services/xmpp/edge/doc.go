// Package edge holds the connections of clients and components: TLS, framing,
// authentication, and acknowledgements (XEP-0198). What a stanza means, and
// where it goes, is the leader's; the edge numbers it and hands it over.
//
// A session is one goroutine, which reads, and another while there is
// something to write. Between stanzas it holds no buffers.
package edge
