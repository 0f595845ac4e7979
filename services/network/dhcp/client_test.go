package dhcp

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
)

// memoryWire answers as the test's function says and notes what was asked,
// and when, since its start.
type memoryWire struct {
	start  time.Time
	log    []string
	answer func(kind string, n int) error
	count  map[string]int
	life   time.Duration
}

var (
	_         Wire = (*memoryWire)(nil)
	errSilent      = errors.New("silence")
	// errHang stands for silence that lasts until the attempt has to end.
	errHang = errors.New("hang")
)

func (w *memoryWire) ask(ctx context.Context, kind string, hint any) (Lease, error) {
	w.count[kind]++
	w.log = append(w.log, fmt.Sprintf("%v %s %v", time.Since(w.start).Round(time.Second), kind, hint))
	if err := w.answer(kind, w.count[kind]); err != nil {
		if err == errHang {
			<-ctx.Done()
		}
		return Lease{}, err
	}
	now := time.Now()
	l := Lease{Server: netip.MustParseAddr("10.0.0.1"), Address: netip.MustParsePrefix("10.0.0.7/24")}
	if w.life > 0 {
		l.Renew, l.Rebind, l.Expires = now.Add(w.life/2), now.Add(w.life/8*7), now.Add(w.life)
	}
	return l, nil
}

func (w *memoryWire) Acquire(ctx context.Context, hint netip.Addr) (Lease, error) {
	return w.ask(ctx, "acquire", hint)
}
func (w *memoryWire) Verify(ctx context.Context, l Lease) (Lease, error) {
	return w.ask(ctx, "verify", l.Address)
}
func (w *memoryWire) Renew(ctx context.Context, l Lease) (Lease, error) {
	return w.ask(ctx, "renew", l.Address)
}
func (w *memoryWire) Rebind(ctx context.Context, l Lease) (Lease, error) {
	return w.ask(ctx, "rebind", l.Address)
}
func (w *memoryWire) Release(l Lease) error {
	_, err := w.ask(context.Background(), "release", l.Address)
	return err
}

// run runs a client for that long; drive may change the carrier meanwhile. It
// returns what was asked and what was reported.
func run(t *testing.T, d, life time.Duration, cause error, answer func(string, int) error, drive func(*Client)) (asked, reported []string) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		w := &memoryWire{start: time.Now(), answer: answer, count: map[string]int{}, life: life}
		c := New(w, netip.Addr{}, func(l *Lease) {
			what := "lost"
			if l != nil {
				what = l.Address.String()
			}
			reported = append(reported, fmt.Sprintf("%v %s", time.Since(w.start).Round(time.Second), what))
		}, slog.New(slog.NewTextHandler(t.Output(), nil)))
		ctx, stop := context.WithCancelCause(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Run(ctx) }()
		if drive == nil {
			drive = func(c *Client) { c.Carrier(true) }
		}
		drive(c)
		time.Sleep(time.Until(w.start.Add(d)))
		stop(cause)
		<-done
		asked = w.log
	})
	return asked, reported
}

func TestLeaseIsKept(t *testing.T) {
	good := func(string, int) error { return nil }
	from := func(kind string, n int, err error) func(string, int) error {
		return func(k string, i int) error {
			if k == kind && i >= n {
				return err
			}
			return nil
		}
	}
	for _, tt := range []struct {
		name            string
		run, life       time.Duration
		cause           error
		answer          func(string, int) error
		drive           func(*Client)
		asked, reported []string
	}{
		{
			name: "renewed at T1", run: 250 * time.Second, life: 200 * time.Second, answer: good,
			asked:    []string{"0s acquire invalid IP", "1m40s renew 10.0.0.7/24", "3m20s renew 10.0.0.7/24"},
			reported: []string{"0s 10.0.0.7/24", "1m40s 10.0.0.7/24", "3m20s 10.0.0.7/24"},
		}, {
			// T1 is 500 s, T2 875 s, the end 1000 s.
			name: "rebound at T2", run: 900 * time.Second, life: 1000 * time.Second, answer: from("renew", 1, errSilent),
			asked: []string{"0s acquire invalid IP", "8m20s renew 10.0.0.7/24", "11m28s renew 10.0.0.7/24", "13m1s renew 10.0.0.7/24",
				"14m1s renew 10.0.0.7/24", "14m35s rebind 10.0.0.7/24"},
			reported: []string{"0s 10.0.0.7/24", "14m35s 10.0.0.7/24"},
		}, {
			name: "rebound at T2 after a renewal without end", run: 900 * time.Second, life: 1000 * time.Second, answer: from("renew", 1, errHang),
			asked:    []string{"0s acquire invalid IP", "8m20s renew 10.0.0.7/24", "14m35s rebind 10.0.0.7/24"},
			reported: []string{"0s 10.0.0.7/24", "14m35s 10.0.0.7/24"},
		}, {
			name: "expired", run: 1000*time.Second + 500*time.Millisecond, life: 1000 * time.Second,
			answer: func(k string, n int) error {
				if k == "acquire" && n == 1 {
					return nil
				}
				return errSilent
			},
			asked: []string{"0s acquire invalid IP", "8m20s renew 10.0.0.7/24", "11m28s renew 10.0.0.7/24", "13m1s renew 10.0.0.7/24",
				"14m1s renew 10.0.0.7/24", "14m35s rebind 10.0.0.7/24", "15m38s rebind 10.0.0.7/24",
				"16m38s rebind 10.0.0.7/24", "16m40s acquire 10.0.0.7"},
			reported: []string{"0s 10.0.0.7/24", "16m40s lost"},
		}, {
			name: "refused at renewal", run: 110 * time.Second, life: 200 * time.Second, answer: from("renew", 1, ErrNak),
			asked:    []string{"0s acquire invalid IP", "1m40s renew 10.0.0.7/24", "1m40s acquire invalid IP"},
			reported: []string{"0s 10.0.0.7/24", "1m40s lost", "1m40s 10.0.0.7/24"},
		}, {
			name: "without end", run: 240 * time.Hour, answer: good,
			asked:    []string{"0s acquire invalid IP"},
			reported: []string{"0s 10.0.0.7/24"},
		}, {
			name: "given back", run: time.Second, life: time.Hour, cause: ErrRelease, answer: good,
			asked:    []string{"0s acquire invalid IP", "1s release 10.0.0.7/24"},
			reported: []string{"0s 10.0.0.7/24"},
		}, {
			name: "verified when carrier is back", run: time.Minute, life: time.Hour, answer: good,
			drive: func(c *Client) {
				time.Sleep(5 * time.Second)
				c.Carrier(true)
				time.Sleep(5 * time.Second)
				c.Carrier(false)
				time.Sleep(5 * time.Second)
				c.Carrier(true)
			},
			asked:    []string{"5s acquire invalid IP", "15s verify 10.0.0.7/24"},
			reported: []string{"5s 10.0.0.7/24", "15s 10.0.0.7/24"},
		}, {
			name: "another network's", run: time.Minute, life: time.Hour, answer: from("verify", 1, ErrNak),
			drive: func(c *Client) {
				c.Carrier(true)
				time.Sleep(5 * time.Second)
				c.Carrier(false)
				time.Sleep(5 * time.Second)
				c.Carrier(true)
			},
			asked:    []string{"0s acquire invalid IP", "10s verify 10.0.0.7/24", "10s acquire invalid IP"},
			reported: []string{"0s 10.0.0.7/24", "10s lost", "10s 10.0.0.7/24"},
		}, {
			// A server that is down does not cost the address.
			name: "silence at verification", run: 31 * time.Minute, life: time.Hour, answer: from("verify", 1, errSilent),
			drive: func(c *Client) {
				c.Carrier(true)
				time.Sleep(5 * time.Second)
				c.Carrier(false)
				time.Sleep(5 * time.Second)
				c.Carrier(true)
			},
			asked:    []string{"0s acquire invalid IP", "10s verify 10.0.0.7/24", "30m0s renew 10.0.0.7/24"},
			reported: []string{"0s 10.0.0.7/24", "30m0s 10.0.0.7/24"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			asked, reported := run(t, tt.run, tt.life, tt.cause, tt.answer, tt.drive)
			if diff := cmp.Diff(tt.asked, asked); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			if diff := cmp.Diff(tt.reported, reported); diff != "" {
				t.Errorf("reported (-want +got):\n%s", diff)
			}
		})
	}
}

func TestBackoffGrowsAndCarrierEndsIt(t *testing.T) {
	var times []time.Duration
	synctest.Test(t, func(t *testing.T) {
		start := time.Now()
		w := &memoryWire{start: start, count: map[string]int{}, answer: func(string, int) error {
			times = append(times, time.Since(start))
			return errSilent
		}}
		c := New(w, netip.Addr{}, func(*Lease) {}, slog.New(slog.DiscardHandler))
		c.Carrier(true)
		ctx, stop := context.WithCancel(t.Context())
		done := make(chan struct{})
		go func() { defer close(done); c.Run(ctx) }()
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		n := len(times)
		c.Carrier(false)
		time.Sleep(10 * time.Minute)
		synctest.Wait()
		if len(times) != n {
			t.Errorf("%d attempts without carrier", len(times)-n)
		}
		c.Carrier(true)
		synctest.Wait()
		if len(times) != n+1 {
			t.Errorf("%d attempts when carrier is back; want one at once", len(times)-n)
		}
		times = times[:n]
		stop()
		<-done
	})
	for i, pause := 1, leastBackoff; i < len(times); i, pause = i+1, min(2*pause, mostBackoff) {
		if got := times[i] - times[i-1]; got < pause*3/4 || got > pause*5/4 {
			t.Errorf("pause %d is %v; want %v ± 25%%", i, got, pause)
		}
	}
	if len(times) < 15 || len(times) > 40 {
		t.Errorf("%d attempts in 10 minutes; want some 22", len(times))
	}
}
