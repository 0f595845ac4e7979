package store

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"syscall"
	"testing"
	"time"

	"parley/services/xmpp/link"
)

// syncTime is the median of the disk's fdatasync of a block in a file that has
// its size: what the cost of a message is measured in.
func syncTime(b *testing.B) time.Duration {
	f, err := os.Create(filepath.Join(b.TempDir(), "sync"))
	if err != nil {
		b.Fatal(err)
	}
	defer f.Close()
	block := make([]byte, 4096)
	var took []time.Duration
	for i := range 100 {
		block[0] = byte(i)
		if _, err := f.WriteAt(block, 0); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if err := syscall.Fdatasync(int(f.Fd())); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	return took[len(took)/2]
}

// syncs counts those of the logs, which an entry waits for.
func (g *group) syncs() (n int64) {
	for _, node := range g.nodes {
		n += node.rlog.syncs.Load()
	}
	return n
}

// BenchmarkStreamedStore is how long an entry takes while a node with an empty
// disk gets the store of 100 MB.
func BenchmarkStreamedStore(b *testing.B) {
	g := newGroup(b, tcp{}, 3, Config{})
	l := g.leader()
	apply(b, l.Store, &AccountAdd{Name: "ada"})
	for range 100 {
		ops := make([]Op, 20)
		for i := range ops {
			ops[i] = &MessagePut{Account: "ada", Stanza: make([]byte, 50_000)}
		}
		if _, err := l.Apply(b.Context(), ops...); err != nil {
			b.Fatal(err)
		}
	}
	measure := func(what string, until func() bool) {
		var took []time.Duration
		for n := 0; !until() || n < 20; n++ {
			begin := time.Now()
			apply(b, l.Store, &MessagePut{Account: "ada", Stanza: make([]byte, 100)})
			took = append(took, time.Since(begin))
		}
		slices.Sort(took)
		b.ReportMetric(took[len(took)/2].Seconds()*1000, what+"-median-ms")
		b.ReportMetric(took[len(took)*99/100].Seconds()*1000, what+"-p99-ms")
		b.ReportMetric(took[len(took)-1].Seconds()*1000, what+"-worst-ms")
	}
	for range b.N {
		end := time.Now().Add(time.Second)
		measure("quiet", func() bool { return time.Now().After(end) })
		f := g.without(g.leader())[0]
		if err := f.stop(); err != nil {
			b.Fatal(err)
		}
		joined := make(chan struct{})
		begin := time.Now()
		go func() {
			defer close(joined)
			g.join(f)
		}()
		measure("streaming", func() bool {
			select {
			case <-joined:
				return true
			default:
				return false
			}
		})
		b.ReportMetric(time.Since(begin).Seconds(), "join-s")
	}
}

// BenchmarkIdleGroup is one durable message at a time in a group of three
// nodes on one disk.
func BenchmarkIdleGroup(b *testing.B) {
	g := newGroup(b, tcp{}, 3, Config{})
	l := g.leader()
	apply(b, l.Store, &AccountAdd{Name: "ada"})
	one := syncTime(b)
	before := g.syncs()
	var took []time.Duration
	body := make([]byte, 100)
	b.ResetTimer()
	for i := range b.N {
		begin := time.Now()
		apply(b, l.Store, &MessagePut{Session: link.SessionID{1}, Seq: uint64(i + 1), Account: "ada", Stamp: begin, Stanza: body})
		took = append(took, time.Since(begin))
	}
	b.StopTimer()
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	b.ReportMetric(ms(one), "fsync-ms")
	b.ReportMetric(ms(took[len(took)/2]), "median-ms")
	b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
	b.ReportMetric(ms(3*one+2*time.Millisecond), "limit-ms")
	b.ReportMetric(float64(g.syncs()-before)/float64(3*b.N), "log-syncs/entry/node")
}

// BenchmarkBusyGroup is 100 clients with one message outstanding each, handed
// on as the router does: what has come while the last entry was on its way
// makes the next.
func BenchmarkBusyGroup(b *testing.B) {
	g := newGroup(b, tcp{}, 3, Config{})
	l := g.leader()
	apply(b, l.Store, &AccountAdd{Name: "ada"})
	const clients = 100
	type request struct {
		op   Op
		done chan struct{}
	}
	requests := make(chan request, clients)
	var entries int
	var wg sync.WaitGroup
	wg.Go(func() {
		slots := make(chan struct{}, 2)
		for first := range requests {
			slots <- struct{}{}
			batch := []request{first}
			for len(batch) < clients {
				select {
				case r, ok := <-requests:
					if ok {
						batch = append(batch, r)
						continue
					}
				default:
				}
				break
			}
			entries++
			wg.Go(func() {
				ops := make([]Op, len(batch), len(batch)+1)
				for i, r := range batch {
					ops[i] = r.op
				}
				rs, err := l.Apply(context.Background(), ops...)
				if err != nil {
					b.Error(err)
				}
				<-slots
				for i, r := range batch {
					if rs == nil || rs[i].Err != nil || rs[i].Again {
						b.Errorf("result %+v", rs)
					}
					close(r.done)
				}
			})
		}
	})
	var mu sync.Mutex
	var took []time.Duration
	left := b.N
	body := make([]byte, 100)
	b.ResetTimer()
	var senders sync.WaitGroup
	for c := range clients {
		senders.Go(func() {
			for seq := uint64(1); ; seq++ {
				mu.Lock()
				left--
				more := left >= 0
				mu.Unlock()
				if !more {
					return
				}
				begin := time.Now()
				r := request{&MessagePut{Session: link.SessionID{byte(c)}, Seq: seq, Account: "ada", Stamp: begin, Stanza: body}, make(chan struct{})}
				requests <- r
				<-r.done
				mu.Lock()
				took = append(took, time.Since(begin))
				mu.Unlock()
			}
		})
	}
	senders.Wait()
	close(requests)
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	ms := func(d time.Duration) float64 { return d.Seconds() * 1000 }
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "messages/s")
	b.ReportMetric(float64(entries)/b.Elapsed().Seconds(), "entries/s")
	b.ReportMetric(ms(took[len(took)/2]), "median-ms")
	b.ReportMetric(ms(took[len(took)*99/100]), "p99-ms")
}

// BenchmarkTransfer is until the old leader knows the new one, and until that
// takes changes; BenchmarkLostLeader from the election that somebody starts
// when the leader has gone.
func BenchmarkTransfer(b *testing.B) {
	g := newGroup(b, tcp{}, 3, Config{})
	g.apply(&AccountAdd{Name: "ada"})
	var took, ready []time.Duration
	for range b.N {
		l := g.leader()
		begin := time.Now()
		if err := l.Transfer(b.Context()); err != nil {
			b.Fatal(err)
		}
		took = append(took, time.Since(begin))
		g.leader()
		ready = append(ready, time.Since(begin))
		time.Sleep(20 * time.Millisecond)
	}
	reportTimes(b, "known", took)
	reportTimes(b, "ready", ready)
}

func BenchmarkLostLeader(b *testing.B) {
	g := newGroup(b, tcp{}, 3, Config{})
	g.apply(&AccountAdd{Name: "ada"})
	var ready []time.Duration
	for range b.N {
		l := g.leader()
		fs := g.without(l)
		if err := l.stop(); err != nil {
			b.Fatal(err)
		}
		begin := time.Now()
		if err := fs[0].Campaign(); err != nil {
			b.Fatal(err)
		}
		g.leader()
		ready = append(ready, time.Since(begin))
		l.boot(b)
		for deadline := time.Now().Add(10 * time.Second); l.State().LeaderID == "" && time.Now().Before(deadline); {
			time.Sleep(time.Millisecond)
		}
	}
	reportTimes(b, "ready", ready)
}

func reportTimes(b *testing.B, what string, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(took[len(took)/2].Seconds()*1000, what+"-median-ms")
	b.ReportMetric(took[len(took)-1].Seconds()*1000, what+"-worst-ms")
}
