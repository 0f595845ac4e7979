package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	"github.com/miekg/dns"
)

// maxAsking bounds the questions of other programs that are being answered.
const maxAsking = 256

// maxTries bounds the search for a port.
const maxTries = 20

// Server offers a resolver to other programs by UDP and TCP.
type Server struct {
	r    *Resolver
	udp  net.PacketConn
	tcp  net.Listener
	seat chan struct{}
}

// Listen takes addr ("127.0.0.1:53") for a server; Run must follow. With port 0
// the kernel chooses one that is free for both UDP and TCP.
func (r *Resolver) Listen(ctx context.Context, addr string) (*Server, error) {
	var lc net.ListenConfig
	for try := 1; ; try++ {
		udp, err := lc.ListenPacket(ctx, "udp", addr)
		if err != nil {
			return nil, fmt.Errorf("listen for DNS: %w", err)
		}
		tcp, err := lc.Listen(ctx, "tcp", udp.LocalAddr().String())
		if err == nil {
			return &Server{r: r, udp: udp, tcp: tcp, seat: make(chan struct{}, maxAsking)}, nil
		}
		udp.Close()
		if udp.LocalAddr().String() == addr || try == maxTries {
			return nil, fmt.Errorf("listen for DNS: %w", err)
		}
	}
}

// Addr is where it listens.
func (s *Server) Addr() net.Addr { return s.udp.LocalAddr() }

// Run answers until ctx ends.
func (s *Server) Run(ctx context.Context) error {
	handler := dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) { s.answer(ctx, w, q) })
	servers := []*dns.Server{
		{PacketConn: s.udp, Handler: handler},
		{Listener: s.tcp, Handler: handler, ReadTimeout: 5 * time.Second, WriteTimeout: 5 * time.Second},
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var running sync.WaitGroup
	for _, srv := range servers {
		running.Go(func() {
			if err := srv.ActivateAndServe(); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("serve DNS: %w", err))
			}
		})
	}
	<-ctx.Done()
	cause := context.Cause(ctx)
	// Closing the sockets ends a server that had not begun to serve, too.
	s.udp.Close()
	s.tcp.Close()
	for _, srv := range servers {
		grace, stop := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		// It fails for a server that never began, or whose clients linger.
		_ = srv.ShutdownContext(grace)
		stop()
	}
	running.Wait()
	if errors.Is(cause, context.Canceled) {
		return nil
	}
	return cause
}

// answer replies to one query.
func (s *Server) answer(ctx context.Context, w dns.ResponseWriter, q *dns.Msg) {
	m := new(dns.Msg)
	size := dns.MinMsgSize
	fail := func(code int) {
		m.SetRcode(q, code)
	}
	switch {
	case len(q.Question) != 1:
		fail(dns.RcodeFormatError)
	case q.Opcode != dns.OpcodeQuery:
		fail(dns.RcodeNotImplemented)
	case q.Question[0].Qclass != dns.ClassINET:
		fail(dns.RcodeRefused)
	case q.Question[0].Qtype == dns.TypeANY, q.Question[0].Qtype == dns.TypeAXFR, q.Question[0].Qtype == dns.TypeIXFR:
		fail(dns.RcodeNotImplemented)
	default:
		select {
		case s.seat <- struct{}{}:
			res, err := s.r.Resolve(ctx, q.Question[0].Name, q.Question[0].Qtype)
			<-s.seat
			if err != nil {
				s.r.log.Debug("look-up failed", "name", q.Question[0].Name, "err", err)
				fail(dns.RcodeServerFailure)
				break
			}
			m.SetRcode(q, res.Code)
			m.Answer, m.Ns = res.Answer, res.Authority
		default:
			fail(dns.RcodeServerFailure)
		}
	}
	m.RecursionAvailable = true
	if opt := q.IsEdns0(); opt != nil {
		size = max(size, int(opt.UDPSize()))
		m.SetEdns0(udpSize, false)
	}
	if w.RemoteAddr().Network() == "tcp" {
		size = dns.MaxMsgSize
	}
	m.Truncate(size)
	// The asker may be gone; it will ask again.
	_ = w.WriteMsg(m)
}
