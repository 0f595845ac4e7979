// Package edge holds the connections of clients and components: TLS, framing,
// authentication, and acknowledgements with resumption (XEP-0198). What a
// stanza means, and where it goes, is the leader's; the edge numbers it and
// hands it over. What a session still has to get, and whether it is there
// without a connection, is the leader's too: an edge keeps counters, so nothing
// is lost with it that was acknowledged.
//
// A session is one goroutine, which reads, and another while there is
// something to write. Between stanzas it holds no buffers.
package edge
