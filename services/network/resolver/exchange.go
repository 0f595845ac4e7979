package resolver

import (
	"cmp"
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/miekg/dns"

	"parley/services/problem"
)

const (
	// patience is how long one server has in the first round; it doubles in
	// the second.
	patience = 1500 * time.Millisecond
	// shunned is how long a server that failed is asked after the others.
	shunned = 30 * time.Second
	// udpSize is what does not fragment anywhere (DNS flag day 2020).
	udpSize = 1232
)

// Wire carries one query over network, udp or tcp, to server. It is the
// resolver's outer edge; UDP and TCP sockets are Sockets.
type Wire interface {
	Exchange(ctx context.Context, query *dns.Msg, network string, server netip.AddrPort) (*dns.Msg, error)
}

// Sockets is the Wire of the real network.
type Sockets struct{}

// Exchange implements Wire. Each query has a socket, and so a port, of its own.
func (Sockets) Exchange(ctx context.Context, query *dns.Msg, network string, server netip.AddrPort) (*dns.Msg, error) {
	c := &dns.Client{Net: network, UDPSize: udpSize, Timeout: 2 * patience}
	conn, err := c.DialContext(ctx, server.String())
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	m, _, err := c.ExchangeWithConnContext(ctx, query, conn)
	return m, err
}

// ask puts the question to servers, each in turn and all of them twice, until
// one gives an answer that can be used. None does: problem.NameServersSilent.
func (r *Resolver) ask(ctx context.Context, k key, servers []netip.AddrPort) (*reply, error) {
	if len(servers) == 0 {
		return nil, problem.New(problem.NoNameServer, "name", strings.TrimSuffix(k.name, "."))
	}
	failed := map[netip.AddrPort]string{}
	for round := range 2 {
		for _, server := range r.byHealth(servers) {
			m, err := r.askOne(ctx, k, server, patience<<round)
			if ctx.Err() != nil {
				return nil, ctx.Err()
			}
			if err == nil {
				r.setHealth(server, true)
				return &reply{code: m.Rcode, answer: m.Answer, authority: m.Ns, server: server, at: time.Now()}, nil
			}
			r.log.Debug("name server failed", "server", server, "name", k.name, "err", err)
			r.setHealth(server, false)
			failed[server] = err.Error()
		}
	}
	var reasons []string
	for _, server := range servers {
		reasons = append(reasons, fmt.Sprintf("%v (%s)", server.Addr(), failed[server]))
	}
	return nil, problem.New(problem.NameServersSilent, "name", strings.TrimSuffix(k.name, "."), "servers", strings.Join(reasons, ", "))
}

// askOne asks one server by UDP, then by TCP if the answer is truncated, and
// without EDNS if the server does not know it (RFC 6891 §7).
func (r *Resolver) askOne(ctx context.Context, k key, server netip.AddrPort, limit time.Duration) (*dns.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	send := func(network string, edns bool) (*dns.Msg, error) {
		q := new(dns.Msg).SetQuestion(k.name, k.qtype)
		if edns {
			q.SetEdns0(udpSize, false)
		}
		m, err := r.wire.Exchange(ctx, q, network, server)
		if err != nil {
			return nil, shortly(ctx, err)
		}
		if m.Id != q.Id || !m.Response || len(m.Question) != 1 || m.Question[0].Qtype != k.qtype || !strings.EqualFold(m.Question[0].Name, k.name) {
			// FORMERR comes without the question from servers of old.
			if m.Id != q.Id || m.Rcode != dns.RcodeFormatError {
				return nil, errMismatch
			}
		}
		return m, nil
	}
	edns := true
	m, err := send("udp", edns)
	if err == nil && (m.Rcode == dns.RcodeFormatError || m.Rcode == dns.RcodeNotImplemented) {
		edns = false
		m, err = send("udp", edns)
	}
	if err == nil && m.Truncated {
		m, err = send("tcp", edns)
	}
	if err != nil {
		return nil, err
	}
	if m.Rcode != dns.RcodeSuccess && m.Rcode != dns.RcodeNameError {
		return nil, fmt.Errorf("%w %s", errRefused, dns.RcodeToString[m.Rcode])
	}
	return m, nil
}

// shortly is err as a person wants to read it in the list of servers.
func shortly(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil, isTimeout(err):
		return errTimeout
	case strings.Contains(err.Error(), "refused"):
		return errClosed
	}
	return err
}

// byHealth puts the servers that failed lately last; otherwise the configured
// order stays.
func (r *Resolver) byHealth(servers []netip.AddrPort) []netip.AddrPort {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	rank := func(s netip.AddrPort) int {
		if now.Before(r.shun[s]) {
			return 1
		}
		return 0
	}
	servers = slices.Clone(servers)
	slices.SortStableFunc(servers, func(a, b netip.AddrPort) int { return cmp.Compare(rank(a), rank(b)) })
	return servers
}

func (r *Resolver) setHealth(s netip.AddrPort, good bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if good {
		delete(r.shun, s)
	} else {
		r.shun[s] = time.Now().Add(shunned)
	}
}
