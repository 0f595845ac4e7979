package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"parley/services/problem"
)

// Listener opens the TCP listeners of a service: on port of each of ifaces, and
// where the node's own programs reach it. It either opens all or none. *Process
// and the function ListenDevices have it; services take it as a value.
type Listener func(ctx context.Context, ifaces []string, port int) ([]net.Listener, error)

var _ Listener = ListenDevices

// nameWait is how long ListenDevices waits for an interface: at boot a service
// may be up before the network has named the NICs.
const nameWait = 3 * time.Second

// ListenDevices is the Listener of an appliance. It binds the wildcard address
// to each device, so that it needs no address yet and none that changes ends
// it, and to lo once, for connections from the node itself, to 127.0.0.1 or to
// its own addresses. Binding to a device needs no privilege. An interface that
// has no NIC is problem.InterfaceAbsent, a port in use problem.PortTaken.
func ListenDevices(ctx context.Context, ifaces []string, port int) ([]net.Listener, error) {
	devices := slices.Compact(slices.Sorted(slices.Values(ifaces)))
	if len(devices) == 0 {
		return nil, nil
	}
	var open []net.Listener
	for _, device := range append(devices, "lo") {
		if device != "lo" && !slices.Contains(Names, device) {
			closeAll(open)
			return nil, problem.New(problem.InterfaceUnknown, "interface", device)
		}
		l, err := listenDevice(ctx, device, port)
		if err != nil {
			closeAll(open)
			return nil, err
		}
		open = append(open, l)
		// With port 0 the first decides for all.
		port = l.Addr().(*net.TCPAddr).Port
	}
	return open, nil
}

func listenDevice(ctx context.Context, device string, port int) (net.Listener, error) {
	lc := net.ListenConfig{Control: func(_, _ string, c syscall.RawConn) error {
		var err error
		ctl := c.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), device) })
		return errors.Join(ctl, err)
	}}
	plainTCP(&lc)
	deadline := time.Now().Add(nameWait)
	for {
		l, err := lc.Listen(ctx, "tcp4", fmt.Sprintf(":%d", port))
		switch {
		case err == nil:
			return l, nil
		case errors.Is(err, unix.EADDRINUSE):
			return nil, portTaken(device, port)
		case !errors.Is(err, unix.ENODEV):
			return nil, fmt.Errorf("listen on %s port %d: %w", device, port, err)
		case !time.Now().Before(deadline):
			return nil, absent(device, presentNames())
		}
		select {
		case <-time.After(settleCheck):
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// plainTCP does without Multipath TCP, which Go listens with where it can: its
// sockets lack options, such as TCP_USER_TIMEOUT, that servers set.
func plainTCP(lc *net.ListenConfig) { lc.SetMultipathTCP(false) }

func presentNames() []string {
	return slices.DeleteFunc(slices.Clone(Names), func(name string) bool {
		_, err := net.InterfaceByName(name)
		return err != nil
	})
}

// listenAddress opens one listener on addr.
func listenAddress(ctx context.Context, addr netip.Addr, port int) (net.Listener, error) {
	var lc net.ListenConfig
	plainTCP(&lc)
	l, err := lc.Listen(ctx, "tcp", netip.AddrPortFrom(addr, uint16(port)).String())
	if errors.Is(err, unix.EADDRINUSE) {
		return nil, portTaken(addr.String(), port)
	}
	if err != nil {
		return nil, fmt.Errorf("listen on %v port %d: %w", addr, port, err)
	}
	return l, nil
}

func portTaken(where string, port int) error {
	return problem.New(problem.PortTaken, "interface", where, "port", strconv.Itoa(port))
}

func closeAll(ls []net.Listener) {
	for _, l := range ls {
		l.Close()
	}
}

// DeviceAddress is the first IPv4 address of an interface; the zero Addr is
// that it has none.
func DeviceAddress(iface string) (netip.Addr, error) {
	i, err := net.InterfaceByName(iface)
	if err != nil {
		return netip.Addr{}, fmt.Errorf("interface %s: %w", iface, err)
	}
	addrs, err := i.Addrs()
	if err != nil {
		return netip.Addr{}, fmt.Errorf("addresses of %s: %w", iface, err)
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().Is4() {
			return p.Addr(), nil
		}
	}
	return netip.Addr{}, nil
}
