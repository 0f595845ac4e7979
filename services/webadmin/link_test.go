package webadmin

import (
	"net"
	"strings"
	"testing"
	"unicode"
)

func TestIsServer(t *testing.T) {
	for server, want := range map[string]bool{
		"localhost": true, "localhost:5223": true, "cb1.tptac9.com": true, "cb1.tptac9.com.": true, "cb1.tptac9.com:65535": true, "10.106.81.30": true, "10.106.81.30:5223": true,
		"fe80::1": true, "[2001:db8::1]:5223": true, "xmpp_1.example": true,
		"": false, "bücher.example": false, "10.106.81": false, "10.106.81.300": false, "0.0.0.0": false, "224.0.0.1:5223": false, ":5223": false, "cb1:": false, "cb1:0": false, "cb1:65536": false, "cb1:x": false, "https://cb1": false, "cb1/x": false, "c b": false, "-cb1": false,
		"cb1..x": false, "cb1:5223:1": false, "[cb1": false, "user@cb1": false, "cb1\n": false, strings.Repeat("a", 64) + ".example": false, strings.Repeat("a.", 130) + "b": false,
	} {
		if got := isServer(server); got != want {
			t.Errorf("isServer(%q) = %v; want %v", server, got, want)
		}
	}
}

// FuzzIsServer: what is accepted can be taken apart, and holds nothing that
// could stand for something else in a log line, a file or a look-up.
func FuzzIsServer(f *testing.F) {
	for _, s := range []string{"cb1.tptac9.com:5223", "[::1]:5223", "10.0.0.1", "::1%eth0", "a..b", "ä:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, server string) {
		if !isServer(server) {
			return
		}
		if strings.ContainsFunc(server, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) || r == '/' || r == '"' }) {
			t.Errorf("isServer(%q) = true", server)
		}
		if host, _, err := net.SplitHostPort(server); err == nil && host == "" {
			t.Errorf("isServer(%q) = true without a host", server)
		}
	})
}
