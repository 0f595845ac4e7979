package router

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/link"
)

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
