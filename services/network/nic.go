package network

import (
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// NIC is a physical network card's port.
type NIC struct {
	// MAC in lower case with colons.
	MAC string
	// slot is what NICs are sorted by.
	slot slot
}

// slot is where a NIC sits. Those on the PCI bus come first, by their address;
// others, such as a hypervisor's own bus, follow by their path.
type slot struct {
	pci  bool
	at   [4]uint64 // domain, bus, device, function
	port int       // several ports may share one function
	path string
}

func (s slot) compare(o slot) int {
	if s.pci != o.pci {
		if s.pci {
			return -1
		}
		return 1
	}
	return cmp.Or(
		slices.Compare(s.at[:], o.at[:]),
		cmp.Compare(s.port, o.port),
		cmp.Compare(s.path, o.path))
}

var pciAddress = regexp.MustCompile(`^([0-9a-f]{4,}):([0-9a-f]{2}):([0-9a-f]{2})\.([0-7])$`)

// arphrdEther is the type of an Ethernet link (if_arp.h).
const arphrdEther = "1"

// scanNICs lists the physical Ethernet NICs below sysfs, in slot order. A MAC
// seen twice counts once: the other is a port bonded to it.
func scanNICs(sysfs string) ([]NIC, error) {
	class := filepath.Join(sysfs, "class/net")
	entries, err := os.ReadDir(class)
	if err != nil {
		return nil, fmt.Errorf("list network cards: %w", err)
	}
	var nics []NIC
	for _, e := range entries {
		dir := filepath.Join(class, e.Name())
		// A link that is no device, such as lo or a bridge, has no "device".
		// One that goes away meanwhile fails here or below, and is gone.
		device, err := filepath.EvalSymlinks(filepath.Join(dir, "device"))
		if err != nil || attribute(dir, "type") != arphrdEther {
			continue
		}
		mac := strings.ToLower(attribute(dir, "address"))
		if mac == "" || mac == "00:00:00:00:00:00" {
			continue
		}
		nics = append(nics, NIC{MAC: mac, slot: slotOf(device, attribute(dir, "dev_port"))})
	}
	slices.SortFunc(nics, func(a, b NIC) int { return a.slot.compare(b.slot) })
	seen := map[string]bool{}
	return slices.DeleteFunc(nics, func(n NIC) bool {
		twice := seen[n.MAC]
		seen[n.MAC] = true
		return twice
	}), nil
}

func slotOf(device, port string) slot {
	s := slot{path: device}
	s.port, _ = strconv.Atoi(port)
	// The last address on the path is the NIC's, those before it bridges'.
	for part := range strings.SplitSeq(device, "/") {
		m := pciAddress.FindStringSubmatch(part)
		if m == nil {
			continue
		}
		s.pci = true
		for i, hex := range m[1:] {
			s.at[i], _ = strconv.ParseUint(hex, 16, 64)
		}
	}
	return s
}

// attribute reads a one-line file of a link's folder; "" if there is none.
func attribute(dir, name string) string {
	data, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(data))
}
