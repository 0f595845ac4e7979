package faults

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"parley/services/xmpp/client"
	"parley/services/xmpp/stanza"
)

// load is clients that write to one another until they are told to stop.
type load struct {
	clients []*client.Client
	history *History
	// failed are clients that gave up.
	failed atomic.Pointer[error]

	stopSending, stopClients context.CancelFunc
	senders, running         sync.WaitGroup
}

// silence after which a client doubts its server: short, since a server that
// is frozen or cut off says nothing.
const silence = 2 * time.Second

// startLoad connects clients spread over the nodes, and has each write a
// message to one of the others each pause, on the average.
func startLoad(ctx context.Context, c *Cluster, h *History, clients int, pause time.Duration, rng *rand.Rand) (*load, error) {
	l := &load{history: h}
	run, stopClients := context.WithCancel(ctx)
	send, stopSending := context.WithCancel(ctx)
	l.stopClients, l.stopSending = stopClients, stopSending
	for i := range clients {
		cfg := c.Config(i, c.Nodes[i%len(c.Nodes)], true)
		cfg.Silence = silence
		cfg.StartTLS = i%4 == 3
		cfg.Stubborn = true
		x := client.New(cfg, l.deps(c, i))
		l.clients = append(l.clients, x)
		l.running.Go(func() {
			if err := x.Run(run); err != nil {
				err = fmt.Errorf("%s gave up: %w", user(i), err)
				l.failed.Store(&err)
			}
		})
	}
	for _, x := range l.clients {
		ready, cancel := context.WithTimeout(ctx, healthyTime)
		err := x.Ready(ready)
		cancel()
		if err != nil {
			l.close()
			return nil, err
		}
	}
	for i := range l.clients {
		rng := rand.New(rand.NewPCG(rng.Uint64(), rng.Uint64()))
		l.senders.Go(func() { l.write(send, i, pause, rng) })
	}
	return l, nil
}

func (l *load) deps(c *Cluster, i int) client.Deps {
	h := l.history
	apart := func(addr string) bool {
		return slices.ContainsFunc(c.Nodes, func(n *Node) bool { return n.Client() == addr && n.isApart() })
	}
	return client.Deps{
		Acked:    h.acked,
		Repeated: h.repeated,
		Changed: func(e client.Event) {
			if errors.Is(e.Err, client.ErrPassword) && apart(e.Addr) {
				// It has no accounts.
				e.Err = errors.New("refused by a node that is not in the cluster")
			}
			h.connection(i, e.Kind.String(), e.Addr, e.Err)
		},
		Received: func(e *stanza.Element) {
			if e.Name.Local == "iq" {
				h.asked(i, e)
			}
			if e.Name.Local != "message" {
				return
			}
			id := e.Attr("id")
			if e.Attr("type") == "error" {
				h.refused(id, condition(e))
				return
			}
			from, _, _ := strings.Cut(e.Attr("from"), "@")
			if body := e.Child(stanza.NSClient, "body"); body == nil || body.Text() != id+padding {
				id += " with another body"
			}
			h.received(i, from, id)
		},
	}
}

// condition is that of a stanza error.
func condition(e *stanza.Element) string {
	if err := e.Child(stanza.NSClient, "error"); err != nil {
		for _, c := range err.Children() {
			if c.Name.Space == stanza.NSStanzas && c.Name.Local != "text" {
				return c.Name.Local
			}
		}
	}
	return "without condition"
}

// padding makes bodies of about 100 bytes.
var padding = " " + strings.Repeat("x", 90)

// askEvery is which part of the stanzas are questions.
const askEvery = 8

// write sends as client i. What it sends to one receiver goes to one address,
// the account's or the session's.
func (l *load) write(ctx context.Context, i int, pause time.Duration, rng *rand.Rand) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-time.After(time.Duration(rng.ExpFloat64() * float64(pause))):
		}
		to := rng.IntN(len(l.clients) - 1)
		if to >= i {
			to++
		}
		// Room first: what is numbered is sent.
		if l.clients[i].Room(ctx) != nil {
			return
		}
		if rng.IntN(askEvery) == 0 {
			if l.clients[i].Send(context.WithoutCancel(ctx), l.history.ask(pair{i, to})) != nil {
				return
			}
			continue
		}
		address := user(to) + "@" + Domain
		if (i+to)%2 == 1 {
			address += "/" + resource
		}
		id := l.history.send(pair{i, to})
		if l.clients[i].Message(context.WithoutCancel(ctx), address, id, id+padding) != nil {
			return
		}
	}
}

// settle stops sending, and waits until all is acknowledged and, for a while,
// delivered.
func (l *load) settle(ctx context.Context) error {
	l.stopSending()
	l.senders.Wait()
	ctx, cancel := context.WithTimeout(ctx, healthyTime)
	defer cancel()
	for i, x := range l.clients {
		if err := x.Ready(ctx); err != nil {
			return fmt.Errorf("%s does not come back: %w", user(i), err)
		}
		if err := x.Drained(ctx); err != nil {
			return fmt.Errorf("%s is not acknowledged what it sent: %w", user(i), err)
		}
	}
	for end := time.Now().Add(20 * time.Second); l.history.missing() > 0 && time.Now().Before(end); {
		time.Sleep(100 * time.Millisecond)
	}
	// What comes twice comes late.
	time.Sleep(500 * time.Millisecond)
	return nil
}

func (l *load) close() {
	l.stopSending()
	l.senders.Wait()
	l.stopClients()
	l.running.Wait()
}
