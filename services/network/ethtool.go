package network

import (
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"
)

// ethtoolCmd is struct ethtool_cmd of linux/ethtool.h.
type ethtoolCmd struct {
	cmd     uint32
	_       [2]uint32 // supported, advertising
	speed   uint16
	_       [4]uint8 // duplex, port, phy_address, transceiver
	autoneg uint8
	_       uint8     // mdio_support
	_       [6]uint32 // maxtxpkt to reserved
}

// ifreqData is struct ifreq with a pointer (netdevice(7)).
type ifreqData struct {
	name [unix.IFNAMSIZ]byte
	data *ethtoolCmd
	_    [16]byte
}

// autoneg asks the driver of a link whether it negotiates: on, off, or empty
// where the driver does not say. A driver without a speed, as a VM's, knows
// nothing of it either.
func autoneg(name string) string {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return ""
	}
	defer unix.Close(fd)
	cmd := ethtoolCmd{cmd: unix.ETHTOOL_GSET}
	req := ifreqData{data: &cmd}
	copy(req.name[:unix.IFNAMSIZ-1], name)
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), unix.SIOCETHTOOL, uintptr(unsafe.Pointer(&req)))
	runtime.KeepAlive(&cmd)
	const unknown = 0xffff
	switch {
	case errno != 0 || cmd.speed == unknown || cmd.speed == 0:
		return ""
	case cmd.autoneg != 0:
		return "on"
	}
	return "off"
}
