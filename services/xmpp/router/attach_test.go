package router

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// newAda is an available session of ada's, resumable, of before.
func newAda() link.Session {
	s := attached("ada@example.com/a", here("ada@example.com/a"))
	s.Enabled, s.Enable = true, link.Enable{Keep: time.Minute}
	return s
}

func TestAttachObjections(t *testing.T) {
	with := func(s link.Session, f func(*link.Session)) link.Session {
		f(&s)
		return s
	}
	ada, other := newAda(), newAda()
	detached := func(s *link.Session) { s.Detached = true }
	epoch := func(n uint32) func(*link.Session) { return func(s *link.Session) { s.Ref.Epoch = n } }
	cb, cb2 := attached("cb1.example.com", memo{}), attached("cb1.example.com", memo{})
	for _, tt := range []struct {
		name string
		in   []link.Session
		want []string
	}{
		{"no such account", []link.Session{attached("eve@example.com/x", memo{})}, []string{"not-authorized"}},
		{"no resource", []link.Session{attached("ada@example.com", memo{})}, []string{"not-authorized"}},
		{"other domain", []link.Session{attached("ada@elsewhere.org/x", memo{})}, []string{"not-authorized"}},
		{"no such Call Bridge", []link.Session{attached("cb2.example.com", memo{})}, []string{"not-authorized"}},
		{"queue beyond its end", []link.Session{with(ada, func(s *link.Session) { s.Queue = []link.Delivery{{N: 1}} })}, []string{"internal-server-error"}},
		{"queue out of order", []link.Session{with(ada, func(s *link.Session) { s.Last, s.Queue = 2, []link.Delivery{{N: 2}, {N: 1}} })}, []string{"internal-server-error"}},
		{"alone", []link.Session{ada}, []string{""}},
		{"lower epoch comes later", []link.Session{with(ada, epoch(2)), with(ada, epoch(1))}, []string{"", "conflict"}},
		{"higher epoch comes later", []link.Session{with(ada, epoch(1)), with(ada, epoch(2))}, []string{"conflict", ""}},
		{"mirror and node", []link.Session{with(ada, detached), ada}, []string{"conflict", ""}},
		{"node and mirror", []link.Session{ada, with(ada, detached)}, []string{"", "conflict"}},
		{"same resource, both live", []link.Session{ada, other}, []string{"conflict", ""}},
		{"same resource, the later detached", []link.Session{ada, with(other, detached)}, []string{"", "conflict"}},
		{"same resource, the earlier detached", []link.Session{with(ada, detached), other}, []string{"conflict", ""}},
		{"same resource, both detached", []link.Session{with(ada, detached), with(other, detached)}, []string{"conflict", ""}},
		{"Call Bridge twice", []link.Session{cb, cb2}, []string{"conflict", ""}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory("ada")
			m.bridges["cb1"] = true
			inMemory(t, m, func(t *testing.T, w *world) {
				var peers []*peer
				for _, s := range tt.in {
					peers = append(peers, w.attach(s))
				}
				got := []string{}
				for _, p := range peers {
					got = append(got, p.over())
				}
				if diff := cmp.Diff(tt.want, got); diff != "" {
					t.Errorf("ended with (-want +got):\n%s", diff)
				}
			})
		})
	}
	t.Run("ended while its relay was cut off", func(t *testing.T) {
		inMemory(t, newMemory("ada"), func(t *testing.T, w *world) {
			w.r.Settled()
			p := w.attach(ada)
			w.r.Lost(p, nil)
			if err := w.r.EndAccount(t.Context(), "ada"); err != nil {
				t.Fatal(err)
			}
			if got := w.attach(ada).over(); got != "not-authorized" {
				t.Errorf("attached again it ended with %q; want not-authorized", got)
			}
		})
	})
	t.Run("what is opened is newer", func(t *testing.T) {
		inMemory(t, newMemory("ada"), func(t *testing.T, w *world) {
			p := w.connect("ada", "a")
			late := w.attach(newAda())
			if p.over() != "" || late.over() != "conflict" {
				t.Errorf("ended with %q, attached later %q; want conflict", p.over(), late.over())
			}
		})
	})
}

// What is sent before all sessions are attached waits for them, in its order,
// and so do the calls that end the sender's session.
func TestSettled(t *testing.T) {
	for _, told := range []bool{true, false} {
		t.Run(fmt.Sprint("told ", told), func(t *testing.T) {
			m := newMemory("ada", "bob")
			m.befriend("ada", "bob")
			inMemory(t, m, func(t *testing.T, w *world) {
				ada := w.attach(attached("ada@example.com/a", here("ada@example.com/a")))
				ada.send("<message type='headline' to='bob@example.com/b' id='1'/>")
				ada.send("<message to='bob@example.com' id='2'/>")
				ada.close()
				counted := make(chan Connected, 1)
				go func() {
					c, _ := w.r.Connected(context.Background())
					counted <- c
				}()
				synctest.Wait()
				if m.applies > 0 || len(counted) > 0 {
					t.Errorf("%d applies, %d answers before it has settled", m.applies, len(counted))
				}
				bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
				if told {
					w.r.Settled()
				} else {
					time.Sleep(SettleMax)
				}
				want := []string{
					"<message type='headline' to='bob@example.com/b' id='1' from='ada@example.com/a'/>",
					"<message to='bob@example.com' id='2' from='ada@example.com/a'/>",
					"<presence type='unavailable' from='ada@example.com/a' to='bob@example.com'/>",
				}
				if diff := cmp.Diff(want, bob.now()); diff != "" {
					t.Errorf("bob got (-want +got):\n%s", diff)
				}
				// Here the calls of a session and of the service are in their
				// order too.
				if c := <-counted; c.Sessions != 1 {
					t.Errorf("Connected = %+v; want bob's", c)
				}
			})
		})
	}
}

// A session that ends before the leader has settled is told of afterwards, to
// those who were attached in between; not if it has come again.
func TestDepartedBeforeSettled(t *testing.T) {
	m := newMemory("ada", "bob")
	m.befriend("ada", "bob")
	for _, again := range []bool{false, true} {
		t.Run(fmt.Sprint("again ", again), func(t *testing.T) {
			inMemory(t, m, func(t *testing.T, w *world) {
				s := newAda()
				w.attach(s).close()
				bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
				want := []string{"<presence type='unavailable' from='ada@example.com/a' to='bob@example.com'/>"}
				if again {
					w.attach(s)
					want = []string{}
				}
				w.r.Settled()
				if diff := cmp.Diff(want, bob.now()); diff != "" {
					t.Errorf("bob got (-want +got):\n%s", diff)
				}
			})
		})
	}
}

// Nobody hears of an attachment, and what the session had said still holds.
func TestAttachIsSilent(t *testing.T) {
	m := newMemory("ada", "bob", "cleo")
	m.befriend("ada", "bob")
	inMemory(t, m, func(t *testing.T, w *world) {
		bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
		cleo := w.attach(attached("cleo@example.com/c", here("cleo@example.com/c")))
		mm := here("ada@example.com/a")
		mm.presence.Add(stanza.New(stanza.NSClient, "priority").AddText("7"))
		mm.interested = true
		mm.directed = map[jid.JID]struct{}{cleo.jid: {}}
		ada := w.attach(attached("ada@example.com/a", mm))
		low := w.attach(attached("ada@example.com/low", here("ada@example.com/low")))
		w.r.Settled()
		for _, p := range []*peer{ada, low, bob, cleo} {
			if got := p.now(); len(got) > 0 {
				t.Errorf("%s got %v", p.jid, got)
			}
		}
		bob.send("<message to='ada@example.com' id='1'/>")
		if got, lower := ids(ada.now()), low.now(); !slices.Equal(got, []string{"1"}) || len(lower) > 0 {
			t.Errorf("ada got %v, and of lower priority %v", got, lower)
		}
		bob.send("<presence type='probe' to='ada@example.com/a'/>")
		if got := bob.now(); !slices.Equal(got, []string{"<presence from='ada@example.com/a' to='bob@example.com/b'><priority>7</priority></presence>"}) {
			t.Errorf("probe got %v", got)
		}
		ada.close()
		const gone = "<presence type='unavailable' from='ada@example.com/a' to='"
		if got := bob.now(); !slices.Equal(got, []string{gone + "bob@example.com'/>"}) {
			t.Errorf("bob got %v", got)
		}
		if got := cleo.now(); !slices.Equal(got, []string{gone + "cleo@example.com/c'/>"}) {
			t.Errorf("cleo, to whom presence was directed, got %v", got)
		}
	})
}

// What a session is attached with is in its hands, whether the store still has
// it or not; the rest comes from the inbox, behind it.
func TestAttachedItems(t *testing.T) {
	m := newMemory("ada")
	gone := m.put("ada", "gone")
	m.apply(&store.Delivered{Account: "ada", Items: []link.Item{gone}})
	had, queued := m.put("ada", "had"), m.put("ada", "queued")
	m.put("ada", "waits")
	inMemory(t, m, func(t *testing.T, w *world) {
		high := here("ada@example.com/a")
		high.presence.Add(stanza.New(stanza.NSClient, "priority").AddText("1"))
		s := attached("ada@example.com/a", high)
		s.Last = 9
		s.Queue = []link.Delivery{{N: 6, Item: had}, {N: 7, Item: gone, Bytes: []byte("<message/>")}, {N: 8, Bytes: []byte("<iq/>")}, {N: 9, Item: queued, Bytes: []byte("<message/>")}}
		ada := w.attach(s)
		// Its peer has acknowledged this one, and the leader before did not
		// live to know.
		w.r.Delivered(s.Ref, 6)
		later := w.attach(attached("ada@example.com/later", here("ada@example.com/later")))
		w.r.Settled()
		if got, others := ids(ada.now()), later.now(); !slices.Equal(got, []string{"waits"}) || len(others) > 0 {
			t.Errorf("ada got %v, the other resource %v; want waits, nothing", got, others)
		}
		time.Sleep(ackDelay)
		synctest.Wait()
		if got := len(m.inbox["ada"]); got != 2 {
			t.Errorf("%d messages in the inbox; want queued and waits", got)
		}
		ada.send("<message to='ada@example.com/a' id='new'/>")
		if got := ids(ada.now()); !slices.Equal(got, []string{"new"}) {
			t.Errorf("ada got %v; want new", got)
		}
		ada.close()
		// What another holds, or the store has not, goes to nobody.
		if got := ids(later.now()); !slices.Equal(got, []string{"queued", "waits", "new"}) {
			t.Errorf("the other resource got %v; want queued, waits, new", got)
		}
		w.r.Delivered(later.ref, later.last)
		time.Sleep(ackDelay)
		synctest.Wait()
		if got := len(m.inbox["ada"]); got != 0 {
			t.Errorf("%d messages in the inbox; want none", got)
		}
	})
}

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

// A session that is not known yet may be attached before the leader settles.
func TestResumeBeforeSettled(t *testing.T) {
	inMemory(t, newMemory("ada"), func(t *testing.T, w *world) {
		s := newAda()
		answers := make(chan error, 3)
		resume := func(id link.SessionID, ctx context.Context) {
			_, err := w.r.Resume(ctx, link.Resume{ID: id, Account: s.JID.Bare()}, &peer{w: w})
			answers <- err
		}
		short, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		go resume(s.Ref.ID, t.Context())
		synctest.Wait()
		if len(answers) > 0 {
			t.Errorf("Resume = %v before it is known", <-answers)
		}
		s.Detached = true
		w.attach(s)
		if err := <-answers; err != nil {
			t.Errorf("Resume = %v", err)
		}
		go resume(newRef().ID, t.Context())
		go resume(newRef().ID, short)
		if err := <-answers; !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Resume, given up = %v", err)
		}
		if err := <-answers; err != link.ErrNoSession {
			t.Errorf("Resume of nobody's = %v; want %v", err, link.ErrNoSession)
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

func TestDetach(t *testing.T) {
	m := newMemory("ada", "bob")
	m.befriend("ada", "bob")
	const gone = "<presence type='unavailable' from='ada@example.com/a' to='bob@example.com'/>"
	t.Run("not resumable", func(t *testing.T) {
		inMemory(t, m, func(t *testing.T, w *world) {
			w.r.Settled()
			bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
			ada := w.attach(attached("ada@example.com/a", here("ada@example.com/a")))
			w.r.Detach(ada.ref)
			if got := bob.now(); !slices.Equal(got, []string{gone}) {
				t.Errorf("bob got %v", got)
			}
		})
	})
	t.Run("resumable", func(t *testing.T) {
		inMemory(t, m, func(t *testing.T, w *world) {
			w.r.Settled()
			bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
			s := newAda()
			ada := w.attach(s)
			w.r.Detach(ada.ref)
			for i := range windowItems + 2 {
				bob.send(fmt.Sprintf("<message to='ada@example.com' id='%d'/>", i))
			}
			bob.send("<iq type='get' id='q' to='ada@example.com/a'><query xmlns='x'/></iq>")
			time.Sleep(time.Minute - time.Second)
			if got := bob.now(); len(got) > 0 || bob.confirmed != bob.seq {
				t.Errorf("bob got %v, confirmed %d of %d", got, bob.confirmed, bob.seq)
			}
			c, err := w.r.Connected(t.Context())
			if diff := cmp.Diff(Connected{Sessions: 1, Detached: 1, Resources: map[string][]string{"bob": {"b"}}}, c); diff != "" || err != nil {
				t.Errorf("Connected: %v\n%s", err, diff)
			}
			p := &peer{w: w, ref: link.Ref{ID: s.Ref.ID, Epoch: 1}, last: windowItems + 1}
			again, err := w.r.Resume(t.Context(), link.Resume{ID: s.Ref.ID, Account: s.JID.Bare()}, p)
			if err != nil || len(again.Queue) != windowItems+1 {
				t.Fatalf("Resume = %d deliveries, %v; want %d", len(again.Queue), err, windowItems+1)
			}
			// It does not end any more when its time would have been over.
			time.Sleep(2 * time.Second)
			w.r.Delivered(p.ref, windowItems+1)
			time.Sleep(ackDelay)
			if got := ids(p.now()); !slices.Equal(got, []string{fmt.Sprint(windowItems), fmt.Sprint(windowItems + 1)}) {
				t.Errorf("after it has resumed it got %v", got)
			}
			w.r.Detach(p.ref)
			time.Sleep(time.Minute)
			if got := bob.now(); !slices.Equal(got, []string{gone}) {
				t.Errorf("bob got %v", got)
			}
			if got := p.over(); got != "connection-timeout" {
				t.Errorf("the relay was told %q", got)
			}
			if n := len(m.inbox["ada"]); n != 2 {
				t.Errorf("%d messages wait; want 2", n)
			}
			m.inbox["ada"] = nil
		})
	})
	t.Run("replaced by a new session", func(t *testing.T) {
		inMemory(t, m, func(t *testing.T, w *world) {
			w.r.Settled()
			s := newAda()
			s.Detached = true
			old := w.attach(s)
			w.connect("ada", "a")
			if got := old.over(); got != "conflict" {
				t.Errorf("the relay was told %q; want conflict", got)
			}
		})
	})
}

func TestLost(t *testing.T) {
	m := newMemory("ada", "bob")
	m.befriend("ada", "bob")
	const gone = "<presence type='unavailable' from='ada@example.com/a' to='bob@example.com'/>"
	inMemory(t, m, func(t *testing.T, w *world) {
		w.r.Settled()
		bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
		s := attached("ada@example.com/a", here("ada@example.com/a"))
		ada := w.attach(s)
		synctest.Wait()
		lease := ada.memo
		w.r.Lost(ada, nil)
		bob.send("<iq type='get' id='q' to='ada@example.com/a'><query xmlns='x'/></iq>")
		bob.send("<message to='ada@example.com' id='1'/>")
		time.Sleep(lostGrace - time.Second)
		if got := ada.now(); len(got) > 0 {
			t.Errorf("an edge that is lost got %v", got)
		}
		// Its relay comes back: it gets what it has missed, under the numbers
		// that it goes on with.
		s.Memo = lease
		back := w.attach(s)
		if got := back.now(); len(got) != 2 || !strings.HasPrefix(got[0], "<iq") || ids(got)[0] != "1" || back.over() != "" {
			t.Errorf("after it was attached again it got %v, ended with %q", got, back.ended)
		}
		time.Sleep(2 * time.Second)
		if got := bob.now(); len(got) > 0 {
			t.Errorf("bob got %v", got)
		}
		// It stays away for longer than the grace, and comes back yet.
		w.r.Lost(back, nil)
		time.Sleep(lostGrace)
		if got := bob.now(); !slices.Equal(got, []string{gone}) {
			t.Errorf("bob got %v", got)
		}
		w.attach(s)
		if got := bob.now(); !slices.Equal(got, []string{"<presence from='ada@example.com/a' to='bob@example.com'/>"}) {
			t.Errorf("bob got %v", got)
		}
	})
}

// A lost node's sessions are left to the leader's own, which is told what comes
// for them until their relay, or their client, is back.
func TestKept(t *testing.T) {
	m := newMemory("ada", "bob")
	m.befriend("ada", "bob")
	for _, tc := range []struct {
		name string
		// back ends the keeping, and returns who is told from then on.
		back func(t *testing.T, w *world, s link.Session, lease []byte) *peer
		// ended is what the keeper is told, and bob how many presences.
		ended string
		bob   int
	}{
		{"its relay is back", func(t *testing.T, w *world, s link.Session, lease []byte) *peer {
			s.Memo = lease
			return w.attach(s)
		}, "conflict", 0},
		{"its client resumes elsewhere", func(t *testing.T, w *world, s link.Session, _ []byte) *peer {
			p := &peer{w: w, jid: s.JID, ref: link.Ref{ID: s.Ref.ID, Epoch: s.Ref.Epoch + 1}}
			got, err := w.r.Resume(t.Context(), link.Resume{ID: s.Ref.ID, Account: s.JID, H: 0}, p)
			if err != nil || len(got.Queue) != 1 {
				t.Fatalf("Resume = %+v, %v; want a queue of one", got, err)
			}
			p.last = got.Last
			return p
		}, "conflict", 0},
		{"nobody is back", func(*testing.T, *world, link.Session, []byte) *peer {
			time.Sleep(time.Minute)
			return nil
		}, "connection-timeout", 1},
	} {
		t.Run(tc.name, func(t *testing.T) {
			inMemory(t, m, func(t *testing.T, w *world) {
				w.r.Settled()
				bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
				s := attached("ada@example.com/a", here("ada@example.com/a"))
				s.Enabled, s.Enable = true, link.Enable{Keep: 30 * time.Second}
				ada, to := w.attach(s), &keeper{peer: &peer{w: w, jid: s.JID}}
				synctest.Wait()
				w.r.Lost(ada, to)
				bob.send("<iq type='get' id='q' to='ada@example.com/a'><query xmlns='x'/></iq>")
				synctest.Wait()
				if len(to.kept) != 1 || to.kept[0].Ref != s.Ref || !to.kept[0].Detached || !slices.Equal(to.kept[0].Memo, ada.memo) {
					t.Fatalf("kept: %+v; want the session, detached, with its memo", to.kept)
				}
				if got := to.now(); len(got) != 1 || !strings.HasPrefix(got[0], "<iq") {
					t.Errorf("the keeper was told %v; want the iq", got)
				}
				back := tc.back(t, w, s, ada.memo)
				if got := to.over(); got != tc.ended {
					t.Errorf("the keeper's ended with %q; want %q", got, tc.ended)
				}
				if got := bob.now(); len(got) != tc.bob {
					t.Errorf("bob got %v; want %d", got, tc.bob)
				}
				if back == nil {
					return
				}
				back.now()
				bob.send("<iq type='get' id='r' to='ada@example.com/a'><query xmlns='x'/></iq>")
				if got, left := back.now(), to.now(); len(got) != 1 || len(left) != 0 {
					t.Errorf("afterwards it was told %v, and the keeper %v; want the iq, and nothing", got, left)
				}
			})
		})
	}
}

// keeper notes what it is left.
type keeper struct {
	*peer
	kept []link.Session
}

func (k *keeper) Keep(s link.Session) { k.ref, k.kept = s.Ref, append(k.kept, s) }

// A mirror has announced a session, there was something for it, and then the
// session's own node comes back with more than the mirror knew.
func TestAttachReplaces(t *testing.T) {
	m := newMemory("ada", "bob")
	inMemory(t, m, func(t *testing.T, w *world) {
		first := m.put("ada", "first")
		s := newAda()
		s.Last, s.Queue = 3, []link.Delivery{{N: 2, Bytes: []byte("<iq id='2'/>")}, {N: 3, Bytes: []byte("<iq id='3'/>")}}
		mirror := s
		mirror.Detached = true
		orphan := w.attach(mirror)
		w.r.Settled()
		bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
		bob.send("<message type='headline' to='ada@example.com/a' id='now'/>")
		if got := orphan.now(); len(got) > 0 {
			t.Errorf("mirror got %v; want nothing", got)
		}
		s.Last = 5
		s.Queue = []link.Delivery{{N: 3, Bytes: []byte("<iq id='3'/>")}, {N: 4, Item: first, Bytes: []byte("<message id='first'/>")}, {N: 5, Bytes: []byte("<iq id='5'/>")}}
		ada := w.attach(s)
		if got := ids(ada.now()); !slices.Equal(got, []string{"now"}) {
			t.Errorf("node got %v; want now", got)
		}
		if got := orphan.over(); got != "conflict" {
			t.Errorf("mirror was told %q", got)
		}
		w.r.Delivered(s.Ref, 4)
		time.Sleep(ackDelay)
		synctest.Wait()
		if n := len(m.inbox["ada"]); n != 0 {
			t.Errorf("%d messages wait; want none", n)
		}
	})
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

// The client of an orphan may have more than the mirror that announced it: no
// number is given before it is known how much.
func TestOrphan(t *testing.T) {
	message := func(id string) []byte { return []byte("<message id='" + id + "'/>") }
	orphaned := func(t *testing.T, settled bool, f func(w *world, m *memory, s link.Session, bob *peer)) {
		m := newMemory("ada", "bob")
		inMemory(t, m, func(t *testing.T, w *world) {
			one, two := m.put("ada", "1"), m.put("ada", "2")
			m.put("ada", "3")
			s := newAda()
			s.Detached, s.Last = true, 2
			s.Queue = []link.Delivery{{N: 1, Item: one, Bytes: message("1")}, {N: 2, Item: two, Bytes: message("2")}}
			orphan := w.attach(s)
			bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
			if settled {
				w.r.Settled()
				bob.send("<message type='headline' to='ada@example.com/a' id='h1'/>")
				bob.send("<message to='ada@example.com' id='4'/>")
				bob.send("<message type='headline' to='ada@example.com' id='h2'/>")
			}
			if got := orphan.now(); len(got) > 0 || orphan.over() != "" {
				t.Errorf("the mirror got %v, ended %q; want nothing", got, orphan.ended)
			}
			f(w, m, s, bob)
		})
	}
	resume := func(w *world, s link.Session, h uint32, last uint64) (link.Session, *peer, error) {
		p := &peer{w: w, ref: link.Ref{ID: s.Ref.ID, Epoch: 1}, jid: s.JID, last: last}
		got, err := w.r.Resume(w.t.Context(), link.Resume{ID: s.Ref.ID, Account: s.JID.Bare(), H: h}, p)
		return got, p, err
	}
	acked := func() {
		time.Sleep(ackDelay)
		synctest.Wait()
	}
	for h, want := range [][]string{{"1", "2", "h1", "h2"}, {"2", "h1", "h2"}, {"h1", "h2"}} {
		t.Run(fmt.Sprint("resumed with ", h), func(t *testing.T) {
			orphaned(t, true, func(w *world, m *memory, s link.Session, bob *peer) {
				got, p, err := resume(w, s, uint32(h), 4)
				if err != nil {
					t.Fatal(err)
				}
				var queue []string
				for i, d := range got.Queue {
					queue = append(queue, ids([]string{string(d.Bytes)})...)
					if d.N != uint64(h+i+1) {
						t.Errorf("delivery %d at %d", d.N, i)
					}
				}
				if !slices.Equal(queue, want) || got.Last != 4 {
					t.Errorf("resumed with %v up to %d; want %v up to 4", queue, got.Last, want)
				}
				// What waits in the inbox comes, what was covered does not.
				if got := ids(p.now()); !slices.Equal(got, []string{"3", "4"}) {
					t.Errorf("then got %v; want 3, 4", got)
				}
				bob.send("<message type='headline' to='ada@example.com' id='h3'/>")
				if got := ids(p.now()); !slices.Equal(got, []string{"h3"}) {
					t.Errorf("at last got %v; want h3", got)
				}
				acked()
				if n := len(m.inbox["ada"]); n != 4-h {
					t.Errorf("%d messages wait; want %d", n, 4-h)
				}
			})
		})
	}
	t.Run("its client has more", func(t *testing.T) {
		orphaned(t, true, func(w *world, m *memory, s link.Session, bob *peer) {
			if _, _, err := resume(w, s, 3, 0); err != link.ErrCount {
				t.Fatalf("Resume = %v; want %v", err, link.ErrCount)
			}
			ada := w.connect("ada", "a")
			ada.send("<presence/>")
			// 1 and 2 it has said to have; of 3 nothing is known.
			if got := ids(ada.now()); !slices.Equal(got, []string{"3", "4"}) {
				t.Errorf("bound anew it got %v; want 3, 4", got)
			}
			acked()
			if n := len(m.inbox["ada"]); n != 2 {
				t.Errorf("%d messages wait; want 2", n)
			}
		})
	})
	t.Run("its client has less than it said", func(t *testing.T) {
		orphaned(t, true, func(w *world, m *memory, s link.Session, bob *peer) {
			if _, _, err := resume(w, s, math.MaxUint32, 0); err != link.ErrCount {
				t.Fatalf("Resume = %v; want %v", err, link.ErrCount)
			}
			acked()
			if n := len(m.inbox["ada"]); n != 4 {
				t.Errorf("%d messages wait; want 4", n)
			}
		})
	})
	t.Run("its client has more, and its own node may yet say so", func(t *testing.T) {
		orphaned(t, false, func(w *world, m *memory, s link.Session, bob *peer) {
			answer := make(chan error, 1)
			go func() {
				_, _, err := resume(w, s, 3, 3)
				answer <- err
			}()
			synctest.Wait()
			if len(answer) > 0 {
				t.Fatalf("Resume = %v at once", <-answer)
			}
			s.Detached, s.Last = false, 3
			s.Queue = append(slices.Clone(s.Queue), link.Delivery{N: 3, Item: 3, Bytes: message("3")})
			w.attach(s)
			if err := <-answer; err != nil {
				t.Errorf("Resume = %v", err)
			}
			w.r.Settled()
			acked()
			if n := len(m.inbox["ada"]); n != 0 {
				t.Errorf("%d messages wait; want none", n)
			}
		})
	})
	t.Run("it closes", func(t *testing.T) {
		orphaned(t, true, func(w *world, m *memory, s link.Session, bob *peer) {
			later := w.attach(attached("ada@example.com/later", memo{}))
			later.send("<presence><priority>-1</priority></presence>")
			later.now()
			later.send("<presence/>")
			if got := ids(later.now()); !slices.Equal(got, []string{"3", "4"}) {
				t.Errorf("another resource got %v; want 3, 4", got)
			}
			time.Sleep(time.Minute)
			if got := ids(later.now()); !slices.Equal(got, []string{"1", "2"}) {
				t.Errorf("another resource got %v; want 1, 2", got)
			}
		})
	})
	t.Run("too much waits", func(t *testing.T) {
		orphaned(t, true, func(w *world, m *memory, s link.Session, bob *peer) {
			for range maxLate - 1 {
				bob.send("<message type='headline' to='ada@example.com' id='x'/>")
			}
			got, _, err := resume(w, s, 2, maxLate+2)
			if err != nil || len(got.Queue) != maxLate {
				t.Fatalf("Resume = %d deliveries, %v; want %d", len(got.Queue), err, maxLate)
			}
			// The oldest has gone.
			if first := ids([]string{string(got.Queue[0].Bytes)}); first[0] != "h2" {
				t.Errorf("the first is %v; want h2", first)
			}
		})
	})
}

// A relay that comes back with an older memo, as the link broke before the
// newer came, does not undo what its session has said since.
func TestOlderMemo(t *testing.T) {
	inMemory(t, newMemory("ada", "bob"), func(t *testing.T, w *world) {
		w.r.Settled()
		s := attached("ada@example.com/a", memo{})
		w.attach(s).send("<presence/>")
		bob := w.attach(attached("bob@example.com/b", memo{}))
		back := w.attach(s)
		back.send("<presence/>")
		bob.send("<message to='ada@example.com' id='1'/>")
		if got := ids(back.now()); !slices.Equal(got, []string{"1"}) || back.over() != "" {
			t.Errorf("ada got %v, ended %q; want 1", got, back.ended)
		}
	})
}

// A number that was applied is confirmed and has no further effect; a gap ends
// the session.
func TestNumbers(t *testing.T) {
	m := newMemory("ada", "bob")
	inMemory(t, m, func(t *testing.T, w *world) {
		bob := w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
		s := newAda()
		s.Confirmed = 4
		// The leader before has put it, and said so to nobody.
		m.apply(&store.MessagePut{Session: s.Ref.ID, Seq: 6, Account: "bob", Stamp: time.Now(), Stanza: []byte("<message xmlns='jabber:client' id='6'/>")})
		m.applies = 0
		ada := w.attach(s)
		send := func(seq uint64, xml string) { w.r.Send(s.Ref, seq, parse(t, xml)) }
		send(5, "<presence/>")
		send(6, "<message to='bob@example.com' id='6'/>")
		send(7, "<message to='bob@example.com' id='7'/>")
		w.r.Settled()
		if got := ids(bob.now()); !slices.Equal(got, []string{"6", "7"}) || ada.confirmed != 7 {
			t.Errorf("bob got %v, confirmed %d; want 6, 7", got, ada.confirmed)
		}
		before := m.applies
		ada.confirmed = 0
		send(6, "<message to='nobody@example.com' id='6'/>")
		send(7, "<message to='bob@example.com' id='7'/>")
		if got, mine := bob.now(), ids(ada.now()); len(got) > 0 || len(mine) > 0 || m.applies != before || ada.confirmed != 7 {
			t.Errorf("sent again: bob got %v, ada %v, %d applies, confirmed %d", got, mine, m.applies-before, ada.confirmed)
		}
		send(9, "<message to='bob@example.com' id='9'/>")
		if got := ada.over(); got != "internal-server-error" || len(bob.now()) > 0 {
			t.Errorf("after a gap the session ended with %q", got)
		}
	})
}

// The store forgets numbers when nobody will use them.
func TestNumbersAreForgotten(t *testing.T) {
	m := newMemory("ada")
	inMemory(t, m, func(t *testing.T, w *world) {
		known := func(ids ...link.SessionID) (n int) {
			synctest.Wait()
			ms, _ := m.Sessions()
			for _, v := range ms {
				if slices.Contains(ids, v.ID) {
					n++
				}
			}
			return n
		}
		old, fresh, live := newRef().ID, newRef().ID, newAda()
		for id, age := range map[link.SessionID]time.Duration{old: numbersKept + time.Second, fresh: time.Minute, live.Ref.ID: time.Hour} {
			m.marks[id] = store.SessionMark{ID: id, Seq: 1, Stamp: time.Now().Add(-age)}
		}
		live.Confirmed = 1
		ada := w.attach(live)
		w.r.Settled()
		time.Sleep(endDelay)
		if known(old) != 0 || known(fresh, live.Ref.ID) != 2 {
			t.Errorf("after a second %d old, %d others are known; want 0, 2", known(old), known(fresh, live.Ref.ID))
		}
		time.Sleep(2 * sweepAllEvery)
		if known(fresh) != 0 || known(live.Ref.ID) != 1 {
			t.Errorf("after some sweeps %d unknown, %d live are known; want 0, 1", known(fresh), known(live.Ref.ID))
		}
		ada.close()
		time.Sleep(numbersEnded - time.Second)
		if known(live.Ref.ID) != 1 {
			t.Error("the number of a session that has ended is forgotten at once")
		}
		time.Sleep(sweepEvery + 2*endDelay)
		if known(live.Ref.ID) != 0 {
			t.Error("the number of a session that has ended is never forgotten")
		}
	})
}

func TestQueueIsBounded(t *testing.T) {
	for _, tt := range []struct {
		name, fill string
		fits       int
	}{
		{"entries", "", maxQueue},
		{"bytes", strings.Repeat("x", 200<<10), 20},
	} {
		t.Run(tt.name, func(t *testing.T) {
			m := newMemory("ada", "bob")
			inMemory(t, m, func(t *testing.T, w *world) {
				w.r.Settled()
				ada, bob := w.attach(newAda()), w.attach(attached("bob@example.com/b", here("bob@example.com/b")))
				ada.send("<message to='ada@example.com' id='kept'/>")
				w.r.Detach(ada.ref)
				xml := "<iq type='get' id='q' to='ada@example.com/a'><query xmlns='x'>" + tt.fill + "</query></iq>"
				for range tt.fits - 1 {
					bob.send(xml)
				}
				if ada.over() != "" || len(bob.now()) > 0 {
					t.Fatalf("ended with %q", ada.ended)
				}
				bob.send(xml)
				bob.send(xml)
				if got := ada.over(); got != "resource-constraint" {
					t.Errorf("ended with %q; want resource-constraint", got)
				}
				if bob.over() != "" || bob.confirmed != bob.seq || len(m.inbox["ada"]) != 1 {
					t.Errorf("sender confirmed %d of %d, ended with %q; %d messages kept", bob.confirmed, bob.seq, bob.ended, len(m.inbox["ada"]))
				}
			})
		})
	}
}

// Whoever attaches the session to another leader after a Confirm has what the
// stanza changed.
func TestMemoComesBeforeConfirm(t *testing.T) {
	m := newMemory("ada", "bob")
	inMemory(t, m, func(t *testing.T, w *world) {
		w.r.Settled()
		e := &recorder{}
		ref := newRef()
		j, _ := jid.New("ada", domain, "")
		if _, err := w.r.Open(t.Context(), link.Open{Ref: ref, JID: j, Resource: "a"}, e); err != nil {
			t.Fatal(err)
		}
		for i, tt := range []struct {
			xml  string
			want func(memo) bool
		}{
			{"<presence><priority>3</priority></presence>", func(m memo) bool { return m.presence != nil }},
			{"<iq type='get' id='r'><query xmlns='jabber:iq:roster'/></iq>", func(m memo) bool { return m.interested }},
			{"<presence to='bob@example.com/x'/>", func(m memo) bool { return len(m.directed) == 1 }},
			{"<presence type='unavailable' to='bob@example.com/x'/>", func(m memo) bool { return len(m.directed) == 0 }},
			{"<presence type='unavailable'/>", func(m memo) bool { return m.presence == nil && m.interested }},
		} {
			w.r.Send(ref, uint64(i+1), parse(t, tt.xml))
			synctest.Wait()
			if n := len(e.calls); n < 2 || e.calls[n-1] != "confirm" || e.calls[n-2] != "memo" {
				t.Errorf("%s: calls %v; want memo and confirm last", tt.xml, e.calls)
			}
			if m, err := decodeMemo(e.memo); err != nil || !tt.want(m) {
				t.Errorf("%s: memo %+v, %v", tt.xml, m, err)
			}
			e.calls = nil
		}
	})
}

// recorder is an edge that notes the calls.
type recorder struct {
	calls []string
	memo  []byte
}

func (e *recorder) Deliver(link.Ref, link.Delivery) { e.calls = append(e.calls, "deliver") }
func (e *recorder) Confirm(link.Ref, uint64)        { e.calls = append(e.calls, "confirm") }
func (e *recorder) End(link.Ref, string)            { e.calls = append(e.calls, "end") }
func (e *recorder) Memo(_ link.Ref, memo []byte) {
	e.calls, e.memo = append(e.calls, "memo"), memo
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
