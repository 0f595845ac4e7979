package supervise

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"parley/init/initapi"
	"parley/services/problem"
)

func plain(f func()) { f() }

// boot runs a supervisor of specs until the returned stop, without jitter.
func boot(m *Memory, specs ...Spec) (s *Supervisor, stop func()) {
	s = New(specs, m, slog.New(slog.DiscardHandler), plain)
	for _, svc := range s.services {
		svc.jitter = func() float64 { return 1 }
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.Run(ctx)
	}()
	synctest.Wait()
	return s, func() { cancel(); <-done }
}

func TestBackOff(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		s, stop := boot(m, Spec{Name: "xmpp"})
		defer stop()
		var got []time.Duration
		// crash ends the process after it was up for a while, and measures how
		// long it takes until the next start.
		crash := func(up time.Duration) {
			time.Sleep(up)
			m.Log()
			m.Process("xmpp").End(Exit{Code: 2})
			at := time.Now()
			for {
				synctest.Wait()
				if len(m.Log()) > 0 {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			got = append(got, time.Since(at))
		}
		for range 8 {
			crash(0)
		}
		crash(59 * time.Second)
		crash(61 * time.Second)
		crash(0)
		want := []time.Duration{
			500 * time.Millisecond, time.Second, 2 * time.Second, 4 * time.Second, 8 * time.Second, 16 * time.Second, maxDelay, maxDelay,
			maxDelay, firstDelay, 2 * firstDelay,
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("delays (-want +got):\n%s", diff)
		}
		st := s.Status()[0]
		if !st.Running || st.Restarts != len(want) || st.LastExit != "exit status 2" || !st.NextStart.IsZero() {
			t.Errorf("Status = %+v; want running after %d restarts", st, len(want))
		}
	})
}

func TestJitterStaysBelowTheBound(t *testing.T) {
	for _, j := range []float64{0, 0.5, 0.999} {
		s := &service{jitter: func() float64 { return j }}
		for failures := range 100 {
			full := min(maxDelay, firstDelay<<min(failures, 10))
			if d := s.delay(failures); d > full || d < full*3/4 {
				t.Errorf("delay(%d) with jitter %v = %v; want %v to %v", failures, j, d, full*3/4, full)
			}
		}
	}
}

func TestStatusWhileWaiting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		s, stop := boot(m, Spec{Name: "xmpp"})
		defer stop()
		m.Process("xmpp").End(Exit{Signal: unix.SIGSEGV})
		synctest.Wait()
		want := []initapi.Service{{Name: "xmpp", Restarts: 1, LastExit: "killed by SIGSEGV", Since: time.Now(), NextStart: time.Now().Add(firstDelay)}}
		if diff := cmp.Diff(want, s.Status()); diff != "" {
			t.Errorf("Status (-want +got):\n%s", diff)
		}
	})
}

func TestOrderOfStartAndStop(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{Stubborn: map[string]bool{"xmpp": true}, Broken: map[string]error{"gone": errors.New("no program")}}
		_, stop := boot(m, Spec{Name: "network", StopWait: time.Second}, Spec{Name: "xmpp", StopWait: 10 * time.Second},
			Spec{Name: "gone"}, Spec{Name: "sshd", StopWait: time.Second})
		at := time.Now()
		stop()
		want := []string{"start network", "start xmpp", "broken gone", "start sshd", "term sshd", "term xmpp", "abort xmpp", "kill xmpp", "term network"}
		if diff := cmp.Diff(want, m.Log()); diff != "" {
			t.Errorf("log (-want +got):\n%s", diff)
		}
		if took := time.Since(at); took != 11*time.Second {
			t.Errorf("stop took %v; want the deadlines of xmpp", took)
		}
	})
}

func TestAwait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		there := t.TempDir()
		m := &Memory{}
		at := time.Now()
		_, stop := boot(m, Spec{Name: "network"}, Spec{Name: "console", Await: there})
		if diff := cmp.Diff([]string{"start network", "start console"}, m.Log()); diff != "" || time.Since(at) != 0 {
			t.Errorf("after %v, log (-want +got):\n%s", time.Since(at), diff)
		}
		stop()
		m.Log()
		s, stop := boot(m, Spec{Name: "console", Await: there + "/absent"})
		if l := m.Log(); len(l) != 0 {
			t.Errorf("log = %v; want no start before the file is there", l)
		}
		<-s.Started()
		if took := time.Since(at); took != awaitMax {
			t.Errorf("started after %v; want after %v all the same", took, awaitMax)
		}
		stop()
	})
}

func TestSessionStartsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		s, stop := boot(m, Spec{Name: "console", Session: true})
		defer stop()
		for _, tt := range []struct {
			name     string
			up       time.Duration
			exit     Exit
			running  bool
			restarts int
		}{
			{"logout", time.Minute, Exit{}, true, 0},
			{"crash in a session", time.Minute, Exit{Code: 2}, true, 1},
			{"ends at once", 0, Exit{}, false, 2},
		} {
			time.Sleep(tt.up)
			m.Process("console").End(tt.exit)
			synctest.Wait()
			if st := s.Status()[0]; st.Running != tt.running || st.Restarts != tt.restarts {
				t.Errorf("%s: running %v, restarts %d; want %v, %d", tt.name, st.Running, st.Restarts, tt.running, tt.restarts)
			}
		}
	})
}

func TestRestart(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := &Memory{}
		s, stop := boot(m, Spec{Name: "xmpp", StopWait: time.Second})
		defer stop()
		at := time.Now()
		if err := s.Restart(t.Context(), "xmpp"); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff([]string{"start xmpp", "term xmpp", "start xmpp"}, m.Log()); diff != "" || time.Since(at) != 0 {
			t.Errorf("Restart took %v, log (-want +got):\n%s", time.Since(at), diff)
		}
		// While it waits for its next start, Restart is that start.
		m.Process("xmpp").End(Exit{Code: 1})
		synctest.Wait()
		if err := s.Restart(t.Context(), "xmpp"); err != nil {
			t.Fatal(err)
		}
		if st := s.Status()[0]; !st.Running || st.Restarts != 1 || time.Since(at) != 0 {
			t.Errorf("Status = %+v after %v; want running at once, 1 restart", st, time.Since(at))
		}
		if err := s.Restart(t.Context(), "nobody"); problem.CodeOf(err) != problem.NoSuchService {
			t.Errorf("Restart of nobody = %v; want NoSuchService", err)
		}
	})
}

func TestExitString(t *testing.T) {
	for _, tt := range []struct {
		e    Exit
		want string
	}{{Exit{}, "exit status 0"}, {Exit{Code: 3}, "exit status 3"}, {Exit{Signal: unix.SIGKILL}, "killed by SIGKILL"}, {Exit{Signal: unix.SIGKILL, OOM: true}, "out of memory"}} {
		if got := tt.e.String(); got != tt.want {
			t.Errorf("String = %q; want %q", got, tt.want)
		}
	}
}
