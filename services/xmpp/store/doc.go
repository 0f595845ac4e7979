// Package store is the replicated store: a hashicorp/raft group over one state
// machine, a bbolt file with accounts, Call Bridges, rosters and the messages
// that wait for their recipients. It decides what a change does (the
// subscription states of RFC 6121 Appendix A among it) and says what has to be
// sent because of it; it sends nothing and knows no session.
package store
