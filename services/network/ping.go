package network

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"time"

	"golang.org/x/net/icmp"
	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
	"golang.org/x/sys/unix"

	"parley/services/network/networkapi"
	"parley/services/network/resolver"
	"parley/services/problem"
)

// pingWait is how long a reply may take.
const pingWait = time.Second

// ping is networkapi.API.Ping by an ICMP datagram socket, which needs no
// privilege: net.ipv4.ping_group_range allows it. The kernel sets the identifier
// of requests and passes only its replies to the socket.
func ping(ctx context.Context, r *resolver.Resolver, host string, seq int) (networkapi.Echo, error) {
	addrs, err := r.Addresses(ctx, host)
	if err != nil {
		return networkapi.Echo{}, err
	}
	to := addrs[0]
	network, local, protocol := "udp4", "0.0.0.0", 1
	var request, reply icmp.Type = ipv4.ICMPTypeEcho, ipv4.ICMPTypeEchoReply
	if to.Is6() {
		network, local, protocol = "udp6", "::", 58
		request, reply = ipv6.ICMPTypeEchoRequest, ipv6.ICMPTypeEchoReply
	}
	conn, err := icmp.ListenPacket(network, local)
	if errors.Is(err, fs.ErrPermission) {
		return networkapi.Echo{}, problem.New(problem.PingDenied)
	}
	if err != nil {
		return networkapi.Echo{}, fmt.Errorf("open ICMP socket: %w", err)
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	// The payload tells this reply from a late one to an earlier request.
	payload := make([]byte, 56)
	if _, err := rand.Read(payload); err != nil {
		return networkapi.Echo{}, fmt.Errorf("make echo request: %w", err)
	}
	m := icmp.Message{Type: request, Body: &icmp.Echo{Seq: seq & 0xffff, Data: payload}}
	packet, err := m.Marshal(nil)
	if err != nil {
		return networkapi.Echo{}, fmt.Errorf("make echo request: %w", err)
	}
	start := time.Now()
	if err := conn.SetReadDeadline(start.Add(pingWait)); err != nil {
		return networkapi.Echo{}, fmt.Errorf("set deadline: %w", err)
	}
	if _, err := conn.WriteTo(packet, &net.UDPAddr{IP: to.AsSlice(), Zone: to.Zone()}); err != nil {
		return networkapi.Echo{}, problem.New(problem.PingUnsent, "host", host, "reason", errnoText(err))
	}
	buf := make([]byte, 1500)
	for {
		n, from, err := conn.ReadFrom(buf)
		switch {
		case ctx.Err() != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded):
			return networkapi.Echo{}, ctx.Err()
		case err != nil:
			return networkapi.Echo{}, problem.New(problem.PingSilent, "host", host, "address", to.String())
		}
		got, err := icmp.ParseMessage(protocol, buf[:n])
		if err != nil || got.Type != reply {
			continue
		}
		if echo, ok := got.Body.(*icmp.Echo); ok && echo.Seq == seq&0xffff && bytes.Equal(echo.Data, payload) {
			return networkapi.Echo{From: fromOf(from), Seq: seq, Took: time.Since(start)}, nil
		}
	}
}

func fromOf(a net.Addr) netip.Addr {
	if u, ok := a.(*net.UDPAddr); ok {
		return u.AddrPort().Addr().Unmap()
	}
	return netip.Addr{}
}

// errnoText is the kernel's word for why, without the call that failed.
func errnoText(err error) string {
	if errno, ok := errors.AsType[unix.Errno](err); ok {
		return errno.Error()
	}
	return err.Error()
}
