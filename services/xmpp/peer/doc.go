// Package peer carries what the nodes of a cluster say to each other: mutual
// TLS 1.3 on the clients' port, or one of its own, told apart by ALPN, and on it
// Raft's transport, calls, pings, and kinds of connection that others register.
// It knows who is reachable and who is trusted. It knows nothing of membership,
// Raft or sessions, and decides nothing: it tells.
//
// A connection begins with a frame of the dialer (kind, Hello) and one of the
// other side (Hello, or why not); then it belongs to its kind. A frame is a
// length of 4 bytes, big-endian, and JSON. TLS takes any client certificate;
// trust is checked before a first byte is read, so that a refusal can say why:
// with TLS 1.3 an alert would come after the client believes to be connected.
package peer
