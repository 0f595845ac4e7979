package network

import (
	"fmt"
	"log/slog"
	"net"

	"golang.org/x/sys/unix"

	"parley/services/config"
	"parley/services/network/dhcp"
	"parley/services/network/resolver"
)

// Machine has the real edges: this machine's kernel and its networks.
func Machine(store *config.Store, log *slog.Logger) Deps {
	return Deps{
		Store:       store,
		Kernel:      Netlink{},
		SetHostname: func(name string) error { return unix.Sethostname([]byte(name)) },
		DHCP: func(name, mac string, hostname func() string) (dhcp.Wire, error) {
			hw, err := net.ParseMAC(mac)
			if err != nil {
				return nil, fmt.Errorf("start DHCP on %s: %w", name, err)
			}
			return &dhcp.Sockets{Interface: name, MAC: hw, Hostname: hostname}, nil
		},
		DNS:     resolver.Sockets{},
		DNSDoor: DeviceDoor,
		Log:     log,
	}
}
