package router

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/store"
)

func TestResume(t *testing.T) {
	m := newMemory("ada", "bob")
	m.befriend("ada", "bob")
	inMemory(t, m, func(t *testing.T, w *world) {
		w.r.Settled()
		bob, ada := w.connect("bob", "b"), w.connect("ada", "a")
		bob.send("<presence/>")
		ada.send("<presence/>")
		ada.send("<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>")
		ada.now()
		bob.now()
		before := ada.last
		w.r.Delivered(ada.ref, before)
		w.r.Enable(ada.ref, link.Enable{In: ada.seq, Out: before, Keep: time.Minute})
		for i := range 3 {
			bob.send(fmt.Sprintf("<message to='ada@example.com' id='%d'/>", i))
		}
		ada.now()
		resume := func(p *peer, account string, h uint32) (link.Session, error) {
			j, _ := jid.Parse(account)
			return w.r.Resume(t.Context(), link.Resume{ID: ada.ref.ID, Account: j, H: h}, p)
		}
		for _, tt := range []struct {
			name, account string
			h             uint32
			want          error
		}{
			{"another's", "bob@example.com", 1, link.ErrNoSession},
			{"more than there was", "ada@example.com", 4, link.ErrCount},
			{"less than nothing", "ada@example.com", math.MaxUint32, link.ErrCount},
		} {
			if _, err := resume(&peer{w: w}, tt.account, tt.h); !errors.Is(err, tt.want) {
				t.Errorf("%s: Resume = %v; want %v", tt.name, err, tt.want)
			}
		}
		if ada.over() != "" {
			t.Errorf("ended with %q", ada.ended)
		}
		ada.send("<message to='bob@example.com' id='mine'/>")
		next := link.Ref{ID: ada.ref.ID, Epoch: 1}
		p := &peer{w: w, ref: next, jid: ada.jid, last: before + 3}
		s, err := resume(p, "ada@example.com", 1)
		if err != nil {
			t.Fatal(err)
		}
		got := ids([]string{string(s.Queue[0].Bytes), string(s.Queue[1].Bytes)})
		if s.Ref != next || s.JID != ada.jid || s.Last != before+3 || s.Confirmed != ada.seq || !slices.Equal(got, []string{"1", "2"}) || s.Queue[0].N != before+2 || s.Detached {
			t.Errorf("Resume = %+v with %v", s, got)
		}
		if mm, err := decodeMemo(s.Memo); err != nil || !mm.interested || mm.presence == nil {
			t.Errorf("memo = %+v, %v", mm, err)
		}
		if ada.over() != "conflict" {
			t.Errorf("older edge was told %q; want conflict", ada.over())
		}
		// What the older one still says is not heard.
		ada.send("<message to='bob@example.com' id='stale'/>")
		w.r.Delivered(ada.ref, before+3)
		w.r.Detach(ada.ref)
		w.r.Close(ada.ref)
		w.r.Enable(ada.ref, link.Enable{})
		bob.send("<message to='ada@example.com' id='3'/>")
		if got, old := ids(p.now()), ada.now(); !slices.Equal(got, []string{"3"}) || len(old) > 0 {
			t.Errorf("newer edge got %v, older %v", got, old)
		}
		if got := ids(bob.now()); !slices.Equal(got, []string{"mine"}) {
			t.Errorf("bob got %v; want mine", got)
		}
		p.seq = s.Confirmed
		p.send("<message to='bob@example.com' id='again'/>")
		if got := ids(bob.now()); !slices.Equal(got, []string{"again"}) || p.confirmed != p.seq {
			t.Errorf("bob got %v; confirmed %d of %d", got, p.confirmed, p.seq)
		}
	})
}

func TestCovered(t *testing.T) {
	const far = 5<<32 - 2
	for _, tt := range []struct {
		name           string
		out, had, last uint64
		h              uint32
		want           uint64
		ok             bool
	}{
		{"nothing", 3, 3, 3, 0, 3, true},
		{"all", 3, 3, 8, 5, 8, true},
		{"some", 3, 4, 8, 2, 5, true},
		{"too many", 3, 3, 8, 6, 0, false},
		{"taken back", 3, 5, 8, 1, 0, false},
		{"what came before Enable", 3, 1, 8, 0, 3, true},
		{"beyond 2^32", 7, far, far + 10, 1, far + 10, true},
		{"beyond 2^32, too many", 7, far, far + 10, 2, 0, false},
	} {
		s := &session{enable: link.Enable{Out: tt.out}, queue: queue{last: tt.last}}
		for n := tt.had + 1; n <= tt.last; n++ {
			s.list = append(s.list, link.Delivery{N: n})
		}
		got, ok := s.covered(tt.h)
		if ok != tt.ok || ok && got != tt.want {
			t.Errorf("%s: covered(%d) = %d, %v; want %d, %v", tt.name, tt.h, got, ok, tt.want, tt.ok)
		}
	}
}

// A client that knows of more deliveries than the leader must not come to be
// taken for one that has what was delivered since.
func TestResumeAheadIsFinal(t *testing.T) {
	m := newMemory("ada", "bob")
	inMemory(t, m, func(t *testing.T, w *world) {
		w.r.Settled()
		bob, ada := w.connect("bob", "b"), w.connect("ada", "a")
		ada.send("<presence/>")
		ada.now()
		w.r.Delivered(ada.ref, ada.last)
		w.r.Enable(ada.ref, link.Enable{In: ada.seq, Out: ada.last, Keep: time.Minute})
		w.r.Detach(ada.ref)
		bob.send("<message to='ada@example.com' id='0'/>")
		bob.now()
		j, _ := jid.Parse("ada@example.com")
		resume := func(h uint32) error {
			_, err := w.r.Resume(t.Context(), link.Resume{ID: ada.ref.ID, Account: j, H: h}, &peer{w: w})
			return err
		}
		if err := resume(1000); !errors.Is(err, link.ErrCount) {
			t.Errorf("Resume = %v; want %v", err, link.ErrCount)
		}
		if err := resume(1000); !errors.Is(err, link.ErrNoSession) {
			t.Errorf("Resume again = %v; want %v", err, link.ErrNoSession)
		}
		if n, err := m.Pending("ada"); err != nil || n != 1 {
			t.Errorf("Pending = %d, %v; want the message that came meanwhile", n, err)
		}
	})
}

// A client that resumes under the next leader is told what the one before has
// put, as far as the log alone shows it.
func TestResumeTellsTheLog(t *testing.T) {
	for _, tt := range []struct {
		name string
		put  []uint64
		want uint64
	}{
		{"nothing", nil, 4},
		{"the next", []uint64{5}, 5},
		{"the next two", []uint64{5, 6}, 6},
		{"a row that began before", []uint64{3, 4, 5}, 5},
		{"after something else", []uint64{6}, 4},
		{"what was confirmed", []uint64{2, 3}, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory("ada", "bob")
			inMemory(t, m, func(t *testing.T, w *world) {
				s := newAda()
				s.Confirmed, s.Detached, s.Enabled, s.Enable = 4, true, true, link.Enable{Keep: time.Minute}
				for _, seq := range tt.put {
					m.apply(&store.MessagePut{Session: s.Ref.ID, Seq: seq, Account: "bob", Stamp: time.Now(), Stanza: []byte("<message xmlns='jabber:client'/>")})
				}
				w.attach(s)
				w.r.Settled()
				next := &peer{w: w, ref: link.Ref{ID: s.Ref.ID, Epoch: 1}, jid: s.JID, last: s.Last}
				got, err := w.r.Resume(t.Context(), link.Resume{ID: s.Ref.ID, Account: s.JID, H: uint32(s.Last)}, next)
				if err != nil || got.Confirmed != tt.want {
					t.Fatalf("Resume = %d confirmed, %v; want %d", got.Confirmed, err, tt.want)
				}
				if n := len(tt.put); n > 0 && tt.put[n-1] > got.Confirmed {
					// The client sends this one again, in its place.
					return
				}
				bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
				bob.now()
				next.seq = got.Confirmed
				next.send("<message to='bob@example.com' id='new'/>")
				if got := ids(bob.now()); !slices.Equal(got, []string{"new"}) {
					t.Errorf("bob got %v of what came after; want new", got)
				}
			})
		})
	}
}
