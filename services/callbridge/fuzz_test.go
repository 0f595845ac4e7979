package callbridge

import (
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"unicode"

	"parley/services/config"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// FuzzServer: whatever a server sends after its header, it ends as a failure
// whose text is one line, and what is answered is well-formed.
func FuzzServer(f *testing.F) {
	header := string(stream.Header{Content: stanza.NSComponent, From: "cb1." + domain, ID: "1"}.Append(nil))
	for _, s := range []string{
		"<handshake/>", "<stream:error><conflict xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>",
		"<stream:error><x xmlns='urn:ietf:params:xml:ns:xmpp-streams'/><text xmlns='urn:ietf:params:xml:ns:xmpp-streams'>a&#10;b</text></stream:error>",
		"<stream:error><see-other-host xmlns='urn:ietf:params:xml:ns:xmpp-streams'>[::1]&#10;:1</see-other-host></stream:error>",
		"<stream:error/>", "<iq type='get' id='1' from='a'><ping xmlns='urn:xmpp:ping'/></iq>", "<iq type='set' id='1'/>", "<iq type='get'><query xmlns='http://jabber.org/protocol/disco#info' node='x'/></iq>",
		"<enabled xmlns='urn:xmpp:sm:3'/><r xmlns='urn:xmpp:sm:3'/><a xmlns='urn:xmpp:sm:3' h='0'/>", "<a xmlns='urn:xmpp:sm:3' h='x'/>",
		"</stream:stream>", "<message><body>x</body></message>", "<a",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		w := &wire{scanner: stream.NewScanner(strings.NewReader(header+s), stanza.NSComponent, limits)}
		defer w.scanner.Release()
		if _, err := w.scanner.Header(); err != nil {
			t.Fatal(err)
		}
		for {
			e, err := w.next()
			if err != nil {
				checkFailure(t, err)
				return
			}
			if e.Name.Space == stanza.NSSM {
				if _, err := w.acks.heed(e); err != nil {
					checkFailure(t, err)
					return
				}
				continue
			}
			reply := answer(e)
			if reply == nil {
				continue
			}
			again, err := stream.ParseStanza(bytes.Clone(reply.Append(nil, "")))
			if err != nil || again.Attr("id") != e.Attr("id") {
				t.Fatalf("answer %s to %s: %v", reply, e, err)
			}
		}
	})
}

// FuzzParseServer: what is accepted has a port and a name that can be looked up,
// or an address without a zone, and is the same when it is written out and read
// again.
func FuzzParseServer(f *testing.F) {
	for _, s := range []string{"cb1.tptac9.com:5223", "[::1]:5223", "10.0.0.1", "::1%eth0", "fe80::1%foo bar", "[fe80::1%\n]:1", "a..b", "ä:1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		got, err := parseServer(s)
		if err != nil {
			return
		}
		if a, err := netip.ParseAddr(got.name); got.port == 0 || err == nil && a.Zone() != "" || err != nil && !isHost(got.name) ||
			strings.ContainsFunc(got.name, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("/\"'%[]", r) }) {
			t.Errorf("parseServer(%q) = %v", s, got)
		}
		if again, err := parseServer(net.JoinHostPort(got.name, strconv.Itoa(int(got.port)))); err != nil || again != got {
			t.Errorf("parseServer(%q) = %v; again it is %v, %v", s, got, again, err)
		}
	})
}

func checkFailure(t *testing.T, err error) {
	failure := broken(err)
	if e, ok := errors.AsType[*stream.Error](err); ok {
		failure = refused(e, config.BridgeLink{Name: "cb1", Server: "cb1.example.com", Secret: "kvgP1SRzWVabhi01Ab1"})
	}
	if text := failure.text(); failure.reason == "" || strings.ContainsFunc(text, unicode.IsControl) {
		t.Fatalf("failure %q for %q; want one line and a reason", text, failure.reason)
	}
}
