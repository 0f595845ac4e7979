package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"parley/services/config"
	"parley/services/network/resolver"
	"parley/services/problem"
)

// dnsPort is where resolvers are asked.
const dnsPort = 53

// Door opens the port on which an interface's hosts ask this node for names,
// for UDP and TCP. What a person can mend is a problem.
type Door func(ctx context.Context, iface string) (net.PacketConn, net.Listener, error)

var _ Door = DeviceDoor

// DeviceDoor is the Door of an appliance: it binds the wildcard address to the
// device, so an address may come, change and go under it.
func DeviceDoor(ctx context.Context, iface string) (net.PacketConn, net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		ctl := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), iface) })
		return errors.Join(ctl, err)
	}}
	return openDoor(ctx, lc, iface, netip.AddrPortFrom(netip.IPv4Unspecified(), dnsPort))
}

func openDoor(ctx context.Context, lc net.ListenConfig, iface string, at netip.AddrPort) (net.PacketConn, net.Listener, error) {
	plainTCP(&lc)
	udp, err := lc.ListenPacket(ctx, family("udp", at.Addr()), at.String())
	if err != nil {
		return nil, nil, doorProblem(iface, at.Port(), err)
	}
	tcp, err := lc.Listen(ctx, family("tcp", at.Addr()), at.String())
	if err != nil {
		udp.Close()
		return nil, nil, doorProblem(iface, at.Port(), err)
	}
	return udp, tcp, nil
}

// family is the protocol for this address and no other kind of address.
func family(protocol string, at netip.Addr) string {
	if at.Is4() {
		return protocol + "4"
	}
	return protocol + "6"
}

func doorProblem(iface string, port uint16, err error) error {
	switch {
	case errors.Is(err, unix.EADDRINUSE):
		return portTaken(iface, int(port))
	case errors.Is(err, unix.EACCES):
		return problem.New(problem.PortDenied, "interface", iface, "port", strconv.Itoa(int(port)))
	case errors.Is(err, unix.ENODEV):
		return absent(iface, presentNames())
	}
	return fmt.Errorf("listen for DNS on %s: %w", iface, err)
}

// place is an interface on which others ask, the index of its link, and whom it
// has for neighbours.
type place struct {
	index    int
	networks func() []netip.Prefix
}

// doors are the servers by which others ask a resolver, one for each
// interface. They are set by one caller at a time.
type doors struct {
	resolver *resolver.Resolver
	door     Door
	log      *slog.Logger
	open     map[string]*openedDoor
	running  sync.WaitGroup
}

type openedDoor struct {
	index int
	stop  context.CancelFunc
	done  chan struct{}
}

func newDoors(r *resolver.Resolver, door Door, log *slog.Logger) *doors {
	return &doors{resolver: r, door: door, log: log, open: map[string]*openedDoor{}}
}

// set makes the open doors those of places, until ctx ends. A door stays as it
// is unless its link is another one or it has ended. Where one cannot be opened
// the others are.
func (o *doors) set(ctx context.Context, places map[string]place) error {
	for name, d := range o.open {
		if p, ok := places[name]; !ok || p.index != d.index || d.ended() {
			d.stop()
			<-d.done
			delete(o.open, name)
		}
	}
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(places)) {
		if o.open[name] != nil {
			continue
		}
		udp, tcp, err := o.door(ctx, name)
		if err != nil {
			errs = append(errs, err)
			continue
		}
		server := o.resolver.Serve(udp, tcp, places[name].networks)
		run, stop := context.WithCancel(ctx)
		d := &openedDoor{places[name].index, stop, make(chan struct{})}
		o.open[name] = d
		o.running.Go(func() {
			defer close(d.done)
			defer stop()
			if err := server.Run(run); err != nil {
				o.log.Error("others cannot ask for names", "interface", name, "err", err)
			}
		})
		o.log.Info("others may ask for names", "interface", name)
	}
	return errors.Join(errs...)
}

// wait returns when all have ended; their ctx must have.
func (o *doors) wait() { o.running.Wait() }

func (d *openedDoor) ended() bool {
	select {
	case <-d.done:
		return true
	default:
		return false
	}
}

// openDoors lets others ask the resolver where d says. mu is held.
func (s *Service) openDoors(d config.Document) error {
	links, err := s.links()
	if err != nil {
		return err
	}
	places := map[string]place{}
	for _, name := range d.DNS.Listen {
		l, ok := links[name]
		if !ok {
			// It is asked for again when the card is back.
			continue
		}
		places[name] = place{index: l.Index, networks: func() []netip.Prefix {
			addrs, err := s.deps.Kernel.Addresses(l.Index)
			if err != nil {
				s.log.Warn("addresses are not listed", "interface", name, "err", err)
			}
			var nets []netip.Prefix
			for _, a := range addrs {
				nets = append(nets, a.Prefix.Masked())
			}
			return nets
		}}
	}
	return s.doors.set(s.ctx, places)
}

// reopen is openDoors for what is in force already. mu is held.
func (s *Service) reopen() {
	if err := s.openDoors(s.doc); err != nil {
		s.log.Error("others cannot ask for names", "err", err)
	}
}
