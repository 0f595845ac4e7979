package store

import (
	"time"

	"parley/services/xmpp/link"
)

// SessionMark is how far a session's numbered messages have come.
type SessionMark struct {
	ID link.SessionID
	// Seq is the last, and all numbers from From on were put: none between
	// them was of another stanza.
	From, Seq uint64
	// Stamp of the last message put.
	Stamp time.Time
}

// messagePutOnce puts a message unless its session has already put it, or a
// later one. A message that is refused does not count.
func (t *tables) messagePutOnce(o *MessagePut, last *link.Item) (Result, error) {
	if o.Seq == 0 {
		return t.messagePut(o, last)
	}
	m, there, err := t.mark(o.Session)
	if err != nil {
		return Result{}, err
	}
	if there && o.Seq <= m.Seq {
		return Result{Again: true}, nil
	}
	res, err := t.messagePut(o, last)
	if err != nil || res.Err != nil {
		return res, err
	}
	if !there || o.Seq != m.Seq+1 {
		m.From = o.Seq
	}
	return res, t.sessions.Put(o.Session[:], encodeMark(SessionMark{From: m.From, Seq: o.Seq, Stamp: o.Stamp}))
}

func (t *tables) mark(id link.SessionID) (m SessionMark, there bool, err error) {
	b := t.sessions.Get(id[:])
	if b == nil {
		return m, false, nil
	}
	m, ok := decodeMark(b)
	if !ok {
		return m, false, ErrRecord
	}
	m.ID = id
	return m, true, nil
}

func encodeMark(m SessionMark) []byte {
	e := encoder{b: make([]byte, 0, 24)}
	e.uint(m.Seq)
	e.time(m.Stamp)
	e.uint(m.From)
	return e.b
}

func decodeMark(b []byte) (m SessionMark, ok bool) {
	d := decoder{b: b}
	m.Seq, m.Stamp = d.uint(), d.time()
	m.From = d.uint()
	return m, !d.bad
}

// Session returns the mark of one session; false where it has none.
func (s *Store) Session(id link.SessionID) (m SessionMark, ok bool, err error) {
	err = s.m.view(func(t *tables) error {
		m, ok, err = t.mark(id)
		return err
	})
	return m, ok, err
}

func (t *tables) sessionEnd(o *SessionEnd) error {
	for _, id := range o.IDs {
		if err := t.sessions.Delete(id[:]); err != nil {
			return err
		}
	}
	return nil
}

// Sessions returns the marks of all sessions that have put numbered messages
// and were not ended.
func (s *Store) Sessions() (ms []SessionMark, err error) {
	err = s.m.view(func(t *tables) error {
		return t.sessions.ForEach(func(k, v []byte) error {
			m, ok := decodeMark(v)
			if !ok || copy(m.ID[:], k) != len(k) {
				return ErrRecord
			}
			ms = append(ms, m)
			return nil
		})
	})
	return ms, err
}

func (t *tables) clusterSet(o *ClusterSet) error {
	var e encoder
	o.Cluster.encode(&e)
	return t.meta.Put(keyCluster, e.b)
}

// Cluster returns the group's record; false where there is none.
func (s *Store) Cluster() (c Cluster, ok bool, err error) {
	err = s.m.view(func(t *tables) error {
		b := t.meta.Get(keyCluster)
		if ok = b != nil; !ok {
			return nil
		}
		d := decoder{b: append([]byte(nil), b...)}
		if c.decode(&d); d.bad {
			return ErrRecord
		}
		return nil
	})
	return c, ok, err
}
