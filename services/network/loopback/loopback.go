// Package loopback gives what a test runs addresses of its own in 127/8, and
// ports of its own on 127.0.0.1, that can be closed and opened again: one that
// the kernel chose may be another's by then. It is not for anything but tests.
package loopback

import (
	"net"
	"net/netip"
	"os"
	"strconv"
	"sync/atomic"
	"testing"
)

// addresses and ports count those that this process was given.
var addresses, ports atomic.Uint32

// Address returns one that no other process is given, nor this one until it
// has been given 254. All ports are free there.
func Address() netip.Addr {
	pid := os.Getpid()
	return netip.AddrFrom4([4]byte{127, byte(200 + pid>>8%50), byte(pid), byte(1 + addresses.Add(1)%254)})
}

// Port returns a port of 127.0.0.1 that nobody listens on. It is below those
// that the kernel gives connections.
func Port(t testing.TB) int {
	t.Helper()
	const first, many = 20000, 12000
	for range many {
		port := first + (os.Getpid()*97+int(ports.Add(1)))%many
		if l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(port)); err == nil {
			l.Close()
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}
