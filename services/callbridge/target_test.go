package callbridge

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"parley/services/config"
	"parley/services/network/networkapi"
	"parley/services/problem"
	"parley/services/xmpp"
)

func TestPortsAreTheServers(t *testing.T) {
	if clientPort != xmpp.ClientPort || componentPort != xmpp.ComponentPort {
		t.Errorf("ports %d, %d; want %d, %d", clientPort, componentPort, xmpp.ClientPort, xmpp.ComponentPort)
	}
}

func records(t *testing.T, specs ...string) []*dns.SRV {
	t.Helper()
	var out []*dns.SRV
	for _, s := range specs {
		rr := parse(networkapi.Answer{Records: []string{"_x._tcp.example. 60 IN SRV " + s + "."}})
		if len(rr) != 1 {
			t.Fatalf("no record in %q", s)
		}
		out = append(out, rr[0].(*dns.SRV))
	}
	return out
}

func TestOrderByPriority(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 100 {
		var got []string
		for _, r := range order(records(t, "20 0 1 d", "0 9 1 a", "10 1 1 b", "10 0 1 c"), rnd.IntN) {
			got = append(got, strings.TrimSuffix(r.Target, "."))
		}
		if got[0] != "a" || got[3] != "d" || !strings.Contains("bc cb", got[1]+got[2]) {
			t.Fatalf("order = %q; want a, then b and c, then d", got)
		}
	}
}

// TestOrderByWeight: how often each is first, of 10 000 times.
func TestOrderByWeight(t *testing.T) {
	for _, tt := range []struct {
		name    string
		records []string
		share   map[string]float64
	}{
		{"by weight", []string{"0 10 1 a", "0 30 1 b", "0 60 1 c"}, map[string]float64{"a": .10, "b": .30, "c": .60}},
		{"all zero", []string{"0 0 1 a", "0 0 1 b", "0 0 1 c", "0 0 1 d"}, map[string]float64{"a": .25, "b": .25, "c": .25, "d": .25}},
		{"all zero, of two priorities", []string{"9 0 1 d", "0 0 1 a", "9 0 1 c", "0 0 1 b"}, map[string]float64{"a": .5, "b": .5}},
		{"two zeros among others", []string{"0 98 1 c", "0 0 1 a", "0 0 1 b"}, map[string]float64{"a": .005, "b": .005, "c": .99}},
		{"zero among others has a small chance", []string{"0 50 1 b", "0 0 1 a", "0 49 1 c"}, map[string]float64{"a": .01, "b": .50, "c": .49}},
		{"one", []string{"5 7 1 a"}, map[string]float64{"a": 1}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			rnd := rand.New(rand.NewPCG(3, 4))
			const n = 10_000
			got := map[string]int{}
			for range n {
				o := order(records(t, tt.records...), rnd.IntN)
				if len(o) != len(tt.records) {
					t.Fatalf("%d records; want all %d", len(o), len(tt.records))
				}
				got[strings.TrimSuffix(o[0].Target, ".")]++
			}
			for name, share := range tt.share {
				if d := float64(got[name])/n - share; d < -.02 || d > .02 {
					t.Errorf("%s was first %d times of %d; want %.0f %%", name, got[name], n, share*100)
				}
			}
		})
	}
}

func TestTargetInWords(t *testing.T) {
	for _, tt := range []struct {
		target target
		want   string
	}{
		{target{name: "cb1.tptac9.com", port: 5223}, "cb1.tptac9.com:5223"},
		{target{name: "::1", port: 5223}, "[::1]:5223"},
	} {
		if got := tt.target.String(); got != tt.want {
			t.Errorf("String of %+v = %q; want %q", tt.target, got, tt.want)
		}
	}
}

func TestParseServer(t *testing.T) {
	for _, tt := range []struct {
		in   string
		want target
		ok   bool
	}{
		{"cb1.tptac9.com", target{name: "cb1.tptac9.com", port: 5223}, true},
		{"CB1.tptac9.com.", target{name: "cb1.tptac9.com", port: 5223}, true},
		{"cb1.tptac9.com:15223", target{name: "cb1.tptac9.com", port: 15223}, true},
		{"10.106.81.30", target{name: "10.106.81.30", port: 5223}, true},
		{"10.106.81.30:5222", target{name: "10.106.81.30", port: 5222}, true},
		{"localhost", target{name: "localhost", port: 5223}, true},
		{"localhost:5223", target{name: "localhost", port: 5223}, true},
		{"::1", target{name: "::1", port: 5223}, true},
		{"[::1]", target{name: "::1", port: 5223}, true},
		{"[2001:db8::1]:99", target{name: "2001:db8::1", port: 99}, true},
		{"cb1:0", target{}, false}, {"cb1:x", target{}, false}, {"cb1:65536", target{}, false}, {":5223", target{}, false},
		{"", target{}, false}, {"a b", target{}, false}, {"a..b", target{}, false}, {"-a", target{}, false},
		{"0.0.0.0", target{}, false}, {"::", target{}, false}, {"10.1.2", target{}, false}, {"1.2.3.999", target{}, false},
		{"fe80::1%foo bar", target{}, false}, {"[fe80::1%a]:5223", target{}, false}, {"fe80::1%a", target{}, false},
		{"https://cb1", target{}, false}, {"[cb1]", target{}, false}, {"[::1", target{}, false}, {"::1]", target{}, false}, {"[[::1]]", target{}, false}, {"[10.0.0.1]", target{}, false},
	} {
		t.Run(tt.in, func(t *testing.T) {
			got, err := parseServer(tt.in)
			if d := cmp.Diff(tt.want, got, cmp.AllowUnexported(target{})); d != "" || (err == nil) != tt.ok {
				t.Errorf("parseServer(%q) = %v, %v; want ok %v (-want +got):\n%s", tt.in, got, err, tt.ok, d)
			}
			if !tt.ok && problem.CodeOf(err) != problem.LinkServer {
				t.Errorf("parseServer(%q) = %v; want LinkServer", tt.in, err)
			}
		})
	}
}

func TestCheckLink(t *testing.T) {
	for _, tt := range []struct {
		name string
		link config.BridgeLink
		want problem.Code
	}{
		{"empty", config.BridgeLink{}, ""},
		{"the article's", config.BridgeLink{Name: "cb1", Domain: domain, Secret: "kvgP1SRzWVabhiPVAb1"}, ""},
		{"name with domain", config.BridgeLink{Name: "cb1.tptac9.com"}, problem.BridgeName},
		{"name with blank", config.BridgeLink{Name: "c b"}, problem.BridgeName},
		{"name too long", config.BridgeLink{Name: strings.Repeat("a", 64)}, problem.BridgeName},
		{"domain with blank", config.BridgeLink{Domain: "a b.com"}, problem.LinkDomain},
		{"domain in capitals", config.BridgeLink{Domain: "TPTAC9.com"}, problem.LinkDomain},
		{"domain is an address", config.BridgeLink{Domain: "10.0.0.1"}, problem.LinkDomain},
		{"domain of one label", config.BridgeLink{Domain: "localhost"}, problem.LinkDomain},
		{"server", config.BridgeLink{Server: "a:b:c"}, problem.LinkServer},
		{"secret too short", config.BridgeLink{Secret: "short"}, problem.BridgeSecret},
		{"secret with a blank", config.BridgeLink{Secret: "kvgP1SRz WVabhiPVAb1"}, problem.BridgeSecret},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := problem.CodeOf(CheckLink(tt.link)); got != tt.want {
				t.Errorf("CheckLink(%+v) = %q; want %q", tt.link, got, tt.want)
			}
		})
	}
}

func TestNoSuchServiceIsNoTarget(t *testing.T) {
	inBubble(t, "", func(t *testing.T, b *bubble) {
		b.zone.set(fmt.Sprintf("_xmpp-component._tcp.%s. 60 IN SRV 0 0 0 .", domain))
		b.begin()
		if s := b.now(); !strings.Contains(s.Detail, "no such record") {
			t.Errorf("detail %q; want no record", s.Detail)
		}
	})
}
