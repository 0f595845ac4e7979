package network

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// card is a NIC of a fake sysfs.
type card struct{ name, mac, device, port string }

// fakeSysfs makes a tree as the kernel has it: class/net holds links into
// devices, and each NIC's folder has a link to its device.
func fakeSysfs(t *testing.T, cards ...card) string {
	t.Helper()
	root := t.TempDir()
	setCards(t, root, cards...)
	return root
}

func setCards(t *testing.T, root string, cards ...card) {
	t.Helper()
	class := filepath.Join(root, "class/net")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.RemoveAll(class))
	must(os.MkdirAll(filepath.Join(class), 0o755))
	must(os.MkdirAll(filepath.Join(root, "devices/virtual/net/lo"), 0o755))
	must(os.WriteFile(filepath.Join(root, "devices/virtual/net/lo/type"), []byte("772\n"), 0o644))
	must(os.Symlink("../../devices/virtual/net/lo", filepath.Join(class, "lo")))
	for _, c := range cards {
		dir := filepath.Join(root, "devices", c.device, "net", c.name)
		must(os.MkdirAll(dir, 0o755))
		for file, text := range map[string]string{"address": c.mac, "type": "1", "dev_port": c.port, "speed": "-1", "duplex": "unknown"} {
			must(os.WriteFile(filepath.Join(dir, file), []byte(text+"\n"), 0o644))
		}
		must(os.RemoveAll(filepath.Join(dir, "device")))
		must(os.Symlink("../..", filepath.Join(dir, "device")))
		must(os.Symlink("../../devices/"+c.device+"/net/"+c.name, filepath.Join(class, c.name)))
	}
}

const (
	macA = "52:54:00:00:00:0a"
	macB = "52:54:00:00:00:0b"
	macC = "52:54:00:00:00:0c"
	macD = "52:54:00:00:00:0d"
	macE = "52:54:00:00:00:0e"
)

func TestScanSortsByPCIAddress(t *testing.T) {
	root := fakeSysfs(t,
		// Kernel names and folder order say nothing of the slot.
		card{"eth3", macA, "pci0000:00/0000:00:03.0/virtio1", "0"},
		card{"eth0", macB, "pci0000:00/0000:00:1c.0/0000:02:00.0", "0"},
		card{"eth1", macC, "pci0000:00/0000:00:1c.0/0000:02:00.1", "1"},
		card{"eth2", macD, "pci0000:00/0000:00:1c.0/0000:02:00.1", "0"},
		card{"eth4", macE, "LNXSYSTM:00/VMBUS:00/f8b3781b", "0"},
		card{"eth5", "52:54:00:00:00:01", "pci0000:00/0000:00:0a.0/virtio0", "0"},
		// A bond's slave has the MAC of its master.
		card{"eth6", macA, "pci0001:00/0001:00:01.0", "0"},
	)
	nics, err := scanNICs(root)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, n := range nics {
		got = append(got, n.MAC)
	}
	want := []string{macA, "52:54:00:00:00:01", macB, macD, macC, macE}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("scanNICs (-want +got):\n%s", diff)
	}
}

func TestAssign(t *testing.T) {
	type pins = map[string]string
	for _, tt := range []struct {
		name   string
		nics   []string
		pinned pins
		want   pins
	}{
		{"first boot", []string{macB, macA}, nil, pins{"a": macB, "b": macA}},
		{"no card", nil, pins{"a": macA}, pins{"a": macA}},
		{"slots swapped", []string{macB, macA}, pins{"a": macA, "b": macB}, pins{"a": macA, "b": macB}},
		{"new card in a lower slot", []string{macC, macA}, pins{"a": macA}, pins{"a": macA, "b": macC}},
		{"missing card keeps its name", []string{macB, macC}, pins{"a": macA, "b": macB}, pins{"a": macA, "b": macB, "c": macC}},
		{"gap is filled", []string{macA, macC}, pins{"a": macA, "c": macC, "d": macD}, pins{"a": macA, "c": macC, "d": macD}},
		{"new card takes the gap", []string{macA, macE}, pins{"a": macA, "c": macC}, pins{"a": macA, "b": macE, "c": macC}},
		{"only card replaced", []string{macE}, pins{"a": macA}, pins{"a": macE}},
		{"clone with two cards", []string{macC, macD}, pins{"a": macA, "b": macB}, pins{"a": macC, "b": macD}},
		{"fifth card has none", []string{macA, macB, macC, macD, macE}, nil, pins{"a": macA, "b": macB, "c": macC, "d": macD}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var nics []NIC
			for _, mac := range tt.nics {
				nics = append(nics, NIC{MAC: mac})
			}
			if diff := cmp.Diff(tt.want, assign(nics, tt.pinned)); diff != "" {
				t.Errorf("assign(%v, %v) (-want +got):\n%s", tt.nics, tt.pinned, diff)
			}
		})
	}
}

func TestRenameReachesTheNames(t *testing.T) {
	for _, tt := range []struct {
		name  string
		links []Link
		pins  map[string]string
		steps int
	}{
		{"fresh", []Link{{Index: 2, Name: "eth0", MAC: macA}, {Index: 3, Name: "eth1", MAC: macB}}, map[string]string{"a": macB, "b": macA}, 2},
		{"done", []Link{{Index: 2, Name: "a", MAC: macA}}, map[string]string{"a": macA}, 0},
		{"swap", []Link{{Index: 2, Name: "a", MAC: macA}, {Index: 3, Name: "b", MAC: macB}}, map[string]string{"a": macB, "b": macA}, 4},
		{"chain", []Link{{Index: 2, Name: "a", MAC: macA}, {Index: 3, Name: "eth0", MAC: macB}}, map[string]string{"a": macB, "b": macA}, 3},
		{"fifth in the way", []Link{{Index: 2, Name: "a", MAC: macE}, {Index: 3, Name: "eth0", MAC: macA}}, map[string]string{"a": macA}, 2},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := newMemoryKernel(tt.links...)
			steps := renameSteps(tt.links, tt.pins)
			if len(steps) != tt.steps {
				t.Errorf("renameSteps = %v; want %d steps", steps, tt.steps)
			}
			for _, s := range steps {
				if err := k.Rename(s.index, s.name); err != nil {
					t.Fatalf("rename %v: %v", s, err)
				}
			}
			links, _ := k.Links()
			for _, l := range links {
				for name, mac := range tt.pins {
					if (l.MAC == mac) != (l.Name == name) {
						t.Errorf("link %s is called %s; pins are %v", l.MAC, l.Name, tt.pins)
					}
				}
			}
		})
	}
}
