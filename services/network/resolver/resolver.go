// Package resolver is a node's DNS: local records first, then the servers of
// the forward zone that a name is in, then those that a lease brought. It
// caches, and serves other programs of the node as a recursive server. It
// neither walks the DNS from the root nor validates DNSSEC: that is for the
// servers it asks.
package resolver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/miekg/dns"

	"parley/services/config"
	"parley/services/problem"
)

var (
	errMismatch = errors.New("answer to another question")
	errRefused  = errors.New("answer was")
	errTimeout  = errors.New("no reply")
	errClosed   = errors.New("port closed")
	// errChain: a name leads through too many aliases.
	errChain = errors.New("chain of aliases is too long")
)

const (
	// maxChain bounds how many times a name is asked for anew because of an
	// alias.
	maxChain = 8
	// maxLookup bounds one look-up, whatever its caller allows.
	maxLookup = 10 * time.Second
)

// Where an answer came from.
const (
	SourceLocal  = "local record"
	SourceCache  = "cache"
	SourceServer = "server"
)

// Resolver answers questions. All of its methods may be called from any
// goroutine.
type Resolver struct {
	log      *slog.Logger
	wire     Wire
	fallback func() []netip.AddrPort
	set      atomic.Pointer[settings]

	mu   sync.Mutex
	shun map[netip.AddrPort]time.Time
}

// New returns a resolver without records or forward zones. fallback names the
// servers for names in no forward zone; it is called for each question that
// the cache cannot answer.
func New(log *slog.Logger, wire Wire, fallback func() []netip.AddrPort) *Resolver {
	r := &Resolver{log: log.With("component", "resolver"), wire: wire, fallback: fallback, shun: map[netip.AddrPort]time.Time{}}
	set, err := newSettings(config.DNS{})
	if err != nil {
		panic("resolver: no settings are bad: " + err.Error())
	}
	r.set.Store(set)
	return r
}

// Configure replaces records and forward zones, and empties the cache. If it
// returns a problem nothing has changed.
func (r *Resolver) Configure(d config.DNS) error {
	set, err := newSettings(d)
	if err != nil {
		return err
	}
	r.set.Store(set)
	return nil
}

// Flush empties the cache and forgets which servers failed.
func (r *Resolver) Flush() {
	r.mu.Lock()
	clear(r.shun)
	r.mu.Unlock()
	for {
		old := r.set.Load()
		set := *old
		set.cache = newCache()
		if r.set.CompareAndSwap(old, &set) {
			return
		}
	}
}

// ForgetDenials has names that had no record asked for anew; what they had is
// kept.
func (r *Resolver) ForgetDenials() { r.set.Load().cache.forgetDenials() }

// Result is an answer. NXDOMAIN is one; an error means that there is none.
type Result struct {
	Code int
	// Answer holds the aliases followed, then the records; TTLs are what is
	// left of them.
	Answer []dns.RR
	// Authority has the SOA of a denial.
	Authority []dns.RR
	// Server has said the last part of it that is no local record, and Source
	// tells whether it was asked now. It is zero where all are local records.
	Server netip.AddrPort
	Source string
}

// Resolve answers one question of class IN. Errors that a person can mend are
// problems.
func (r *Resolver) Resolve(ctx context.Context, name string, qtype uint16) (Result, error) {
	ctx, cancel := context.WithTimeout(ctx, maxLookup)
	defer cancel()
	begun := time.Now()
	res, err := r.resolve(ctx, name, qtype)
	r.trace(ctx, name, qtype, begun, res, err)
	return res, err
}

// trace is one question and what came of it, for who traces the DNS: see package
// trace.
func (r *Resolver) trace(ctx context.Context, name string, qtype uint16, begun time.Time, res Result, err error) {
	if !r.log.Enabled(ctx, slog.LevelDebug) {
		return
	}
	args := []any{"name", name, "type", dns.TypeToString[qtype], "took", time.Since(begun).Round(time.Microsecond)}
	if err != nil {
		r.log.Debug("question without an answer", append(args, "err", err)...)
		return
	}
	args = append(args, "code", dns.RcodeToString[res.Code], "records", len(res.Answer), "from", res.Source)
	if res.Server.IsValid() {
		args = append(args, "server", res.Server)
	}
	r.log.Debug("question", args...)
}

func (r *Resolver) resolve(ctx context.Context, name string, qtype uint16) (Result, error) {
	set := r.set.Load()
	name = dns.CanonicalName(name)
	res := Result{Source: SourceLocal}
	for range maxChain {
		if rrs, ok := set.local[name]; ok {
			next := ""
			if qtype != dns.TypeCNAME {
				next = target(rrs)
			}
			for _, rr := range rrs {
				if t := rr.Header().Rrtype; t == qtype || t == dns.TypeCNAME {
					res.Answer = append(res.Answer, dns.Copy(rr))
				}
			}
			if next == "" {
				return res, nil
			}
			name = next
			continue
		}
		k := key{name, qtype}
		part, cached, err := set.cache.get(ctx, k, func(ctx context.Context) (*reply, error) {
			servers := set.servers(name)
			if servers == nil {
				servers = r.fallback()
			}
			return r.ask(ctx, k, servers)
		})
		if err != nil {
			return Result{}, err
		}
		res.Source, res.Server = SourceServer, part.server
		if cached {
			res.Source = SourceCache
		}
		res.Code = part.code
		rrs, next := follow(part, k, set)
		res.Answer = append(res.Answer, left(rrs, part.at, time.Now())...)
		if next == "" {
			res.Authority = left(denial(part), part.at, time.Now())
			return res, nil
		}
		name = next
	}
	return Result{}, fmt.Errorf("look up %s: %w", name, errChain)
}

// follow picks out of a reply what answers k, through its aliases. next is
// the name to ask for still: one that has local records, which win, or one
// that the server said nothing of. What answers no question is left out.
func follow(r *reply, k key, set *settings) (rrs []dns.RR, next string) {
	name := k.name
	for range len(r.answer) + 1 {
		alias := ""
		found := false
		for _, rr := range r.answer {
			if dns.CanonicalName(rr.Header().Name) != name || rr.Header().Class != dns.ClassINET {
				continue
			}
			if rr.Header().Rrtype == k.qtype {
				rrs = append(rrs, rr)
				found = true
			} else if c, ok := rr.(*dns.CNAME); ok && alias == "" {
				alias = dns.CanonicalName(c.Target)
				rrs = append(rrs, rr)
			}
		}
		switch {
		case found:
			return rrs, ""
		case alias != "":
			name = alias
			if _, ours := set.local[name]; ours {
				return rrs, name
			}
		case name != k.name && r.code == dns.RcodeSuccess && len(denial(r)) == 0:
			return rrs, name
		default:
			return rrs, ""
		}
	}
	return rrs, ""
}

// denial is the SOA that says how long there is no such record.
func denial(r *reply) []dns.RR {
	for _, rr := range r.authority {
		if _, ok := rr.(*dns.SOA); ok {
			return []dns.RR{rr}
		}
	}
	return nil
}

// Lookup is Resolve with the kind in words, for people: a wrong kind or name is
// a problem. For ptr the name may be an address.
func (r *Resolver) Lookup(ctx context.Context, kind, name string) (Result, error) {
	qtype := dns.StringToType[strings.ToUpper(kind)]
	switch qtype {
	case dns.TypeA, dns.TypeAAAA, dns.TypeSRV, dns.TypeCNAME, dns.TypeMX, dns.TypeNS, dns.TypePTR, dns.TypeSOA, dns.TypeTXT:
	default:
		return Result{}, problem.New(problem.LookupKindBad, "kind", kind)
	}
	if addr, err := netip.ParseAddr(name); err == nil && qtype == dns.TypePTR {
		if name, err = dns.ReverseAddr(addr.String()); err != nil {
			return Result{}, fmt.Errorf("look up %v: %w", addr, err)
		}
	}
	if !isName(dns.Fqdn(name)) {
		return Result{}, problem.New(problem.LookupNameBad, "name", name)
	}
	return r.Resolve(ctx, name, qtype)
}

// Addresses returns those of host, IPv4 before IPv6; host may be an address. A
// host that has none is problem.HostNotFound.
func (r *Resolver) Addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if addr, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{addr}, nil
	}
	var found []netip.Addr
	for _, kind := range []string{"a", "aaaa"} {
		res, err := r.Lookup(ctx, kind, host)
		if err != nil && len(found) == 0 {
			return nil, err
		}
		for _, rr := range res.Answer {
			var ip net.IP
			switch rr := rr.(type) {
			case *dns.A:
				ip = rr.A
			case *dns.AAAA:
				ip = rr.AAAA
			}
			if addr, ok := netip.AddrFromSlice(ip); ok {
				found = append(found, addr.Unmap())
			}
		}
	}
	if len(found) == 0 {
		return nil, problem.New(problem.HostNotFound, "host", host)
	}
	return found, nil
}

func isTimeout(err error) bool {
	ne, ok := errors.AsType[net.Error](err)
	return ok && ne.Timeout()
}
