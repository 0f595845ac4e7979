package resolver

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"net/netip"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/miekg/dns"

	"parley/services/config"
)

func TestNames(t *testing.T) {
	server := upstream(t, func(w dns.ResponseWriter, q *dns.Msg) {
		m := new(dns.Msg)
		m.SetRcode(q, dns.RcodeNameError)
		if q.Question[0].Name == "cb2.tptac9.com." {
			m.SetReply(q)
			if q.Question[0].Qtype == dns.TypeA {
				rr, _ := dns.NewRR("cb2.tptac9.com. 60 IN A 10.0.0.32")
				m.Answer = []dns.RR{rr}
			}
		}
		_ = w.WriteMsg(m)
	})
	r := New(slog.New(slog.NewTextHandler(t.Output(), nil)), Sockets{}, func() []netip.AddrPort { return []netip.AddrPort{server} })
	if err := r.Configure(config.DNS{Records: []string{"cb1.tptac9.com. 60 IN A 10.0.0.31", "cb1.tptac9.com. 60 IN AAAA 2001:db8::31"}}); err != nil {
		t.Fatal(err)
	}
	begun := make(chan struct{})
	names := r.Names(begun)
	early, cancel := context.WithCancel(t.Context())
	cancel()
	if got, err := names.LookupHost(early, "cb1.tptac9.com."); err == nil {
		t.Errorf("LookupHost before the settings are known = %v; want an error", got)
	}
	close(begun)
	for _, tt := range []struct {
		name string
		want []string
	}{
		{"cb1.tptac9.com.", []string{"10.0.0.31", "2001:db8::31"}},
		{"cb2.tptac9.com.", []string{"10.0.0.32"}},
	} {
		got, err := names.LookupHost(t.Context(), tt.name)
		if err != nil || !cmp.Equal(got, tt.want) {
			t.Errorf("LookupHost(%s) = %v, %v; want %v", tt.name, got, err, tt.want)
		}
	}
	got, err := names.LookupHost(t.Context(), "cb9.tptac9.com.")
	if d, ok := errors.AsType[*net.DNSError](err); !ok || !d.IsNotFound {
		t.Errorf("LookupHost of a name that is not = %v, %v; want not found", got, err)
	}
}
