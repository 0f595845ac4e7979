package membership

import (
	"crypto/rand"
	"encoding/hex"
	"sync/atomic"

	"parley/services/xmpp/store"
)

// Record is a copy of the cluster's record, a zero one where there is none.
// Whoever answers other nodes reads it: the store may be busy with a slow disk
// for longer than they wait until they take this node for dead. The zero Record
// is of no cluster; it may be used from any goroutine.
type Record struct{ at atomic.Pointer[store.Cluster] }

// Load is the copy.
func (r *Record) Load() store.Cluster {
	if at := r.at.Load(); at != nil {
		return *at
	}
	return store.Cluster{}
}

// Look makes the copy anew, if the store can be read.
func (r *Record) Look(s *store.Store) store.Cluster {
	record, ok, err := s.Cluster()
	switch {
	case err == nil && ok:
		r.at.Store(&record)
	case err == nil:
		r.at.Store(nil)
	}
	return r.Load()
}

// NewClusterID is the name of a cluster that is founded: members of another must
// not take it for theirs.
func NewClusterID() string {
	b := make([]byte, 8)
	rand.Read(b)
	return hex.EncodeToString(b)
}
