package callbridge

import (
	"context"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/miekg/dns"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/network/networkapi"
	"parley/services/problem"
)

// Ports of an XMPP server: that of clients, and that of components.
const (
	clientPort    = 5222
	componentPort = 5223
)

// target is a server to try: a name, or an address in its place.
type target struct {
	name string
	port uint16
	// priority that the DNS gives it; less is better.
	priority int
	// given: it is the one that is configured, and not of the DNS.
	given bool
}

func (t target) String() string { return net.JoinHostPort(t.name, strconv.Itoa(int(t.port))) }

// question is the name that the servers of a domain are found by.
func question(domain string) string { return "_xmpp-component._tcp." + domain }

// targets are the servers to try, in order: the one that is configured, or
// those that the DNS names.
func (w *way) targets(ctx context.Context) ([]target, *failure) {
	if w.link.Server != "" {
		t, err := parseServer(w.link.Server)
		if err != nil {
			return nil, failed(callbridgeapi.DNSError, err)
		}
		t.given = true
		return []target{t}, nil
	}
	name := question(w.link.Domain)
	begun := time.Now()
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	answer, err := w.names.Lookup(ctx, "srv", name)
	var records []*dns.SRV
	if err == nil {
		for _, rr := range parse(answer) {
			// A target of "." says that there is no such service.
			if srv, ok := rr.(*dns.SRV); ok && srv.Target != "." {
				records = append(records, srv)
			}
		}
	}
	var f *failure
	if err != nil || len(records) == 0 {
		f = noAnswer("SRV", name, answer, err)
		f.nameless = []string{name}
		if err == nil {
			f.hint = fmt.Sprintf("add a record for each XMPP server to the DNS, as in 'dns add rr %s. 86400 IN SRV 0 0 %d cb1.%s.', or name one with 'callbridge xmpp server <host>'",
				name, componentPort, w.link.Domain) + flushHint(answer)
		}
		w.tell(callbridgeapi.Step{What: "DNS SRV"}, begun, f, "")
		return nil, f
	}
	all := make([]target, 0, len(records))
	for _, r := range order(records, w.random) {
		all = append(all, target{name: strings.TrimSuffix(r.Target, "."), port: r.Port, priority: int(r.Priority)})
	}
	names := make([]string, len(all))
	for i, t := range all {
		names[i] = t.String()
	}
	w.tell(callbridgeapi.Step{What: "DNS SRV"}, begun, nil, fmt.Sprintf("%s: %s, from %s", name, strings.Join(names, ", "), answer.Origin()))
	return all, nil
}

// addresses are those of a target, IPv4 first.
func (w *way) addresses(ctx context.Context, t target) ([]netip.AddrPort, *failure) {
	if a, err := netip.ParseAddr(t.name); err == nil {
		return []netip.AddrPort{netip.AddrPortFrom(a, t.port)}, nil
	}
	if t.name == localhost {
		own := w.own()
		if len(own) == 0 {
			return nil, &failure{reason: callbridgeapi.ConnectionFailure, detail: "this node's XMPP server has no address", hint: "see 'xmpp listen' and 'ipv4 a'"}
		}
		return []netip.AddrPort{netip.AddrPortFrom(own[0], t.port)}, nil
	}
	ctx, cancel := context.WithTimeout(ctx, lookupTime)
	defer cancel()
	var found []netip.AddrPort
	var first *failure
	for _, kind := range []string{"a", "aaaa"} {
		begun := time.Now()
		answer, err := w.names.Lookup(ctx, kind, t.name)
		n := len(found)
		if err == nil {
			for _, rr := range parse(answer) {
				if a, ok := address(rr); ok {
					found = append(found, netip.AddrPortFrom(a, t.port))
				}
			}
		}
		what := "DNS " + strings.ToUpper(kind)
		if got := found[n:]; len(got) > 0 {
			var texts []string
			for _, a := range got {
				texts = append(texts, a.Addr().String())
			}
			w.tell(callbridgeapi.Step{Target: t.name, What: what}, begun, nil, fmt.Sprintf("%s, from %s", strings.Join(texts, ", "), answer.Origin()))
			continue
		}
		if first == nil {
			first = noAnswer(strings.ToUpper(kind), t.name, answer, err)
			first.target, first.nameless = t, []string{t.name}
			if err == nil {
				first.hint = fmt.Sprintf("add its address to the DNS, as in 'dns add rr %s. 86400 IN A <address>', or correct the name", t.name) + flushHint(answer)
			}
		}
	}
	if len(found) > 0 {
		return found, nil
	}
	w.tell(callbridgeapi.Step{Target: t.name, What: "DNS A"}, time.Now(), first, "")
	return nil, first
}

const (
	localhost = "localhost"
	// lookupTime bounds the questions for one name; the resolver has tried
	// all of its servers by then.
	lookupTime = 10 * time.Second
)

// order is that of RFC 2782: by priority, and among equals by chance, as often
// first as the weight says. random returns a number below n.
func order(records []*dns.SRV, random func(n int) int) []*dns.SRV {
	left := slices.Clone(records)
	// The weights choose by the order that they come in, and where all are 0 the
	// first one: without chance in that each bridge would have the same one.
	for i := len(left) - 1; i > 0; i-- {
		j := random(i + 1)
		left[i], left[j] = left[j], left[i]
	}
	// Weight 0 comes first, so that it has the smallest chance.
	slices.SortStableFunc(left, func(a, b *dns.SRV) int {
		if a.Priority != b.Priority {
			return int(a.Priority) - int(b.Priority)
		}
		return min(int(a.Weight), 1) - min(int(b.Weight), 1)
	})
	var ordered []*dns.SRV
	for len(left) > 0 {
		group, sum := 0, 0
		for group < len(left) && left[group].Priority == left[0].Priority {
			sum += int(left[group].Weight)
			group++
		}
		n := random(sum + 1)
		at := 0
		for running := int(left[0].Weight); running < n; running += int(left[at].Weight) {
			at++
		}
		ordered = append(ordered, left[at])
		left = slices.Delete(left, at, at+1)
	}
	return ordered
}

// parse reads the records of an answer. What cannot be read is none.
func parse(a networkapi.Answer) []dns.RR {
	var rrs []dns.RR
	for _, text := range a.Records {
		if rr, err := dns.NewRR(text); err == nil && rr != nil {
			rrs = append(rrs, rr)
		}
	}
	return rrs
}

func address(rr dns.RR) (netip.Addr, bool) {
	var a netip.Addr
	ok := false
	switch rr := rr.(type) {
	case *dns.A:
		a, ok = netip.AddrFromSlice(rr.A)
	case *dns.AAAA:
		a, ok = netip.AddrFromSlice(rr.AAAA)
	}
	return a.Unmap(), ok
}

// forgetDenials is for people who have mended the DNS and look whether that
// helps; it is no loss where it fails.
func (b *Bridge) forgetDenials(ctx context.Context) {
	if err := b.deps.Names.ForgetDenials(ctx); err != nil {
		b.log.Warn("what the DNS did not have is not asked for anew", "err", err)
	}
}

// fromCache is how the network service calls what it did not ask for now.
const fromCache = "cache"

// flushHint is added where the cache says that there is no record.
func flushHint(a networkapi.Answer) string {
	if a.Source == fromCache {
		return "; where it is there by now type 'dns flush'"
	}
	return ""
}

// noAnswer is a name without the records that were asked for.
func noAnswer(kind, name string, a networkapi.Answer, err error) *failure {
	if err != nil {
		f := failed(callbridgeapi.DNSError, err)
		f.detail = fmt.Sprintf("asked for %s %s: %s", kind, name, f.detail)
		return f
	}
	what := a.Code
	if a.Code == dns.RcodeToString[dns.RcodeSuccess] {
		what = "no such record"
	}
	return &failure{reason: callbridgeapi.DNSError, detail: fmt.Sprintf("asked for %s %s: %s, from %s", kind, name, what, a.Origin())}
}

// failed is err in the words that people read, the fix apart.
func failed(reason callbridgeapi.Reason, err error) *failure {
	wrong, fix, _ := strings.Cut(problem.Text(err), "; ")
	return &failure{reason: reason, detail: wrong, hint: fix}
}
