// Package lan is an Ethernet for virtual machines: a learning switch inside
// this process whose cables are QEMU's sockets, and a host on it, a network
// namespace with an address of its own. Cables can be pulled, and the way from
// one port to another cut, slowed or made to lose frames. It is for tests that
// boot several machines; it knows nothing of what the frames hold beyond their
// addresses, and never touches the networks of the machine it runs on.
package lan

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"
)

// Switch connects ports, each known by a name. Its methods may be called from
// any goroutine.
type Switch struct {
	log     *slog.Logger
	running sync.WaitGroup

	mu      sync.Mutex
	dir     string // of the sockets; made with the first
	closers []func() error
	closed  bool
	ports   map[string]*port
	table   map[mac]*port // learned from senders
	paths   map[way]Path
	random  *rand.Rand // for losses
	capture *capture   // nil: none
}

type mac [6]byte

type way struct{ from, to string }

type port struct {
	name      string
	unplugged bool
	cable     *outbox // nil while nothing is attached
}

// New is a switch without ports. The seed decides which frames a path with a
// loss drops.
func New(seed uint64, log *slog.Logger) *Switch {
	return &Switch{
		log:    log.With("component", "lan"),
		ports:  make(map[string]*port),
		table:  make(map[mac]*port),
		paths:  make(map[way]Path),
		random: rand.New(rand.NewPCG(seed, 0)),
	}
}

// Listen makes a port and returns the Unix socket that a virtual machine
// attaches to, one at a time: when it is gone the next may come. The machine's
// address stays learned until another port sends from it.
func (s *Switch) Listen(name string) (socket string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return "", errors.New("the switch is closed")
	}
	if s.dir == "" {
		// Not below the caller's folder: a Unix socket's path ends at 107 bytes.
		if s.dir, err = os.MkdirTemp("", "parley-lan-"); err != nil {
			return "", fmt.Errorf("port %s: %w", name, err)
		}
	}
	socket = filepath.Join(s.dir, name)
	l, err := net.Listen("unix", socket)
	if err != nil {
		return "", fmt.Errorf("port %s: %w", name, err)
	}
	s.closers = append(s.closers, l.Close)
	p := s.port(name)
	s.running.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			s.carry(p, newSocketCable(conn))
		}
	})
	return socket, nil
}

// port is under s.mu.
func (s *Switch) port(name string) *port {
	p := s.ports[name]
	if p == nil {
		p = &port{name: name}
		s.ports[name] = p
	}
	return p
}

// carry takes frames off a cable until that ends, and owns it.
func (s *Switch) carry(p *port, c cable) {
	out := newOutbox()
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		c.close()
		return
	}
	p.cable = out
	s.closers = append(s.closers, c.close)
	s.mu.Unlock()

	var writer sync.WaitGroup
	writer.Go(func() {
		if err := out.run(c.write); err != nil {
			s.log.Debug("frame not sent", "port", p.name, "err", err)
		}
	})
	for {
		frame, err := c.read()
		if err != nil {
			s.log.Debug("cable ended", "port", p.name, "err", err)
			break
		}
		s.forward(p, frame)
	}
	s.mu.Lock()
	p.cable = nil
	s.mu.Unlock()
	out.close()
	c.close()
	writer.Wait()
}

// forward sends a frame to the port of its destination, or to all others. The
// frame is kept, so the caller gives it away.
func (s *Switch) forward(from *port, frame []byte) {
	if len(frame) < 14 {
		return
	}
	var to, sender mac
	copy(to[:], frame)
	copy(sender[:], frame[6:])
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.capture != nil {
		s.capture.add(frame, now)
	}
	if from.unplugged {
		return
	}
	if sender[0]&1 == 0 { // no group address
		s.table[sender] = from
	}
	if p := s.table[to]; p != nil && to[0]&1 == 0 {
		s.send(from, p, frame, now)
		return
	}
	for _, p := range s.ports {
		s.send(from, p, frame, now)
	}
}

// send is under s.mu.
func (s *Switch) send(from, to *port, frame []byte, now time.Time) {
	if to == from || to.unplugged || to.cable == nil {
		return
	}
	path := s.paths[way{from.name, to.name}]
	if path.Cut || path.Loss > 0 && s.random.Float64() < path.Loss {
		return
	}
	to.cable.put(frame, now.Add(path.Delay))
}

// Close ends all cables and waits until nothing of the switch is left.
func (s *Switch) Close() {
	s.mu.Lock()
	s.closed = true
	closers := s.closers
	s.closers = nil
	s.mu.Unlock()
	for _, c := range closers {
		_ = c()
	}
	s.running.Wait()
	if s.dir != "" {
		os.RemoveAll(s.dir)
	}
}
