package lan

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"runtime"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"
)

// ErrNoTUN: this machine has no /dev/net/tun, or does not let us use it. There
// is then no Host; a machine on the switch is reached only by other machines.
var ErrNoTUN = errors.New("no network card can be made; it needs root, the module tun, and in a container /dev/net/tun with CAP_NET_ADMIN")

// Host is a network namespace on the switch: programs started in it reach the
// virtual machines by their own addresses, and nothing else.
type Host struct{ ns netns.NsHandle }

// Host makes a port with a host of that address behind it. It lasts until the
// switch is closed.
func (s *Switch) Host(name string, address netip.Prefix) (*Host, error) {
	h := &Host{}
	var tap *os.File
	err := onThread(func() (err error) {
		if h.ns, err = netns.New(); err != nil {
			return errors.Join(ErrNoTUN, err)
		}
		tap, err = openTAP("lan0")
		return err
	})
	if err == nil {
		err = h.configure("lan0", address)
	}
	if err != nil {
		if tap != nil {
			tap.Close()
		}
		if h.ns.IsOpen() {
			h.ns.Close()
		}
		return nil, fmt.Errorf("host %s: %w", name, err)
	}
	s.mu.Lock()
	p := s.port(name)
	s.closers = append(s.closers, h.ns.Close)
	s.mu.Unlock()
	s.running.Go(func() { s.carry(p, &tapCable{tap}) })
	return h, nil
}

// openTAP makes a network card in the calling thread's namespace.
func openTAP(name string) (*os.File, error) {
	fd, err := unix.Open("/dev/net/tun", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) || errors.Is(err, unix.ENODEV) {
		return nil, errors.Join(ErrNoTUN, err)
	}
	if err != nil {
		return nil, fmt.Errorf("/dev/net/tun: %w", err)
	}
	request, err := unix.NewIfreq(name)
	if err == nil {
		request.SetUint16(unix.IFF_TAP | unix.IFF_NO_PI)
		err = unix.IoctlIfreq(fd, unix.TUNSETIFF, request)
	}
	if err == nil {
		// The runtime's poller takes only such, and so a Close ends a Read.
		err = unix.SetNonblock(fd, true)
	}
	if err != nil {
		unix.Close(fd)
		return nil, errors.Join(ErrNoTUN, err)
	}
	return os.NewFile(uintptr(fd), "/dev/net/tun"), nil
}

func (h *Host) configure(card string, address netip.Prefix) error {
	n, err := netlink.NewHandleAt(h.ns)
	if err != nil {
		return err
	}
	defer n.Close()
	for _, name := range []string{"lo", card} {
		link, err := n.LinkByName(name)
		if err != nil {
			return err
		}
		if name == card {
			mask := net.CIDRMask(address.Bits(), address.Addr().BitLen())
			a := &netlink.Addr{IPNet: &net.IPNet{IP: address.Addr().AsSlice(), Mask: mask}}
			if err := n.AddrAdd(link, a); err != nil {
				return fmt.Errorf("address %s: %w", address, err)
			}
		}
		if err := n.LinkSetUp(link); err != nil {
			return err
		}
	}
	return nil
}

// Do calls f on a thread that is in the host's namespace: sockets that f opens
// and programs that it starts, not those of goroutines of f, are the host's.
func (h *Host) Do(f func() error) error {
	return onThread(func() error {
		if err := netns.Set(h.ns); err != nil {
			return fmt.Errorf("enter the namespace: %w", err)
		}
		return f()
	})
}

// Dial connects from the host to an address, which is no name.
func (h *Host) Dial(ctx context.Context, network, address string) (conn net.Conn, err error) {
	err = h.Do(func() (err error) {
		conn, err = new(net.Dialer).DialContext(ctx, network, address)
		return err
	})
	return conn, err
}

// onThread calls f with this goroutine kept on one thread, whose namespace f may
// change, and takes it back. Where that fails nothing after it could be trusted.
func onThread(f func() error) error {
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		runtime.UnlockOSThread()
		return fmt.Errorf("own namespace: %w", err)
	}
	defer home.Close()
	defer func() {
		if err := netns.Set(home); err != nil {
			panic(fmt.Sprintf("lan: cannot leave a namespace: %v", err))
		}
		runtime.UnlockOSThread()
	}()
	return f()
}
