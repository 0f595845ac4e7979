package callbridge

import (
	"context"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/miekg/dns"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/network/networkapi"
	"parley/services/network/resolver"
)

// nameServer is the DNS behind the node's own resolver, which caches.
type nameServer struct {
	t testing.TB

	mu      sync.Mutex
	records []string
	// asked counts the questions, by name.
	asked map[string]int
}

// Exchange implements resolver.Wire.
func (n *nameServer) Exchange(_ context.Context, q *dns.Msg, _ string, _ netip.AddrPort) (*dns.Msg, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	name := q.Question[0].Name
	n.asked[name]++
	m := new(dns.Msg).SetReply(q)
	for _, text := range n.records {
		rr, err := dns.NewRR(text)
		if err != nil {
			n.t.Error(err)
			continue
		}
		if rr.Header().Name == name && rr.Header().Rrtype == q.Question[0].Qtype {
			m.Answer = append(m.Answer, rr)
		}
	}
	if len(m.Answer) == 0 {
		// As many zones have it, a denial may be believed for an hour.
		soa, err := dns.NewRR(domain + ". 3600 IN SOA ns." + domain + ". admin." + domain + ". 1 3600 600 86400 3600")
		if err != nil {
			n.t.Error(err)
		}
		m.Rcode, m.Ns = dns.RcodeNameError, []dns.RR{soa}
	}
	return m, nil
}

// names are those that a bridge has by this server.
func (n *nameServer) names() Names {
	return cached{resolver.New(slog.New(slog.DiscardHandler), n, func() []netip.AddrPort { return []netip.AddrPort{netip.MustParseAddrPort("10.0.0.53:53")} })}
}

// set changes the records.
func (n *nameServer) set(records ...string) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.records = records
}

// cached is Names by a resolver.
type cached struct{ *resolver.Resolver }

// Lookup implements Names.
func (c cached) Lookup(ctx context.Context, kind, name string) (networkapi.Answer, error) {
	res, err := c.Resolver.Lookup(ctx, kind, name)
	if err != nil {
		return networkapi.Answer{}, err
	}
	a := networkapi.Answer{Server: res.Server, Source: res.Source, Code: dns.RcodeToString[res.Code]}
	for _, rr := range res.Answer {
		a.Records = append(a.Records, rr.String())
	}
	return a, nil
}

// ForgetDenials implements Names.
func (c cached) ForgetDenials(context.Context) error {
	c.Resolver.ForgetDenials()
	return nil
}

// TestTimeToLive: records are believed as long as they say, and not longer,
// whether the bridge is connected or not; and asked for once in that time.
func TestTimeToLive(t *testing.T) {
	const ttl = 300 * time.Second
	inBubble(t, "", func(t *testing.T, b *bubble) {
		_, old := b.mesh.server("10.0.0.1:5223", &fake{})
		_, at := b.mesh.server("10.0.0.2:5223", &fake{})
		records := func(priority int, name string, at netip.AddrPort) []string {
			rs := []string{srv(priority, name, at), a(name, at)}
			for i := range rs {
				rs[i] = strings.Replace(rs[i], "86400", "300", 1)
			}
			return rs
		}
		n := &nameServer{t: t, asked: map[string]int{}, records: records(0, "cb1."+domain, old)}
		b.deps.Names = n.names()
		b.begin()
		begun := time.Now()
		pass(time.Second)
		n.set(records(0, "cb2."+domain, at)...)
		pass(ttl - 2*time.Second)
		if s := b.now(); s.Address != old {
			t.Errorf("on %v after %v; want %v, which its record stands for", s.Address, time.Since(begun), old)
		}
		n.mu.Lock()
		if got := n.asked["_xmpp-component._tcp."+domain+"."]; got != 1 {
			t.Errorf("asked %d times in the time to live; want once", got)
		}
		n.mu.Unlock()
		pass(firstPatience + most + 2*time.Second)
		if s := b.now(); s.Address != at {
			t.Errorf("on %v after %v; want %v, which is named now", s.Address, time.Since(begun), at)
		}
		// Lost, it is looked for where the record that is valid has it.
		b.mesh.gone(at)
		_, third := b.mesh.server("10.0.0.3:5223", &fake{})
		n.set(records(0, "cb2."+domain, third)...)
		pass(2*ttl + lastDelay)
		if s := b.now(); s.Address != third {
			t.Errorf("on %v; want %v after the record's time is over", s.Address, third)
		}
	})
}

// TestMendedDNS: a record that was missing is seen at once where somebody asks
// for that, and by itself when it is next tried.
func TestMendedDNS(t *testing.T) {
	inBubble(t, "", func(t *testing.T, b *bubble) {
		_, at := b.mesh.server("10.0.0.1:5223", &fake{})
		records := []string{srv(0, "cb1."+domain, at), a("cb1."+domain, at)}
		for i := range records {
			records[i] = strings.Replace(records[i], "86400", "1", 1)
		}
		n := &nameServer{t: t, asked: map[string]int{}}
		b.deps.Names = n.names()
		b.begin()
		wanted := func(when string, fails bool) {
			t.Helper()
			steps, err := b.Test(t.Context())
			failed := slices.ContainsFunc(steps, func(s callbridgeapi.Step) bool { return !s.OK })
			if err != nil || len(steps) == 0 || failed != fails {
				t.Errorf("%s: Test = %+v, %v; want a failure: %t", when, steps, err, fails)
			}
		}
		wanted("no record", true)
		pass(2 * time.Second)
		if s := b.now(); !strings.Contains(s.Detail, "(cached)") || !strings.HasSuffix(s.Hint, "type 'dns flush'") {
			t.Errorf("detail %q, hint %q; want that it is from the cache, and 'dns flush'", s.Detail, s.Hint)
		}
		n.set(records...)
		wanted("mended", false)
		n.set()
		b.mesh.gone(at)
		pass(10 * time.Minute)
		_, at = b.mesh.server("10.0.0.1:5223", &fake{})
		wanted("no record again, and asked a moment ago", true)
		n.set(records...)
		if err := b.Restart(t.Context()); err != nil {
			t.Fatal(err)
		}
		pass(time.Second)
		if s := b.now(); s.State != callbridgeapi.Connected {
			t.Errorf("after a restart: %s; want a connection", s.XMPPRow)
		}
		n.set()
		b.mesh.gone(at)
		pass(48 * time.Hour)
		b.mesh.server("10.0.0.1:5223", &fake{})
		n.set(records...)
		pass(lastDelay + lastDelay/16)
		if s := b.now(); s.State != callbridgeapi.Connected {
			t.Errorf("by itself: %s; want a connection", s.XMPPRow)
		}
	})
}
