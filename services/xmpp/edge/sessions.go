package edge

import (
	"sync"

	"parley/services/xmpp/link"
)

// sessions finds the session that the leader means. One that is resumed on
// this edge while its old connection is still there is in it twice, with two
// epochs.
type sessions struct {
	mu    sync.RWMutex
	byRef map[link.Ref]*session
	// awaited are the sessions that Resume has been called for. Their epoch
	// is not known before it returns, and the leader may call before that.
	awaited map[link.SessionID]*awaited
}

// awaited keeps the leader's calls for a session whose Resume has not returned.
type awaited struct {
	// waiting counts those who resume it.
	waiting int
	calls   []early
}

type early struct {
	ref link.Ref
	do  func(*session)
}

func newSessions() sessions {
	return sessions{byRef: make(map[link.Ref]*session), awaited: make(map[link.SessionID]*awaited)}
}

// get returns the session of ref, or nil; then the call is for early.
func (m *sessions) get(ref link.Ref) *session {
	m.mu.RLock()
	defer m.mu.RUnlock()
	return m.byRef[ref]
}

// early has a call for a session that is not there wait for its Resume to
// return, should there be one.
func (m *sessions) early(ref link.Ref, do func(*session)) {
	m.mu.Lock()
	s := m.byRef[ref]
	if w := m.awaited[ref.ID]; s == nil && w != nil {
		w.calls = append(w.calls, early{ref, do})
	}
	m.mu.Unlock()
	if s != nil {
		do(s)
	}
}

func (m *sessions) add(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.byRef[s.ref] = s
}

func (m *sessions) remove(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.byRef, s.ref)
}

// await is called before Resume, and arrive or forsake after it.
func (m *sessions) await(id link.SessionID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	w := m.awaited[id]
	if w == nil {
		w = &awaited{}
		m.awaited[id] = w
	}
	w.waiting++
}

// arrive takes in a session that has been resumed, and makes up for the calls
// that came early.
func (m *sessions) arrive(s *session) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, c := range m.awaited[s.ref.ID].calls {
		if c.ref == s.ref {
			c.do(s)
		}
	}
	m.byRef[s.ref] = s
	m.settle(s.ref.ID)
}

func (m *sessions) forsake(id link.SessionID) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.settle(id)
}

// settle says that one Resume of id less is awaited. The caller holds mu.
func (m *sessions) settle(id link.SessionID) {
	w := m.awaited[id]
	if w.waiting--; w.waiting == 0 {
		delete(m.awaited, id)
	}
}
