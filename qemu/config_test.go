package qemu

import (
	"errors"
	"net"
	"strings"
	"testing"
)

func TestArguments(t *testing.T) {
	t.Setenv(AccelVariable, "")
	for _, tt := range []struct {
		name string
		cfg  Config
		ep   endpoints
		want []string
	}{
		{name: "defaults", want: []string{"-machine q35", "-accel tcg", "-m 1024", "-smp 1", "-display none"}},
		{name: "CD", cfg: Config{ISO: "a,b.iso"},
			want: []string{"if=none,id=iso,format=raw,readonly=on,file=a,,b.iso", "-device ide-cd,bus=ide.0,drive=iso,bootindex=1"}},
		{name: "USB", cfg: Config{ISO: "x.iso", Medium: USB}, want: []string{"-device usb-storage,bus=xhci.0,drive=iso,bootindex=1"}},
		{name: "state disk", cfg: Config{StateDisk: "s.img"}, want: []string{"-device virtio-blk-pci,drive=state"}},
		{name: "UEFI", cfg: Config{Firmware: OVMF}, ep: endpoints{variables: "/t/v.fd"},
			want: []string{"if=pflash,unit=0,format=raw,readonly=on,file=" + ovmfCode, "if=pflash,unit=1,format=raw,file=/t/v.fd"}},
		{name: "network", cfg: Config{NICs: []NIC{{MAC: "52:54:00:00:00:01", Forwards: []Forward{{"127.0.0.1:2222", 22}}}, {}}},
			want: []string{
				"-netdev user,id=net0,hostfwd=tcp:127.0.0.1:2222-:22",
				"-device virtio-net-pci,romfile=,netdev=net0,mac=52:54:00:00:00:01",
				"-netdev user,id=net1", "-device virtio-net-pci,romfile=,netdev=net1",
			}},
		{name: "serial and monitor", ep: endpoints{serials: []string{"socket,path=/t/s0"}, monitor: "/t/m"},
			want: []string{"-chardev socket,id=serial0,path=/t/s0 -serial chardev:serial0", "-chardev socket,id=monitor,path=/t/m -mon chardev=monitor,mode=control"}},
		{name: "extra", cfg: Config{ExitOnReboot: true, Args: []string{"-device", "i6300esb"}}, want: []string{"-no-reboot", "-device i6300esb"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got := strings.Join(tt.cfg.withDefaults().arguments(tt.ep), " ")
			for _, want := range tt.want {
				if !strings.Contains(got+" ", want+" ") {
					t.Errorf("arguments = %s\nwant %s among them", got, want)
				}
			}
		})
	}
}

func TestAcceleratorComesFromTheEnvironment(t *testing.T) {
	t.Setenv(AccelVariable, "kvm")
	got := strings.Join(Config{}.withDefaults().arguments(endpoints{}), " ")
	if !strings.Contains(got, "-accel kvm") || !strings.Contains(got, "-cpu host") {
		t.Errorf("arguments = %s; want KVM with the host's CPU", got)
	}
}

func TestAssignPorts(t *testing.T) {
	cfg := Config{NICs: []NIC{{Forwards: []Forward{{"127.0.0.1:0", 22}, {"127.0.0.1:0", 5222}}}, {Forwards: []Forward{{"127.0.0.1:0", 22}}}}}
	full := cfg.withDefaults()
	addresses := make(map[uint16]string)
	if err := full.assignPorts(addresses); err != nil {
		t.Fatal(err)
	}
	seen := make(map[string]bool)
	for _, nic := range full.NICs {
		for _, f := range nic.Forwards {
			if strings.HasSuffix(f.Host, ":0") || seen[f.Host] {
				t.Errorf("forward to %d = %s; want a port of its own", f.Guest, f.Host)
			}
			seen[f.Host] = true
		}
	}
	if got, want := addresses[22], full.NICs[0].Forwards[0].Host; got != want {
		t.Errorf("address of port 22 = %s; want the first card's, %s", got, want)
	}
	if got := cfg.NICs[0].Forwards[0].Host; got != "127.0.0.1:0" {
		t.Errorf("the caller's forward became %s", got)
	}
}

func TestPortInUse(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	err = CheckForwards(Config{NICs: []NIC{{Forwards: []Forward{{l.Addr().String(), 5222}}}}})
	var inUse *PortInUseError
	if !errors.As(err, &inUse) || inUse.Guest != 5222 || inUse.Address != l.Addr().String() {
		t.Errorf("CheckForwards = %v; want that %s for 5222 is in use", err, l.Addr())
	}
}
