// Package client is an XMPP client for tests and load: it logs in, sends and
// receives, and carries its session over from connection to connection, and
// from node to node, by XEP-0198. It knows neither rosters nor anything that a
// person would want to see, and the product does not use it.
package client
