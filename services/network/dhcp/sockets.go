package dhcp

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"syscall"
	"time"

	"github.com/insomniacslk/dhcp/dhcpv4"
	"github.com/insomniacslk/dhcp/dhcpv4/nclient4"
	"golang.org/x/sys/unix"
)

const (
	// firstWait is how long the first message waits for a reply; it doubles
	// with each of the tries.
	firstWait = 500 * time.Millisecond
	tries     = 4
)

// Sockets is the Wire of a real interface. Before there is an address it sends
// and reads packets by AF_PACKET; to extend a lease it uses UDP.
type Sockets struct {
	Interface string
	MAC       net.HardwareAddr
	// Hostname is told to the server unless it is empty.
	Hostname func() string
}

var _ Wire = (*Sockets)(nil)

// Acquire implements Wire (§4.4.1).
func (s *Sockets) Acquire(ctx context.Context, hint netip.Addr) (Lease, error) {
	c, err := s.raw()
	if err != nil {
		return Lease{}, err
	}
	defer c.Close()
	var ask []dhcpv4.Modifier
	if hint.IsValid() {
		ask = append(ask, requested(hint))
	}
	discover, err := s.message(dhcpv4.MessageTypeDiscover, ask...)
	if err != nil {
		return Lease{}, err
	}
	offer, err := c.SendAndRead(ctx, nclient4.DefaultServers, discover, func(m *dhcpv4.DHCPv4) bool {
		return m.MessageType() == dhcpv4.MessageTypeOffer && usable(addrOf(m.YourIPAddr)) && m.ServerIdentifier() != nil
	})
	if err != nil {
		return Lease{}, fmt.Errorf("discover: %w", err)
	}
	return s.request(ctx, c, nclient4.DefaultServers, Lease{},
		dhcpv4.WithTransactionID(offer.TransactionID),
		requested(addrOf(offer.YourIPAddr)),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(offer.ServerIdentifier())))
}

// Verify implements Wire (§4.4.2).
func (s *Sockets) Verify(ctx context.Context, l Lease) (Lease, error) {
	c, err := s.raw()
	if err != nil {
		return Lease{}, err
	}
	defer c.Close()
	return s.request(ctx, c, nclient4.DefaultServers, l, requested(l.Address.Addr()))
}

// Renew implements Wire (§4.4.5).
func (s *Sockets) Renew(ctx context.Context, l Lease) (Lease, error) {
	return s.extend(ctx, l, l.Server.AsSlice())
}

// Rebind implements Wire (§4.4.5).
func (s *Sockets) Rebind(ctx context.Context, l Lease) (Lease, error) {
	return s.extend(ctx, l, net.IPv4bcast)
}

func (s *Sockets) extend(ctx context.Context, l Lease, server net.IP) (Lease, error) {
	c, err := s.udp(ctx)
	if err != nil {
		return Lease{}, err
	}
	defer c.Close()
	return s.request(ctx, c, &net.UDPAddr{IP: server, Port: nclient4.ServerPort}, l, dhcpv4.WithClientIP(l.Address.Addr().AsSlice()))
}

// Release implements Wire (§4.4.6). There is no answer to it.
func (s *Sockets) Release(l Lease) error {
	m, err := dhcpv4.New(
		dhcpv4.WithHwAddr(s.MAC),
		dhcpv4.WithMessageType(dhcpv4.MessageTypeRelease),
		dhcpv4.WithClientIP(l.Address.Addr().AsSlice()),
		dhcpv4.WithOption(dhcpv4.OptServerIdentifier(l.Server.AsSlice())),
		s.identifier())
	if err != nil {
		return fmt.Errorf("make release: %w", err)
	}
	conn, err := s.listen(context.Background())
	if err != nil {
		return err
	}
	defer conn.Close()
	if _, err := conn.WriteTo(m.ToBytes(), &net.UDPAddr{IP: l.Server.AsSlice(), Port: nclient4.ServerPort}); err != nil {
		return fmt.Errorf("send release: %w", err)
	}
	return nil
}

// request sends a DHCPREQUEST and reads what comes back as a lease. A request
// that names a server takes an answer of that one only.
func (s *Sockets) request(ctx context.Context, c *nclient4.Client, to *net.UDPAddr, old Lease, mods ...dhcpv4.Modifier) (Lease, error) {
	m, err := s.message(dhcpv4.MessageTypeRequest, mods...)
	if err != nil {
		return Lease{}, err
	}
	sent := time.Now()
	named := m.ServerIdentifier()
	reply, err := c.SendAndRead(ctx, to, m, func(r *dhcpv4.DHCPv4) bool {
		t := r.MessageType()
		return (t == dhcpv4.MessageTypeAck || t == dhcpv4.MessageTypeNak) && (named == nil || named.Equal(r.ServerIdentifier()))
	})
	if err != nil {
		return Lease{}, fmt.Errorf("request: %w", err)
	}
	if reply.MessageType() == dhcpv4.MessageTypeNak {
		return Lease{}, fmt.Errorf("%w: %q", ErrNak, reply.Message())
	}
	return leaseOf(reply, sent, old)
}

func (s *Sockets) message(t dhcpv4.MessageType, mods ...dhcpv4.Modifier) (*dhcpv4.DHCPv4, error) {
	all := []dhcpv4.Modifier{
		dhcpv4.WithHwAddr(s.MAC),
		dhcpv4.WithMessageType(t),
		s.identifier(),
		dhcpv4.WithOption(dhcpv4.OptMaxMessageSize(nclient4.MaxMessageSize)),
		dhcpv4.WithRequestedOptions(
			dhcpv4.OptionSubnetMask, dhcpv4.OptionClasslessStaticRoute, dhcpv4.OptionRouter, dhcpv4.OptionDomainNameServer,
			dhcpv4.OptionInterfaceMTU, dhcpv4.OptionRenewTimeValue, dhcpv4.OptionRebindingTimeValue),
	}
	if name := s.Hostname(); name != "" {
		all = append(all, dhcpv4.WithOption(dhcpv4.OptHostName(name)))
	}
	m, err := dhcpv4.New(append(all, mods...)...)
	if err != nil {
		return nil, fmt.Errorf("make %v: %w", t, err)
	}
	return m, nil
}

// identifier is the same in all messages of a client (RFC 2131 §4.2).
func (s *Sockets) identifier() dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptClientIdentifier(append([]byte{unix.ARPHRD_ETHER}, s.MAC...)))
}

func requested(a netip.Addr) dhcpv4.Modifier {
	return dhcpv4.WithOption(dhcpv4.OptRequestedIPAddress(a.AsSlice()))
}

func (s *Sockets) raw() (*nclient4.Client, error) {
	conn, err := nclient4.NewRawUDPConn(s.Interface, nclient4.ClientPort)
	if err != nil {
		return nil, fmt.Errorf("open packet socket on %s: %w", s.Interface, err)
	}
	return s.client(conn)
}

func (s *Sockets) udp(ctx context.Context) (*nclient4.Client, error) {
	conn, err := s.listen(ctx)
	if err != nil {
		return nil, err
	}
	return s.client(conn)
}

func (s *Sockets) client(conn net.PacketConn) (*nclient4.Client, error) {
	c, err := nclient4.NewWithConn(conn, s.MAC, nclient4.WithTimeout(firstWait), nclient4.WithRetry(tries))
	if err != nil {
		conn.Close()
		return nil, fmt.Errorf("start DHCP exchange on %s: %w", s.Interface, err)
	}
	return c, nil
}

// listen opens the client's port on this interface alone, so that each
// interface can have one.
func (s *Sockets) listen(ctx context.Context) (net.PacketConn, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		ctl := c.Control(func(fd uintptr) {
			err = errors.Join(
				unix.BindToDevice(int(fd), s.Interface),
				unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_BROADCAST, 1))
		})
		return errors.Join(ctl, err)
	}}
	conn, err := lc.ListenPacket(ctx, "udp4", fmt.Sprintf(":%d", nclient4.ClientPort))
	if err != nil {
		return nil, fmt.Errorf("listen for DHCP on %s: %w", s.Interface, err)
	}
	return conn, nil
}
