// Package relay stands between a node's edge and the leader's router. To the
// edge it is the leader, wherever that is; to the router it is the edges of all
// nodes. It follows all that passes, so that a new leader can be told what
// goes on, and it keeps a copy of the leader's own sessions on another node.
//
// It routes nothing, decides nothing about a session, and keeps nothing on
// disk. Who leads is told to it. See DESIGN.md for the invariants.
package relay
