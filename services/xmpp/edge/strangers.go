package edge

import (
	"net"
	"net/netip"
	"sync"
)

// strangers counts the connections that have not authenticated.
type strangers struct {
	max, maxPerAddress int

	mu     sync.Mutex
	all    int
	byAddr map[netip.Addr]int
}

// enter says whether one more from a may be let in; leave takes it out again.
func (s *strangers) enter(a netip.Addr) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all >= s.max || s.byAddr[a] >= s.maxPerAddress {
		return false
	}
	if s.byAddr == nil {
		s.byAddr = make(map[netip.Addr]int)
	}
	s.all++
	s.byAddr[a]++
	return true
}

// known says that the peer has authenticated, or is gone.
func (p *peer) known() {
	if p.stranger {
		p.stranger = false
		p.edge.strangers.leave(p.addr)
	}
}

func (s *strangers) leave(a netip.Addr) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all--
	if s.byAddr[a]--; s.byAddr[a] == 0 {
		delete(s.byAddr, a)
	}
}

// addressOf is the source that is counted: an IPv4 address, or the /64 of an
// IPv6 one, whose owner has all of it.
func addressOf(c net.Conn) netip.Addr {
	ap, err := netip.ParseAddrPort(c.RemoteAddr().String())
	if err != nil {
		return netip.Addr{}
	}
	a := ap.Addr().Unmap().WithZone("")
	if a.Is6() {
		return netip.PrefixFrom(a, 64).Masked().Addr()
	}
	return a
}
