package resolver

import (
	"fmt"
	"net/netip"
	"strings"

	"github.com/miekg/dns"

	"parley/services/config"
	"parley/services/problem"
)

const (
	// recordTTL is that of a local record that names none, in seconds.
	recordTTL = 3600
	// maxRecord bounds the text of a local record: an owner and a target of
	// 253 octets each, and what stands between.
	maxRecord = 600
	// maxTTL is the greatest that RFC 2181 §8 allows.
	maxTTL = 1<<31 - 1
)

// ParseRecord reads a local record in zone-file form (RFC 1035 §5.1): an owner,
// optionally TTL and class IN, a type of A, AAAA, SRV or CNAME, and the data.
// All names are absolute, with or without the last dot, and in lower case in
// the result. An error is a problem.RecordBad.
func ParseRecord(text string) (dns.RR, error) {
	bad := func(reason string) error {
		return problem.New(problem.RecordBad, "record", text, "reason", reason)
	}
	if len(text) > maxRecord {
		text = text[:60] + "…"
		return nil, bad("it is too long")
	}
	for _, c := range []byte(text) {
		if c < ' ' && c != '\t' || c > '~' || strings.IndexByte("$();\"\\*@", c) >= 0 {
			return nil, bad(fmt.Sprintf("it holds the character %q", c))
		}
	}
	if text != "" && (text[0] == ' ' || text[0] == '\t') {
		return nil, bad("it begins with a blank")
	}
	if endsEarly(strings.Fields(text)) {
		return nil, bad("it has no data")
	}
	zone := dns.NewZoneParser(strings.NewReader(text), ".", "")
	zone.SetDefaultTTL(recordTTL)
	rr, ok := zone.Next()
	if err := zone.Err(); err != nil {
		return nil, bad(reasonOf(err))
	}
	if !ok {
		if strings.TrimSpace(text) != "" {
			return nil, bad("it has no data")
		}
		return nil, bad("it is empty")
	}
	h := rr.Header()
	h.Name = dns.CanonicalName(h.Name)
	names := []string{h.Name}
	switch rr := rr.(type) {
	case *dns.A, *dns.AAAA:
	case *dns.SRV:
		rr.Target = dns.CanonicalName(rr.Target)
		// A target of "." says that there is no such service (RFC 2782).
		if rr.Target != "." {
			names = append(names, rr.Target)
		}
	case *dns.CNAME:
		rr.Target = dns.CanonicalName(rr.Target)
		names = append(names, rr.Target)
	default:
		return nil, bad("its type is " + dns.TypeToString[h.Rrtype])
	}
	if h.Class != dns.ClassINET {
		return nil, bad("its class is " + dns.ClassToString[h.Class])
	}
	if h.Ttl > maxTTL {
		return nil, bad("its TTL is too great")
	}
	for _, name := range names {
		if !isName(name) {
			return nil, bad("'" + name + "' is not a domain name")
		}
	}
	return rr, nil
}

// endsEarly says whether a record ends before its data: with its owner, or with
// its type. The parser's own words for that mislead.
func endsEarly(fields []string) bool {
	for i, f := range fields {
		if _, ok := dns.StringToType[strings.ToUpper(f)]; ok && i > 0 {
			return i == len(fields)-1
		}
	}
	return len(fields) == 1
}

// reasonOf is what a zone parser's error says, without the place in a file
// that the operator does not have.
func reasonOf(err error) string {
	s, _, _ := strings.Cut(err.Error(), " at line:")
	s = strings.TrimPrefix(s, "dns: ")
	// "bad SRV Port: "x"", and for an address "bad A A: "x"".
	what, value, ok := strings.Cut(s, ": ")
	field := strings.Fields(what)
	if !ok || len(field) != 3 || field[0] != "bad" {
		return s
	}
	if field[1] == field[2] {
		field[2] = "address"
	}
	if strings.Trim(value, "\" ") == "" {
		return "it has no " + strings.ToLower(field[2])
	}
	return value + " is not its " + strings.ToLower(field[2])
}

// ParseZone reads the domain of a forward zone and returns it as the document
// keeps it: lower case and without the last dot, except for "." itself. An
// error is a problem.ZoneBad.
func ParseZone(text string) (string, error) {
	if text == "." {
		return text, nil
	}
	name := dns.CanonicalName(text)
	if !isName(name) {
		return "", problem.New(problem.ZoneBad, "domain", text)
	}
	return strings.TrimSuffix(name, "."), nil
}

// ParseServer reads the address of a name server, its port 53 where none is
// given. An error is a problem.NameServerBad.
func ParseServer(text string) (netip.AddrPort, error) {
	server, err := netip.ParseAddrPort(text)
	if err != nil {
		addr, err := netip.ParseAddr(text)
		if err != nil {
			return netip.AddrPort{}, problem.New(problem.NameServerBad, "server", text)
		}
		server = netip.AddrPortFrom(addr, 53)
	}
	return server, checkServer(server)
}

func checkServer(s netip.AddrPort) error {
	a := s.Addr()
	if !a.IsValid() || s.Port() == 0 || a.IsUnspecified() || a.IsMulticast() || a == netip.AddrFrom4([4]byte{255, 255, 255, 255}) {
		return problem.New(problem.NameServerBad, "server", s.String())
	}
	return nil
}

// isName says whether name, absolute, is made of labels that hosts and
// services have: letters, digits, hyphens and underscores.
func isName(name string) bool {
	if len(name) > 254 || len(name) < 2 {
		return false
	}
	for label := range strings.SplitSeq(strings.TrimSuffix(name, "."), ".") {
		if label == "" || len(label) > 63 {
			return false
		}
		for _, c := range []byte(label) {
			switch {
			case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9', c == '-', c == '_':
			default:
				return false
			}
		}
	}
	return true
}

// Check says whether a resolver can take d; what it returns is a problem.
func Check(d config.DNS) error {
	_, err := newSettings(d)
	return err
}
