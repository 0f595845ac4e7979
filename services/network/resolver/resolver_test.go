package resolver

import (
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"parley/services/config"
	"parley/services/problem"
)

// memoryWire has the servers of a test by address; one that is not there is
// silent. It notes each query.
type memoryWire struct {
	mu      sync.Mutex
	servers map[string]func(q *dns.Msg, network string) *dns.Msg
	asked   []string
}

var _ Wire = (*memoryWire)(nil)

func (w *memoryWire) Exchange(ctx context.Context, q *dns.Msg, network string, server netip.AddrPort) (*dns.Msg, error) {
	w.mu.Lock()
	w.asked = append(w.asked, server.Addr().String()+" "+network+" "+q.Question[0].Name+" "+dns.TypeToString[q.Question[0].Qtype])
	answer := w.servers[server.Addr().String()]
	w.mu.Unlock()
	if answer == nil {
		<-ctx.Done()
		return nil, ctx.Err()
	}
	// A little time, so that askers at once do meet.
	time.Sleep(10 * time.Millisecond)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	return answer(q, network), nil
}

func (w *memoryWire) take() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	asked := w.asked
	w.asked = nil
	return asked
}

// zone answers from records; a name without any is NXDOMAIN with an SOA whose
// negative TTL is 60.
func zone(t testing.TB, records ...string) func(*dns.Msg, string) *dns.Msg {
	var all []dns.RR
	for _, s := range records {
		rr, err := dns.NewRR(s)
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, rr)
	}
	soa, err := dns.NewRR("example.com. 300 IN SOA ns.example.com. admin.example.com. 1 3600 600 86400 60")
	if err != nil {
		t.Fatal(err)
	}
	return func(q *dns.Msg, _ string) *dns.Msg {
		m := new(dns.Msg).SetReply(q)
		name, exists := q.Question[0].Name, false
		for i := 0; i < len(all); i++ {
			h := all[i].Header()
			if !strings.EqualFold(h.Name, name) {
				continue
			}
			exists = true
			if h.Rrtype == q.Question[0].Qtype {
				m.Answer = append(m.Answer, dns.Copy(all[i]))
			} else if c, ok := all[i].(*dns.CNAME); ok {
				m.Answer = append(m.Answer, dns.Copy(c))
				name, exists, i = c.Target, false, -1
			}
		}
		if !exists {
			m.Rcode = dns.RcodeNameError
		}
		if !slices.ContainsFunc(m.Answer, func(rr dns.RR) bool { return rr.Header().Rrtype == q.Question[0].Qtype }) {
			m.Ns = []dns.RR{soa}
		}
		return m
	}
}

func code(rcode int) func(*dns.Msg, string) *dns.Msg {
	return func(q *dns.Msg, _ string) *dns.Msg { return new(dns.Msg).SetRcode(q, rcode) }
}

type setup struct {
	zones    []string // "domain server"
	records  []string
	fallback []string
	servers  map[string]func(*dns.Msg, string) *dns.Msg
}

func (s setup) resolver(t testing.TB) (*Resolver, *memoryWire) {
	t.Helper()
	w := &memoryWire{servers: s.servers}
	r := New(slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug})), w, func() []netip.AddrPort {
		var out []netip.AddrPort
		for _, f := range s.fallback {
			out = append(out, netip.AddrPortFrom(netip.MustParseAddr(f), 53))
		}
		return out
	})
	d := config.DNS{Records: s.records}
	for _, z := range s.zones {
		domain, server, _ := strings.Cut(z, " ")
		d.Zones = append(d.Zones, config.ForwardZone{Domain: domain, Server: netip.AddrPortFrom(netip.MustParseAddr(server), 53)})
	}
	if err := r.Configure(d); err != nil {
		t.Fatal(err)
	}
	return r, w
}

// brief is a result in a line: code, source, server, then the records.
func brief(res Result, err error) string {
	if err != nil {
		if c := problem.CodeOf(err); c != "" {
			return string(c)
		}
		return err.Error()
	}
	out := []string{dns.RcodeToString[res.Code], res.Source}
	if res.Server.IsValid() {
		out = append(out, res.Server.Addr().String())
	}
	for _, rr := range res.Answer {
		out = append(out, "| "+strings.Join(strings.Fields(rr.String()), " "))
	}
	return strings.Join(out, " ")
}

func TestLookup(t *testing.T) {
	outside := zone(t, "cb1.example.com. 300 A 192.0.2.5", "www.example.com. 300 CNAME cb1.example.com.", "cb1.example.com. 300 AAAA 2001:db8::5",
		"alias.example.com. 300 CNAME cb9.example.net.")
	other := zone(t, "cb9.example.net. 200 A 192.0.2.9", "deep.sub.example.com. 100 A 192.0.2.7")
	servers := map[string]func(*dns.Msg, string) *dns.Msg{"10.0.0.1": outside, "10.0.0.2": other, "10.0.0.3": code(dns.RcodeServerFailure), "10.0.0.5": code(dns.RcodeRefused)}
	for _, tt := range []struct {
		name, kind, ask string
		setup           setup
		want            string
		asked           []string
	}{
		{
			name: "local record", kind: "a", ask: "CB1.example.com", setup: setup{records: []string{"cb1.example.com 60 A 10.0.0.5"}, zones: []string{". 10.0.0.1"}},
			want: "NOERROR local record | cb1.example.com. 60 IN A 10.0.0.5",
		}, {
			name: "local name without the type", kind: "aaaa", ask: "cb1.example.com", setup: setup{records: []string{"cb1.example.com 60 A 10.0.0.5"}, zones: []string{". 10.0.0.1"}},
			want: "NOERROR local record",
		}, {
			name: "local service", kind: "srv", ask: "_xmpp-component._tcp.example.com",
			setup: setup{records: []string{"_xmpp-component._tcp.example.com 60 SRV 0 0 5223 cb1.example.com", "_xmpp-component._tcp.example.com 60 SRV 0 0 5223 cb2.example.com"}},
			want:  "NOERROR local record | _xmpp-component._tcp.example.com. 60 IN SRV 0 0 5223 cb1.example.com. | _xmpp-component._tcp.example.com. 60 IN SRV 0 0 5223 cb2.example.com.",
		}, {
			name: "all names", kind: "a", ask: "cb1.example.com", setup: setup{zones: []string{". 10.0.0.1"}},
			want:  "NOERROR server 10.0.0.1 | cb1.example.com. 300 IN A 192.0.2.5",
			asked: []string{"10.0.0.1 udp cb1.example.com. A"},
		}, {
			name: "longest zone", kind: "a", ask: "deep.sub.example.com", setup: setup{zones: []string{". 10.0.0.9", "example.com 10.0.0.1", "sub.example.com 10.0.0.2"}},
			want:  "NOERROR server 10.0.0.2 | deep.sub.example.com. 100 IN A 192.0.2.7",
			asked: []string{"10.0.0.2 udp deep.sub.example.com. A"},
		}, {
			name: "zone ends at a label", kind: "a", ask: "notexample.com", setup: setup{zones: []string{"example.com 10.0.0.9", ". 10.0.0.1"}},
			want:  "NXDOMAIN server 10.0.0.1",
			asked: []string{"10.0.0.1 udp notexample.com. A"},
		}, {
			name: "lease's server", kind: "a", ask: "cb1.example.com", setup: setup{fallback: []string{"10.0.0.1"}, zones: []string{"example.net 10.0.0.9"}},
			want:  "NOERROR server 10.0.0.1 | cb1.example.com. 300 IN A 192.0.2.5",
			asked: []string{"10.0.0.1 udp cb1.example.com. A"},
		}, {
			name: "no server", kind: "a", ask: "cb1.example.com", want: "no-name-server",
		}, {
			name: "alias outside", kind: "a", ask: "www.example.com", setup: setup{zones: []string{". 10.0.0.1"}},
			want:  "NOERROR server 10.0.0.1 | www.example.com. 300 IN CNAME cb1.example.com. | cb1.example.com. 300 IN A 192.0.2.5",
			asked: []string{"10.0.0.1 udp www.example.com. A"},
		}, {
			name: "alias outside to a local name", kind: "a", ask: "www.example.com", setup: setup{zones: []string{". 10.0.0.1"}, records: []string{"cb1.example.com 60 A 10.0.0.5"}},
			want:  "NOERROR server 10.0.0.1 | www.example.com. 300 IN CNAME cb1.example.com. | cb1.example.com. 60 IN A 10.0.0.5",
			asked: []string{"10.0.0.1 udp www.example.com. A"},
		}, {
			name: "local alias to a name outside", kind: "a", ask: "chat.local", setup: setup{zones: []string{". 10.0.0.1"}, records: []string{"chat.local 60 CNAME www.example.com"}},
			want:  "NOERROR server 10.0.0.1 | chat.local. 60 IN CNAME www.example.com. | www.example.com. 300 IN CNAME cb1.example.com. | cb1.example.com. 300 IN A 192.0.2.5",
			asked: []string{"10.0.0.1 udp www.example.com. A"},
		}, {
			name: "local aliases", kind: "a", ask: "x.local", setup: setup{records: []string{"x.local 60 CNAME y.local", "y.local 60 CNAME z.local", "z.local 60 A 10.0.0.5"}},
			want: "NOERROR local record | x.local. 60 IN CNAME y.local. | y.local. 60 IN CNAME z.local. | z.local. 60 IN A 10.0.0.5",
		}, {
			name: "the alias itself", kind: "cname", ask: "x.local", setup: setup{records: []string{"x.local 60 CNAME y.local", "y.local 60 A 10.0.0.5"}},
			want: "NOERROR local record | x.local. 60 IN CNAME y.local.",
		}, {
			name: "first refuses", kind: "a", ask: "cb1.example.com", setup: setup{zones: []string{". 10.0.0.5", ". 10.0.0.1"}},
			want:  "NOERROR server 10.0.0.1 | cb1.example.com. 300 IN A 192.0.2.5",
			asked: []string{"10.0.0.5 udp cb1.example.com. A", "10.0.0.1 udp cb1.example.com. A"},
		}, {
			name: "first silent", kind: "a", ask: "cb1.example.com", setup: setup{zones: []string{". 10.0.0.9", ". 10.0.0.1"}},
			want:  "NOERROR server 10.0.0.1 | cb1.example.com. 300 IN A 192.0.2.5",
			asked: []string{"10.0.0.9 udp cb1.example.com. A", "10.0.0.1 udp cb1.example.com. A"},
		}, {
			name: "all fail", kind: "a", ask: "cb1.example.com", setup: setup{zones: []string{". 10.0.0.3", ". 10.0.0.9"}},
			want:  "name-servers-silent",
			asked: []string{"10.0.0.3 udp cb1.example.com. A", "10.0.0.9 udp cb1.example.com. A", "10.0.0.3 udp cb1.example.com. A", "10.0.0.9 udp cb1.example.com. A"},
		}, {
			name: "no such type", kind: "srv", ask: "cb1.example.com", setup: setup{zones: []string{". 10.0.0.1"}},
			want:  "NOERROR server 10.0.0.1",
			asked: []string{"10.0.0.1 udp cb1.example.com. SRV"},
		},
		{name: "localhost", kind: "a", ask: "localhost", want: "NOERROR local record | localhost. 3600 IN A 127.0.0.1"},
		{name: "kind unknown", kind: "any", ask: "cb1.example.com", want: "lookup-kind-bad"},
		{name: "kind nonsense", kind: "address", ask: "cb1.example.com", want: "lookup-kind-bad"},
		{name: "name nonsense", kind: "a", ask: "cb 1", want: "lookup-name-bad"},
		{name: "name empty", kind: "a", ask: "", want: "lookup-name-bad"},
		{
			name: "reverse", kind: "ptr", ask: "10.0.0.5", setup: setup{zones: []string{"0.0.10.in-addr.arpa 10.0.0.1"}},
			want: "NXDOMAIN server 10.0.0.1", asked: []string{"10.0.0.1 udp 5.0.0.10.in-addr.arpa. PTR"},
		},
	} {
		t.Run(tt.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				tt.setup.servers = servers
				r, w := tt.setup.resolver(t)
				if got := brief(r.Lookup(t.Context(), tt.kind, tt.ask)); got != tt.want {
					t.Errorf("Lookup(%s, %s) =\n  %s; want\n  %s", tt.kind, tt.ask, got, tt.want)
				}
				if diff := cmp.Diff(tt.asked, w.take()); diff != "" {
					t.Errorf("asked (-want +got):\n%s", diff)
				}
			})
		})
	}
}

func TestCacheKeepsToTheTTL(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := setup{zones: []string{". 10.0.0.1"}, servers: map[string]func(*dns.Msg, string) *dns.Msg{
			"10.0.0.1": zone(t, "www.example.com. 1000 CNAME cb1.example.com.", "cb1.example.com. 300 A 192.0.2.5", "zero.example.com. 0 A 192.0.2.6"),
		}}.resolver(t)
		step := func(wait time.Duration, name, want string, asked int) {
			t.Helper()
			time.Sleep(wait)
			if got := brief(r.Lookup(t.Context(), "a", name)); got != want {
				t.Errorf("%s =\n  %s; want\n  %s", name, got, want)
			}
			if n := len(w.take()); n != asked {
				t.Errorf("%s: %d queries; want %d", name, n, asked)
			}
		}
		step(0, "www.example.com", "NOERROR server 10.0.0.1 | www.example.com. 1000 IN CNAME cb1.example.com. | cb1.example.com. 300 IN A 192.0.2.5", 1)
		step(100*time.Second, "WWW.example.com", "NOERROR cache 10.0.0.1 | www.example.com. 900 IN CNAME cb1.example.com. | cb1.example.com. 200 IN A 192.0.2.5", 0)
		step(199*time.Second, "www.example.com", "NOERROR cache 10.0.0.1 | www.example.com. 701 IN CNAME cb1.example.com. | cb1.example.com. 1 IN A 192.0.2.5", 0)
		step(time.Second, "www.example.com", "NOERROR server 10.0.0.1 | www.example.com. 1000 IN CNAME cb1.example.com. | cb1.example.com. 300 IN A 192.0.2.5", 1)
		// A denial lasts no longer than maxDenied, though its SOA says 60 s.
		step(0, "none.example.com", "NXDOMAIN server 10.0.0.1", 1)
		step(maxDenied-time.Second, "none.example.com", "NXDOMAIN cache 10.0.0.1", 0)
		step(time.Second, "none.example.com", "NXDOMAIN server 10.0.0.1", 1)
		step(0, "zero.example.com", "NOERROR server 10.0.0.1 | zero.example.com. 0 IN A 192.0.2.6", 1)
		step(0, "zero.example.com", "NOERROR server 10.0.0.1 | zero.example.com. 0 IN A 192.0.2.6", 1)
		r.Flush()
		step(0, "www.example.com", "NOERROR server 10.0.0.1 | www.example.com. 1000 IN CNAME cb1.example.com. | cb1.example.com. 300 IN A 192.0.2.5", 1)
	})
}

// TestDenialIsOfWhoDenied: the server that is named is the one of the last part,
// whether that was cached or the alias before it was.
func TestDenialIsOfWhoDenied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		alias := func(q *dns.Msg, _ string) *dns.Msg {
			m := new(dns.Msg).SetReply(q)
			rr, err := dns.NewRR(q.Question[0].Name + " 100 CNAME none.example.net.")
			if err != nil {
				t.Error(err)
			}
			m.Answer = []dns.RR{rr}
			// It keeps to itself that there is no such name.
			return m
		}
		r, _ := setup{zones: []string{". 10.0.0.1", "example.net 10.0.0.2"}, servers: map[string]func(*dns.Msg, string) *dns.Msg{
			"10.0.0.1": alias, "10.0.0.2": zone(t),
		}}.resolver(t)
		for _, step := range []struct {
			name string
			wait time.Duration
			want string
		}{
			{"a.example.com", 0, "NXDOMAIN server 10.0.0.2 | a.example.com. 100 IN CNAME none.example.net."},
			{"b.example.com", 0, "NXDOMAIN cache 10.0.0.2 | b.example.com. 100 IN CNAME none.example.net."},
			{"a.example.com", 61 * time.Second, "NXDOMAIN server 10.0.0.2 | a.example.com. 39 IN CNAME none.example.net."},
		} {
			time.Sleep(step.wait)
			if got := brief(r.Lookup(t.Context(), "a", step.name)); got != step.want {
				t.Errorf("%s =\n  %s; want\n  %s", step.name, got, step.want)
			}
		}
	})
}

func TestForgetDenials(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := setup{zones: []string{". 10.0.0.1"}, servers: map[string]func(*dns.Msg, string) *dns.Msg{
			"10.0.0.1": zone(t, "cb1.example.com. 300 A 192.0.2.5"),
		}}.resolver(t)
		ask := func(when string, want int) {
			t.Helper()
			for kind, name := range map[string]string{"a": "none.example.com", "aaaa": "cb1.example.com", "A": "cb1.example.com"} {
				if _, err := r.Lookup(t.Context(), kind, name); err != nil {
					t.Error(err)
				}
			}
			if asked := w.take(); len(asked) != want {
				t.Errorf("%s: asked %v; want %d", when, asked, want)
			}
		}
		ask("at first", 3)
		ask("cached", 0)
		r.ForgetDenials()
		// No such name, and no such record of a name.
		ask("denials forgotten", 2)
	})
}

func TestServerThatFailedIsAskedLast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := setup{zones: []string{". 10.0.0.9", ". 10.0.0.1"}, servers: map[string]func(*dns.Msg, string) *dns.Msg{"10.0.0.1": zone(t)}}.resolver(t)
		ask := func(name string, want ...string) time.Duration {
			t.Helper()
			start := time.Now()
			if _, err := r.Lookup(t.Context(), "a", name); err != nil {
				t.Error(err)
			}
			if diff := cmp.Diff(want, w.take()); diff != "" {
				t.Errorf("asked (-want +got):\n%s", diff)
			}
			return time.Since(start)
		}
		if took := ask("a.example.com", "10.0.0.9 udp a.example.com. A", "10.0.0.1 udp a.example.com. A"); took < patience || took > 2*patience {
			t.Errorf("first look-up took %v; want little more than %v", took, patience)
		}
		if took := ask("b.example.com", "10.0.0.1 udp b.example.com. A"); took > patience/10 {
			t.Errorf("second look-up took %v; want it not to wait for the silent server", took)
		}
		time.Sleep(shunned)
		ask("c.example.com", "10.0.0.9 udp c.example.com. A", "10.0.0.1 udp c.example.com. A")
	})
}

func TestAskersAtOnceShareOneQuery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r, w := setup{zones: []string{". 10.0.0.1"}, servers: map[string]func(*dns.Msg, string) *dns.Msg{"10.0.0.1": zone(t, "cb1.example.com. 0 A 192.0.2.5")}}.resolver(t)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() {
				if _, err := r.Lookup(t.Context(), "a", "cb1.example.com"); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if asked := w.take(); len(asked) != 1 {
			t.Errorf("%d queries for one question; want 1", len(asked))
		}
		// One who gives up does not take the answer from the others.
		ctx, cancel := context.WithCancel(t.Context())
		wg.Go(func() {
			if _, err := r.Lookup(ctx, "a", "cb1.example.com"); !errors.Is(err, context.Canceled) {
				t.Errorf("the one who gave up got %v", err)
			}
		})
		synctest.Wait()
		wg.Go(func() {
			if _, err := r.Lookup(t.Context(), "a", "cb1.example.com"); err != nil {
				t.Errorf("the other got %v", err)
			}
		})
		synctest.Wait()
		cancel()
		wg.Wait()
	})
}

func TestCacheIsBounded(t *testing.T) {
	c := newCache()
	a, err := dns.NewRR("x. 300 A 192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 * maxEntries {
		k := key{dns.Fqdn(strings.Repeat("x", i%60+1) + "." + time.Duration(i).String()), dns.TypeA}
		if _, _, err := c.get(t.Context(), k, func(context.Context) (*reply, error) {
			return &reply{answer: []dns.RR{a}, at: time.Now()}, nil
		}); err != nil {
			t.Fatal(err)
		}
	}
	if len(c.entries) != maxEntries || c.order.Len() != maxEntries || len(c.flights) != 0 {
		t.Errorf("cache has %d entries, %d in order, %d flights; want %d, as many, 0", len(c.entries), c.order.Len(), len(c.flights), maxEntries)
	}
	big := &reply{at: time.Now()}
	for range 300 {
		big.answer = append(big.answer, a)
	}
	c.keep(key{"big.", dns.TypeA}, big)
	if c.find(key{"big.", dns.TypeA}) != nil {
		t.Error("an answer beyond the bound was kept")
	}
}

func TestWhatWasNotAskedForIsLeftOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rr := func(s string) dns.RR {
			r, err := dns.NewRR(s)
			if err != nil {
				t.Fatal(err)
			}
			return r
		}
		r, w := setup{zones: []string{". 10.0.0.1"}, servers: map[string]func(*dns.Msg, string) *dns.Msg{
			"10.0.0.1": func(q *dns.Msg, _ string) *dns.Msg {
				m := new(dns.Msg).SetReply(q)
				switch q.Question[0].Name {
				case "cb1.example.com.":
					m.Answer = []dns.RR{rr("bank.example.net. 300 A 192.0.2.66"), rr("cb1.example.com. 300 A 192.0.2.5")}
				case "ring.example.com.":
					m.Answer = []dns.RR{rr("ring.example.com. 300 CNAME b.example.com."), rr("b.example.com. 300 CNAME ring.example.com.")}
				case "other.example.com.":
					m.Question[0].Name = "cb1.example.com."
				default:
					m.Answer = []dns.RR{rr(q.Question[0].Name + " 300 CNAME x" + q.Question[0].Name)}
				}
				return m
			},
		}}.resolver(t)
		if got, want := brief(r.Lookup(t.Context(), "a", "cb1.example.com")), "NOERROR server 10.0.0.1 | cb1.example.com. 300 IN A 192.0.2.5"; got != want {
			t.Errorf("Lookup = %s; want %s", got, want)
		}
		if got := brief(r.Lookup(t.Context(), "a", "other.example.com")); got != string(problem.NameServersSilent) {
			t.Errorf("answer to another question = %s; want %s", got, problem.NameServersSilent)
		}
		// Neither aliases that go round nor ones without end keep it busy.
		brief(r.Lookup(t.Context(), "a", "ring.example.com"))
		w.take()
		if _, err := r.Lookup(t.Context(), "a", "deep.example.com"); !errors.Is(err, errChain) {
			t.Errorf("endless aliases: %v; want %v", err, errChain)
		}
		if n := len(w.take()); n != maxChain {
			t.Errorf("endless aliases cost %d queries; want %d", n, maxChain)
		}
	})
}
