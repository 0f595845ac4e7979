package router

import (
	"context"
	"log/slog"
	"strconv"
	"sync"
	"testing"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// lane is a client that sends to the next one and keeps a number of messages
// unconfirmed, as one with XEP-0198 does.
type lane struct {
	id   link.SessionID
	free chan struct{}
	acks chan link.Item

	mu        sync.Mutex
	confirmed uint64
}

func (l *lane) Confirm(_ link.SessionID, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; l.confirmed < seq; l.confirmed++ {
		l.free <- struct{}{}
	}
}

func (l *lane) Deliver(_ link.SessionID, d link.Delivery) {
	if d.Item != 0 {
		l.acks <- d.Item
	}
}

func (l *lane) End(_ link.SessionID, condition string) { panic("session ended: " + condition) }

// BenchmarkMessages is durable 100-byte messages between 100 clients: stored
// with fsync, delivered, acknowledged and removed.
func BenchmarkMessages(b *testing.B) {
	for _, inFlight := range []int{1, 16} {
		b.Run("inflight="+strconv.Itoa(inFlight), func(b *testing.B) { benchmark(b, 100, inFlight) })
	}
	b.Run("clients=2,inflight=1", func(b *testing.B) { benchmark(b, 2, 1) })
}

func benchmark(b *testing.B, clients, inFlight int) {
	st := store.New(store.Config{Dir: b.TempDir()}, store.Deps{Log: slog.New(slog.DiscardHandler)})
	if err := st.Open(); err != nil {
		b.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running, work, acking sync.WaitGroup
	running.Go(func() {
		if err := st.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	if err := st.WaitReady(ctx); err != nil {
		b.Fatal(err)
	}
	r := New(Config{Domain: domain}, Deps{Store: st, Log: slog.New(slog.DiscardHandler)})
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	lanes := make([]*lane, clients)
	for i := range lanes {
		name := "u" + strconv.Itoa(i)
		mustApply(b, st, &store.AccountAdd{Name: name})
		l := &lane{id: link.SessionID{byte(i), 1}, free: make(chan struct{}, inFlight+1), acks: make(chan link.Item, 2*windowItems)}
		j, err := jid.New(name, domain, "")
		if err == nil {
			_, err = r.Open(ctx, link.Open{ID: l.id, JID: j}, l)
		}
		if err != nil {
			b.Fatal(err)
		}
		r.Send(l.id, 1, stanza.New(stanza.NSClient, "presence"))
		<-l.free
		for range inFlight {
			l.free <- struct{}{}
		}
		lanes[i] = l
		acking.Go(func() {
			for item := range l.acks {
				items := []link.Item{item}
				for len(l.acks) > 0 && len(items) < 64 {
					items = append(items, <-l.acks)
				}
				r.Delivered(l.id, items)
			}
		})
	}
	body := make([]byte, 100)
	for i := range body {
		body[i] = 'x'
	}
	b.ResetTimer()
	for i, l := range lanes {
		work.Go(func() {
			to := "u" + strconv.Itoa((i+1)%clients) + "@" + domain
			for n := range b.N/clients + 1 {
				<-l.free
				m := stanza.New(stanza.NSClient, "message", "type", "chat", "to", to, "id", "m"+strconv.Itoa(n))
				r.Send(l.id, uint64(n+2), m.Add(stanza.New(stanza.NSClient, "body").AddText(string(body))))
			}
			for range inFlight {
				<-l.free
			}
		})
	}
	work.Wait()
	b.StopTimer()
	n := clients * (b.N/clients + 1)
	b.ReportMetric(float64(n)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(b.Elapsed().Microseconds())*float64(clients*inFlight)/float64(n), "µs/confirm")
	cancel()
	running.Wait()
	for _, l := range lanes {
		close(l.acks)
	}
	acking.Wait()
}
