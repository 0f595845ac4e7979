package faults

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"parley/services/xmpp/client"
	"parley/services/xmpp/stanza"
)

// Throughput is what a cluster carried.
type Throughput struct {
	Clients      int
	Time         time.Duration
	Acked        int
	Delivered    int
	Nodes, Tests time.Duration
}

func (t Throughput) rate() float64 { return float64(t.Acked) / t.Time.Seconds() }

// String is one line.
func (t Throughput) String() string {
	return fmt.Sprintf("%d clients, one message outstanding each: %.0f acknowledged a second, %.0f delivered (CPU: nodes %.2f, clients %.2f cores)",
		t.Clients, t.rate(), float64(t.Delivered)/t.Time.Seconds(), t.Nodes.Seconds()/t.Time.Seconds(), t.Tests.Seconds()/t.Time.Seconds())
}

// MeasureThroughput has clients, spread over the nodes, send 100 bytes to one
// another for a time, each the next once the last is acknowledged.
func MeasureThroughput(ctx context.Context, c *Cluster, clients int, d time.Duration) (Throughput, error) {
	run, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	var acked, delivered atomic.Int64
	all := make([]*client.Client, clients)
	turns := make([]chan struct{}, clients)
	for i := range all {
		turns[i] = make(chan struct{}, 1)
		turns[i] <- struct{}{}
		all[i] = client.New(c.Config(i, c.Nodes[i%len(c.Nodes)], false), client.Deps{
			Acked: func(string) {
				acked.Add(1)
				turns[i] <- struct{}{}
			},
			Received: func(e *stanza.Element) {
				if e.Name.Local == "message" {
					delivered.Add(1)
				}
			},
		})
		wg.Go(func() { all[i].Run(run) })
	}
	for i := range all {
		ready, cancel := context.WithTimeout(ctx, healthyTime)
		err := all[i].Ready(ready)
		cancel()
		if err != nil {
			return Throughput{}, err
		}
	}
	body := strings.Repeat("x", 100)
	for i := range all {
		wg.Go(func() {
			for k := 1; ; k++ {
				select {
				case <-run.Done():
					return
				case <-turns[i]:
				}
				if to := (i + k) % clients; to != i {
					all[i].Message(run, user(to)+"@"+Domain, strconv.Itoa(k), body)
				} else {
					turns[i] <- struct{}{}
				}
			}
		})
	}
	// The first seconds are of warming up.
	time.Sleep(2 * time.Second)
	t := Throughput{Clients: clients}
	begun, a, b, cpu, own := time.Now(), acked.Load(), delivered.Load(), c.cpu(), ownCPU()
	time.Sleep(d)
	t.Time = time.Since(begun)
	t.Acked, t.Delivered = int(acked.Load()-a), int(delivered.Load()-b)
	t.Nodes, t.Tests = c.cpu()-cpu, ownCPU()-own
	return t, nil
}

// cpu is that of all nodes.
func (c *Cluster) cpu() time.Duration {
	d := time.Duration(0)
	for _, n := range c.Nodes {
		d += n.cpu()
	}
	return d
}

func ownCPU() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// Latency is the time of one message on an idle cluster.
type Latency struct {
	From, To         string
	Acked, Delivered []time.Duration
	// Fsync is the median of the disk's, in the same minute.
	Fsync time.Duration
}

// limit is three fsyncs and 2 ms.
func (l Latency) limit() time.Duration { return 3*l.Fsync + 2*time.Millisecond }

// String is one line.
func (l Latency) String() string {
	acked, ackedWorst := spread(slices.Clone(l.Acked))
	delivered, deliveredWorst := spread(slices.Clone(l.Delivered))
	round := func(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }
	return fmt.Sprintf("one message on an idle cluster, %s to %s: acknowledged after %v (worst %v), delivered after %v (worst %v); an fsync takes %v, the limit is %v",
		l.From, l.To, round(acked), round(ackedWorst), round(delivered), round(deliveredWorst), round(l.Fsync), round(l.limit()))
}

// Err is nil where the median is within the limit.
func (l Latency) Err() error {
	acked, _ := spread(slices.Clone(l.Acked))
	delivered, _ := spread(slices.Clone(l.Delivered))
	if m := max(acked, delivered); m > l.limit() {
		return fmt.Errorf("one message takes %v; the limit is %v", m, l.limit())
	}
	return nil
}

// MeasureLatency sends messages one by one from a client on one node to one on
// another, with pauses.
func MeasureLatency(ctx context.Context, c *Cluster, from, to *Node, n int) (Latency, error) {
	l := Latency{From: from.Name, To: to.Name}
	run, stop := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer stop()
	acked, delivered := make(chan time.Time, 1), make(chan time.Time, 1)
	a := client.New(c.Config(0, from, false), client.Deps{Acked: func(string) { acked <- time.Now() }})
	b := client.New(c.Config(1, to, false), client.Deps{Received: func(e *stanza.Element) {
		if e.Name.Local == "message" {
			delivered <- time.Now()
		}
	}})
	for _, x := range []*client.Client{a, b} {
		wg.Go(func() { x.Run(run) })
		if err := x.Ready(ctx); err != nil {
			return l, err
		}
	}
	body := strings.Repeat("x", 100)
	for i := range n {
		time.Sleep(20 * time.Millisecond)
		d, err := fsyncTime(c.opts.Dir)
		if err != nil {
			return l, err
		}
		l.Fsync += d / time.Duration(n)
		time.Sleep(20 * time.Millisecond)
		begun := time.Now()
		if err := a.Message(ctx, user(1)+"@"+Domain, strconv.Itoa(i), body); err != nil {
			return l, err
		}
		for range 2 {
			select {
			case at := <-acked:
				l.Acked = append(l.Acked, at.Sub(begun))
			case at := <-delivered:
				l.Delivered = append(l.Delivered, at.Sub(begun))
			case <-time.After(10 * time.Second):
				return l, fmt.Errorf("message %d from %s to %s is not acknowledged, or not delivered, after 10 s", i, from.Name, to.Name)
			case <-ctx.Done():
				return l, ctx.Err()
			}
		}
	}
	return l, nil
}

// fsyncTime is how long the folder's disk takes for a page that is appended to
// a file.
func fsyncTime(dir string) (time.Duration, error) {
	f, err := os.OpenFile(filepath.Join(dir, "fsync"), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	begun := time.Now()
	if _, err := f.Write(make([]byte, 4096)); err != nil {
		return 0, err
	}
	if err := f.Sync(); err != nil {
		return 0, err
	}
	return time.Since(begun), nil
}
