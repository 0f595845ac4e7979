// Package sasl is the server's side of SASL: SCRAM-SHA-256 and SCRAM-SHA-1,
// with and without channel binding, and PLAIN; PLAIN alone where passwords are
// kept elsewhere. It works on bytes; the XML around them is the edge's, the
// accounts are the store's.
package sasl
