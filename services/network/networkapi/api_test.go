package networkapi

import (
	"net/netip"
	"testing"
)

func TestOrigin(t *testing.T) {
	for _, tt := range []struct{ source, server, want string }{
		{"local record", "", "local record"},
		{"server", "10.0.0.1:53", "10.0.0.1"},
		{"server", "10.0.0.1:5353", "10.0.0.1:5353"},
		{"server", "[2001:db8::1]:53", "2001:db8::1"},
		{"cache", "10.0.0.1:53", "10.0.0.1 (cached)"},
		{"cache", "[2001:db8::1]:5353", "[2001:db8::1]:5353 (cached)"},
	} {
		a := Answer{Source: tt.source}
		if tt.server != "" {
			a.Server = netip.MustParseAddrPort(tt.server)
		}
		if got := a.Origin(); got != tt.want {
			t.Errorf("Origin of %s %s = %q; want %q", tt.source, tt.server, got, tt.want)
		}
	}
}
