package resolver

import (
	"net"
	"net/netip"
	"slices"

	"github.com/miekg/dns"

	"parley/services/config"
	"parley/services/problem"
)

// settings is one configuration with all that was learnt under it; a new one
// starts with an empty cache. It is not changed once made, but for the cache.
type settings struct {
	// zones has the servers of each forward zone, in the order configured.
	zones map[string][]netip.AddrPort
	// local has the local records of each name. A name that is here is
	// wholly ours: a type that it lacks is answered with no data, so that
	// an AAAA from outside cannot get around a local A.
	local map[string][]dns.RR
	cache *cache
}

func newSettings(d config.DNS) (*settings, error) {
	s := &settings{
		zones: map[string][]netip.AddrPort{},
		local: map[string][]dns.RR{"localhost.": localhost()},
		cache: newCache(),
	}
	for _, z := range d.Zones {
		domain, err := ParseZone(z.Domain)
		if err != nil {
			return nil, err
		}
		if err := checkServer(z.Server); err != nil {
			return nil, err
		}
		domain = dns.Fqdn(domain)
		if !slices.Contains(s.zones[domain], z.Server) {
			s.zones[domain] = append(s.zones[domain], z.Server)
		}
	}
	for _, text := range d.Records {
		rr, err := ParseRecord(text)
		if err != nil {
			return nil, err
		}
		name := rr.Header().Name
		if name == "localhost." {
			delete(s.local, name)
		}
		if slices.ContainsFunc(s.local[name], func(have dns.RR) bool { return dns.IsDuplicate(have, rr) }) {
			continue
		}
		s.local[name] = append(s.local[name], rr)
	}
	return s, s.checkAliases()
}

// checkAliases keeps two rules: an alias has no other records (RFC 1034
// §3.6.2), and following aliases comes to an end.
func (s *settings) checkAliases() error {
	for name, rrs := range s.local {
		for _, rr := range rrs {
			if rr.Header().Rrtype == dns.TypeCNAME && len(rrs) > 1 {
				return problem.New(problem.RecordClash, "name", name)
			}
		}
		at := name
		for range len(s.local) + 1 {
			next := target(s.local[at])
			if next == "" {
				break
			}
			if next == name {
				return problem.New(problem.RecordLoop, "name", name)
			}
			at = next
		}
	}
	return nil
}

// target is where the alias among rrs leads, or "".
func target(rrs []dns.RR) string {
	for _, rr := range rrs {
		if c, ok := rr.(*dns.CNAME); ok {
			return c.Target
		}
	}
	return ""
}

// servers are those of the longest forward zone that name is in.
func (s *settings) servers(name string) []netip.AddrPort {
	for off, end := 0, false; !end; off, end = dns.NextLabel(name, off) {
		if servers := s.zones[name[off:]]; servers != nil {
			return servers
		}
	}
	return s.zones["."]
}

// localhost is answered by the resolver itself (RFC 6761 §6.3).
func localhost() []dns.RR {
	head := func(t uint16) dns.RR_Header {
		return dns.RR_Header{Name: "localhost.", Rrtype: t, Class: dns.ClassINET, Ttl: recordTTL}
	}
	return []dns.RR{
		&dns.A{Hdr: head(dns.TypeA), A: net.IPv4(127, 0, 0, 1)},
		&dns.AAAA{Hdr: head(dns.TypeAAAA), AAAA: net.IPv6loopback},
	}
}
