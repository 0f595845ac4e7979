// Package router is the leader: it knows every session and applies RFC 6121 to
// what clients and components send. One goroutine owns all of its state. It
// holds no connection, and what must survive it asks the store to keep; what
// sessions a new one starts with it is told by those that have them.
package router
