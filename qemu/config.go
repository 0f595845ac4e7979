package qemu

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

const program = "qemu-system-x86_64"

// AccelVariable overrides the accelerator. KVM is not chosen by looking for
// /dev/kvm: in a container or nested VM it opens, and the guest then hangs.
const AccelVariable = "PARLEY_QEMU_ACCEL"

// Firmware is what the VM starts with.
type Firmware int

const (
	SeaBIOS Firmware = iota
	OVMF
)

// Debian's UEFI firmware; each VM gets a copy of the variables.
const (
	ovmfCode      = "/usr/share/OVMF/OVMF_CODE_4M.fd"
	ovmfVariables = "/usr/share/OVMF/OVMF_VARS_4M.fd"
)

// Medium is how the ISO is attached.
type Medium int

const (
	CD Medium = iota
	USB
)

// Forward makes a TCP port of the guest reachable on this machine.
type Forward struct {
	// Host is an address and port on loopback; port 0 picks a free one.
	Host  string
	Guest uint16
}

// NIC is a network card, on a user-mode network of its own unless Socket is
// given.
type NIC struct {
	// MAC may be empty: QEMU then chooses, the same for each start and VM.
	MAC      string
	Forwards []Forward
	// Socket is a port of a switch, see package lan. There are no Forwards then.
	Socket string
}

// Config describes a VM. The zero value of each field is usable, but for ISO.
type Config struct {
	ISO      string
	Medium   Medium
	Firmware Firmware
	// StateDisk is a raw disk image; none when empty.
	StateDisk string
	// NoFlush leaves out this machine's own flushes of the state disk. What the
	// guest has written outlives a killed QEMU all the same, but not a power
	// cut of this machine.
	NoFlush   bool
	MemoryMiB int
	CPUs      int
	// NICs in PCI order.
	NICs []NIC
	// Serials is the number of serial ports, one at least.
	Serials int
	// Log is a file that gets the first serial port's output; that of port
	// N > 0 goes to Log.N. None when empty.
	Log string
	// Lifetime is when the VM is killed at the latest.
	Lifetime time.Duration
	// ExitOnReboot ends the VM when the guest reboots.
	ExitOnReboot bool
	// Args are further arguments to QEMU.
	Args []string
}

func (cfg Config) withDefaults() Config {
	if cfg.MemoryMiB == 0 {
		cfg.MemoryMiB = 1024
	}
	if cfg.CPUs == 0 {
		cfg.CPUs = 1
	}
	if cfg.Serials == 0 {
		cfg.Serials = 1
	}
	if cfg.Lifetime == 0 {
		cfg.Lifetime = DefaultLifetime
	}
	// assignPorts fills in ports; the caller's slices stay as they are.
	nics := make([]NIC, len(cfg.NICs))
	for i, n := range cfg.NICs {
		nics[i] = n
		nics[i].Forwards = append([]Forward(nil), n.Forwards...)
	}
	cfg.NICs = nics
	return cfg
}

func (cfg Config) check() error {
	for _, file := range []string{cfg.ISO, cfg.StateDisk} {
		if file == "" {
			continue
		}
		if _, err := os.Stat(file); err != nil {
			return fmt.Errorf("start virtual machine: %w", err)
		}
	}
	if cfg.Firmware == OVMF {
		if _, err := os.Stat(ovmfCode); err != nil {
			return fmt.Errorf("%s is %w; apt-get install ovmf", ovmfCode, ErrNotInstalled)
		}
	}
	return nil
}

// PortInUseError: another program has a port that is to be forwarded.
type PortInUseError struct {
	Address string
	Guest   uint16
	Err     error
}

func (e *PortInUseError) Error() string {
	return fmt.Sprintf("forward %s to port %d: %v", e.Address, e.Guest, e.Err)
}

func (e *PortInUseError) Unwrap() error { return e.Err }

// assignPorts binds each forward's address to learn that it is free, and which
// port 0 stands for; QEMU binds it again right after. All are held until all
// are known, so that none is given twice.
func (cfg Config) assignPorts(addresses map[uint16]string) error {
	var errs []error
	for _, nic := range cfg.NICs {
		for i := range nic.Forwards {
			f := &nic.Forwards[i]
			l, err := net.Listen("tcp", f.Host)
			if err != nil {
				errs = append(errs, &PortInUseError{Address: f.Host, Guest: f.Guest, Err: err})
				continue
			}
			defer l.Close()
			f.Host = l.Addr().String()
			if _, ok := addresses[f.Guest]; !ok {
				addresses[f.Guest] = f.Host
			}
		}
	}
	return errors.Join(errs...)
}

// firmwareVariables is a copy of OVMF's variables in dir, or empty for SeaBIOS.
func (cfg Config) firmwareVariables(dir string) (string, error) {
	if cfg.Firmware != OVMF {
		return "", nil
	}
	data, err := os.ReadFile(ovmfVariables)
	if err != nil {
		return "", fmt.Errorf("firmware variables: %w", err)
	}
	path := filepath.Join(dir, "variables.fd")
	if err := os.WriteFile(path, data, 0o600); err != nil {
		return "", fmt.Errorf("firmware variables: %w", err)
	}
	return path, nil
}

// endpoints are the files and sockets that one run of a Config uses.
type endpoints struct {
	variables string
	serials   []string // chardev back ends: "socket,path=…"
	monitor   string   // path of the QMP socket; none when empty
}

// arguments is QEMU's command line. Q35 is what new VMs get elsewhere as well,
// and its AHCI CD drive loads the kernel in a quarter of the time that the
// default machine's IDE drive takes.
func (cfg Config) arguments(ep endpoints) []string {
	accel := os.Getenv(AccelVariable)
	if accel == "" {
		accel = "tcg"
	}
	args := []string{
		"-nodefaults", "-no-user-config", "-display", "none",
		"-machine", "q35", "-accel", accel,
		"-m", strconv.Itoa(cfg.MemoryMiB), "-smp", strconv.Itoa(cfg.CPUs),
		"-vga", "std",
		"-device", "virtio-rng-pci",
	}
	if accel == "kvm" {
		args = append(args, "-cpu", "host")
	} else {
		// The least that an x86-64 CPU has, which the image must run on, and a
		// source of randomness: without one Linux takes a second to gather it.
		args = append(args, "-cpu", "qemu64,+rdrand")
	}
	if cfg.ExitOnReboot {
		args = append(args, "-no-reboot")
	}
	if cfg.Firmware == OVMF {
		args = append(args,
			"-drive", "if=pflash,unit=0,format=raw,readonly=on,file="+escape(ovmfCode),
			"-drive", "if=pflash,unit=1,format=raw,file="+escape(ep.variables))
	}
	if cfg.ISO != "" {
		device := "ide-cd,bus=ide.0"
		if cfg.Medium == USB {
			args = append(args, "-device", "qemu-xhci,id=xhci")
			device = "usb-storage,bus=xhci.0"
		}
		args = append(args,
			"-drive", "if=none,id=iso,format=raw,readonly=on,file="+escape(cfg.ISO),
			"-device", device+",drive=iso,bootindex=1")
	}
	if cfg.StateDisk != "" {
		drive := "if=none,id=state,format=raw,discard=unmap,file=" + escape(cfg.StateDisk)
		if cfg.NoFlush {
			drive += ",cache=unsafe"
		}
		args = append(args,
			"-drive", drive,
			"-device", "virtio-blk-pci,drive=state")
	}
	for i, nic := range cfg.NICs {
		args = append(args, nic.arguments(i)...)
	}
	for i, backend := range ep.serials {
		id := "serial" + strconv.Itoa(i)
		args = append(args, "-chardev", chardev(backend, id), "-serial", "chardev:"+id)
	}
	if ep.monitor != "" {
		args = append(args, "-chardev", chardev("socket,path="+ep.monitor, "monitor"), "-mon", "chardev=monitor,mode=control")
	}
	return append(args, cfg.Args...)
}

func (n NIC) arguments(i int) []string {
	netdev := "user,id=net" + strconv.Itoa(i)
	if n.Socket != "" {
		netdev = fmt.Sprintf("stream,id=net%d,server=off,addr.type=unix,addr.path=%s", i, escape(n.Socket))
	}
	for _, f := range n.Forwards {
		host, port, _ := net.SplitHostPort(f.Host)
		netdev += fmt.Sprintf(",hostfwd=tcp:%s:%s-:%d", host, port, f.Guest)
	}
	// No boot ROM: the firmware would wait for an answer from the network.
	device := "virtio-net-pci,romfile=,netdev=net" + strconv.Itoa(i)
	if n.MAC != "" {
		device += ",mac=" + n.MAC
	}
	return []string{"-netdev", netdev, "-device", device}
}

// chardev puts the id behind the back end's type, where QEMU wants it.
func chardev(backend, id string) string {
	for i := range len(backend) {
		if backend[i] == ',' {
			return backend[:i] + ",id=" + id + backend[i:]
		}
	}
	return backend + ",id=" + id
}

// escape doubles commas, which end a value on QEMU's command line.
func escape(path string) string {
	var out []byte
	for i := range len(path) {
		if path[i] == ',' {
			out = append(out, ',')
		}
		out = append(out, path[i])
	}
	return string(out)
}

// CheckForwards tells whether the ports to forward are free at this moment.
func CheckForwards(cfg Config) error {
	return cfg.withDefaults().assignPorts(make(map[uint16]string))
}
