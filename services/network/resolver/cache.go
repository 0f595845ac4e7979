package resolver

import (
	"container/list"
	"context"
	"errors"
	"net/netip"
	"sync"
	"time"

	"github.com/miekg/dns"
)

const (
	maxEntries = 4096
	// maxCached bounds one answer in the cache, so that all of it is below
	// maxEntries times as much.
	maxCached = 4096
	// maxKept and maxDenied bound how long an answer and a denial
	// (RFC 2308 §5) are believed, whatever their TTL. Who has added a missing
	// record does not wait for the hour that many zones say: a denial is
	// forgotten before a Call Bridge, which asks each 64 s at the latest, asks
	// again.
	maxKept   = 24 * time.Hour
	maxDenied = 30 * time.Second
)

// key is a question, its name in canonical form.
type key struct {
	name  string
	qtype uint16
}

// reply is what a server said to one question. It is shared and not changed.
type reply struct {
	code      int
	answer    []dns.RR
	authority []dns.RR
	server    netip.AddrPort
	at        time.Time
}

// left returns rrs with the TTL that is left of them at now.
func left(rrs []dns.RR, at, now time.Time) []dns.RR {
	age := uint32(now.Sub(at) / time.Second)
	out := make([]dns.RR, 0, len(rrs))
	for _, rr := range rrs {
		rr = dns.Copy(rr)
		h := rr.Header()
		h.Ttl -= min(age, h.Ttl)
		out = append(out, rr)
	}
	return out
}

// life is how long a reply may be kept; 0 is not at all.
func (r *reply) life() time.Duration {
	least := func(rrs []dns.RR) time.Duration {
		ttl := uint32(maxTTL)
		for _, rr := range rrs {
			ttl = min(ttl, rr.Header().Ttl)
		}
		return time.Duration(ttl) * time.Second
	}
	if r.code == dns.RcodeSuccess && len(r.answer) > 0 {
		return min(least(r.answer), maxKept)
	}
	for _, rr := range r.authority {
		if soa, ok := rr.(*dns.SOA); ok {
			life := time.Duration(min(soa.Hdr.Ttl, soa.Minttl)) * time.Second
			if len(r.answer) > 0 {
				life = min(life, least(r.answer))
			}
			return min(life, maxDenied)
		}
	}
	return 0
}

// cache keeps replies until their TTL ends, the least recently used leaving
// first, and lets one asker of a question ask for all.
type cache struct {
	mu      sync.Mutex
	entries map[key]*list.Element
	// order has the entries, the most recently used first.
	order   *list.List
	flights map[key]*flight
}

type entry struct {
	key   key
	reply *reply
	ends  time.Time
}

// flight is a question being asked; its fields are set before done is closed.
type flight struct {
	done  chan struct{}
	reply *reply
	err   error
}

func newCache() *cache {
	return &cache{entries: map[key]*list.Element{}, order: list.New(), flights: map[key]*flight{}}
}

// get returns the reply to k, from the cache or, if need be, by ask.
func (c *cache) get(ctx context.Context, k key, ask func(context.Context) (*reply, error)) (r *reply, cached bool, err error) {
	for {
		c.mu.Lock()
		if r := c.find(k); r != nil {
			c.mu.Unlock()
			return r, true, nil
		}
		f, other := c.flights[k]
		if !other {
			f = &flight{done: make(chan struct{})}
			c.flights[k] = f
		}
		c.mu.Unlock()
		if !other {
			f.reply, f.err = ask(ctx)
			c.mu.Lock()
			delete(c.flights, k)
			if f.err == nil {
				c.keep(k, f.reply)
			}
			c.mu.Unlock()
			close(f.done)
			return f.reply, false, f.err
		}
		select {
		case <-f.done:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
		// The other asker may have given up; we need not.
		if errors.Is(f.err, context.Canceled) || errors.Is(f.err, context.DeadlineExceeded) {
			continue
		}
		return f.reply, false, f.err
	}
}

// forgetDenials drops the replies that say that there is no such record.
func (c *cache) forgetDenials() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for k, el := range c.entries {
		if r := el.Value.(*entry).reply; r.code != dns.RcodeSuccess || len(denial(r)) > 0 {
			c.order.Remove(el)
			delete(c.entries, k)
		}
	}
}

func (c *cache) find(k key) *reply {
	el := c.entries[k]
	if el == nil {
		return nil
	}
	e := el.Value.(*entry)
	if !time.Now().Before(e.ends) {
		c.order.Remove(el)
		delete(c.entries, k)
		return nil
	}
	c.order.MoveToFront(el)
	return e.reply
}

func (c *cache) keep(k key, r *reply) {
	life := r.life()
	size := 0
	for _, rr := range r.answer {
		size += dns.Len(rr)
	}
	if life <= 0 || size > maxCached {
		return
	}
	if old := c.entries[k]; old != nil {
		c.order.Remove(old)
	}
	c.entries[k] = c.order.PushFront(&entry{k, r, r.at.Add(life)})
	for c.order.Len() > maxEntries {
		last := c.order.Back()
		c.order.Remove(last)
		delete(c.entries, last.Value.(*entry).key)
	}
}
