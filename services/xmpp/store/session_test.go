package store

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/link"
)

func TestMessagePutOnce(t *testing.T) {
	s, _ := start(t, Config{Dir: t.TempDir(), NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	id, other := link.SessionID{1}, link.SessionID{2}
	stamp := time.UnixMilli(5000).UTC()
	put := func(id link.SessionID, seq uint64) Result {
		return apply(t, s, &MessagePut{Session: id, Seq: seq, Account: "ada", Stamp: stamp, Stanza: []byte("x")})
	}
	for _, tt := range []struct {
		id    link.SessionID
		seq   uint64
		again bool
	}{{id, 1, false}, {id, 1, true}, {id, 3, false}, {id, 2, true}, {other, 2, false}, {id, 0, false}, {id, 0, false}, {id, 4, false}} {
		if res := put(tt.id, tt.seq); res.Again != tt.again || (res.Item == 0) != tt.again {
			t.Errorf("put %d of %x = %+v; want again %v", tt.seq, tt.id, res, tt.again)
		}
	}
	if m, ok, err := s.Session(id); m != (SessionMark{id, 3, 4, stamp}) || !ok || err != nil {
		t.Errorf("Session = %+v, %v, %v; want 3 to 4", m, ok, err)
	}
	if m, ok, err := s.Session(link.SessionID{7}); ok || err != nil {
		t.Errorf("Session of a stranger = %+v, %v, %v; want none", m, ok, err)
	}
	if refused(t, s, &MessagePut{Session: id, Seq: 9, Account: "eve"}) == nil || put(id, 9).Again {
		t.Error("a refused message counts as put")
	}
	ms, err := s.Sessions()
	if diff := cmp.Diff([]SessionMark{{id, 9, 9, stamp}, {other, 2, 2, stamp}}, ms); diff != "" || err != nil {
		t.Errorf("Sessions: %v\n%s", err, diff)
	}
	apply(t, s, &SessionEnd{IDs: []link.SessionID{id, {9}}})
	if put(id, 1).Again {
		t.Error("a session's numbers are there after its end")
	}
}
