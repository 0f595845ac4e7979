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
	ref  link.Ref
	free chan struct{}
	acks chan uint64

	mu        sync.Mutex
	confirmed uint64
}

func (l *lane) Confirm(_ link.Ref, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for ; l.confirmed < seq; l.confirmed++ {
		l.free <- struct{}{}
	}
}

func (l *lane) Deliver(_ link.Ref, d link.Delivery) { l.acks <- d.N }

func (l *lane) Memo(link.Ref, []byte) {}

func (l *lane) End(_ link.Ref, condition string) { panic("session ended: " + condition) }

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
	r.Settled()
	running.Go(func() {
		if err := r.Run(ctx); err != nil {
			b.Error(err)
		}
	})
	lanes := make([]*lane, clients)
	for i := range lanes {
		name := "u" + strconv.Itoa(i)
		mustApply(b, st, &store.AccountAdd{Name: name})
		l := &lane{ref: link.Ref{ID: link.SessionID{byte(i), 1}}, free: make(chan struct{}, inFlight+1), acks: make(chan uint64, 4*windowItems)}
		j, err := jid.New(name, domain, "")
		if err == nil {
			_, err = r.Open(ctx, link.Open{Ref: l.ref, JID: j}, l)
		}
		if err != nil {
			b.Fatal(err)
		}
		r.Send(l.ref, 1, stanza.New(stanza.NSClient, "presence"))
		<-l.free
		for range inFlight {
			l.free <- struct{}{}
		}
		lanes[i] = l
		acking.Go(func() {
			for n := range l.acks {
				for range min(len(l.acks), 64) {
					n = <-l.acks
				}
				r.Delivered(l.ref, n)
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
				r.Send(l.ref, uint64(n+2), m.Add(stanza.New(stanza.NSClient, "body").AddText(string(body))))
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

// BenchmarkAttach is what a new leader has to do for each session, with half a
// window in its hands, before it can route.
func BenchmarkAttach(b *testing.B) {
	w := newWorld(b, "ada")
	items := make([]link.Delivery, windowItems/2)
	for i := range items {
		rs, err := w.store.Apply(context.Background(), &store.MessagePut{Account: "ada", Stanza: make([]byte, 200)})
		if err != nil {
			b.Fatal(err)
		}
		items[i] = link.Delivery{N: uint64(i + 1), Item: rs[0].Item, Bytes: make([]byte, 200)}
	}
	states := make([]link.Session, b.N)
	for i := range states {
		states[i] = attached("ada@"+domain+"/"+strconv.Itoa(i), here("ada@"+domain+"/r"))
		states[i].Last, states[i].Queue = uint64(len(items)), items
	}
	b.ResetTimer()
	for i := range states {
		w.r.Attach(states[i], quiet{})
	}
	w.sync()
}

// quiet is an edge that does nothing.
type quiet struct{}

func (quiet) Deliver(link.Ref, link.Delivery) {}
func (quiet) Confirm(link.Ref, uint64)        {}
func (quiet) Memo(link.Ref, []byte)           {}
func (quiet) End(link.Ref, string)            {}
