package resolver

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/miekg/dns"
	"golang.org/x/sys/unix"
)

const (
	// maxAsking bounds the questions of other programs that are being answered.
	maxAsking = 256
	// maxConns bounds the TCP connections of one server.
	maxConns = 128
	// maxTries bounds the search for a port.
	maxTries = 20
)

// Server offers a resolver to other programs by UDP and TCP.
type Server struct {
	r    *Resolver
	udp  net.PacketConn
	tcp  net.Listener
	seat chan struct{}
	// networks are those whose hosts may ask; nil: whoever reaches it.
	networks func() []netip.Prefix
}

// Serve returns a server on sockets of one port, which it owns; Run must
// follow. It answers hosts of networks, as they are at that time, and refuses
// all others: a resolver for everybody would serve to attack third parties.
func (r *Resolver) Serve(udp net.PacketConn, tcp net.Listener, networks func() []netip.Prefix) *Server {
	return &Server{r: r, udp: udp, tcp: newBounded(tcp, maxConns), seat: make(chan struct{}, maxAsking), networks: networks}
}

// Listen takes addr ("127.0.0.1:53"), of the loopback device, for a server of
// the node's own programs; Run must follow. With port 0 the kernel chooses one
// that is free for both UDP and TCP. The sockets are bound to the device, or
// the same port could not be listened on at another.
func (r *Resolver) Listen(ctx context.Context, addr string) (*Server, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		ctl := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), "lo") })
		return errors.Join(ctl, err)
	}}
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

// answer replies to one query. The asker may be gone; it will ask again.
func (s *Server) answer(ctx context.Context, w dns.ResponseWriter, q *dns.Msg) {
	_ = w.WriteMsg(s.reply(ctx, w.RemoteAddr(), q))
}

// reply is the answer to a query of from.
func (s *Server) reply(ctx context.Context, from net.Addr, q *dns.Msg) *dns.Msg {
	m := new(dns.Msg)
	size := dns.MinMsgSize
	fail := func(code int) {
		m.SetRcode(q, code)
	}
	may := s.mayAsk(from)
	switch {
	case !may:
		fail(dns.RcodeRefused)
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
	m.RecursionAvailable = may
	if opt := q.IsEdns0(); opt != nil {
		size = max(size, int(opt.UDPSize()))
		if s.networks != nil {
			size = min(size, udpSize)
		}
		m.SetEdns0(udpSize, false)
	}
	if from.Network() == "tcp" {
		size = dns.MaxMsgSize
	}
	m.Truncate(size)
	return m
}

// mayAsk reports whether a host is answered.
func (s *Server) mayAsk(from net.Addr) bool {
	if s.networks == nil {
		return true
	}
	host, err := netip.ParseAddrPort(from.String())
	if err != nil {
		return false
	}
	addr := host.Addr().Unmap()
	return slices.ContainsFunc(s.networks(), func(n netip.Prefix) bool { return n.Contains(addr) })
}

// bounded is a listener that closes what it accepts beyond a number of open
// connections.
type bounded struct {
	net.Listener
	seat chan struct{}
}

func newBounded(l net.Listener, most int) *bounded { return &bounded{l, make(chan struct{}, most)} }

// Accept implements net.Listener.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		c, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.seat <- struct{}{}:
			return &seated{Conn: c, leave: sync.OnceFunc(func() { <-b.seat })}, nil
		default:
			c.Close()
		}
	}
}

// seated is a connection that is counted until it is closed.
type seated struct {
	net.Conn
	leave func()
}

// Close implements net.Conn.
func (c *seated) Close() error {
	defer c.leave()
	return c.Conn.Close()
}
