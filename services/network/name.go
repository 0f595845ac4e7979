package network

import (
	"fmt"
	"maps"
	"slices"

	"parley/services/config"
)

// Names are the interfaces that a node can have, in order.
var Names = []string{"a", "b", "c", "d"}

// assign gives NICs, in slot order, their names. pinned has the MAC of each
// name that was given before. The rules:
//
//   - A NIC keeps its name wherever it sits: the MAC decides, not the slot.
//   - A new NIC takes the first name that is free.
//   - The name of a NIC that is missing stays reserved: it may come back, and
//     no other should get its address.
//   - Unless none of the NICs was here before. Then this is another machine (a
//     clone, or a disk moved over), or its only NIC was replaced: the old pins
//     mean nothing, and all names are given anew in slot order.
//
// The result has the MAC of each name, of missing NICs too. A NIC beyond the
// fourth gets none.
func assign(nics []NIC, pinned map[string]string) map[string]string {
	names := map[string]string{}
	known := map[string]bool{}
	for _, mac := range pinned {
		if slices.ContainsFunc(nics, func(n NIC) bool { return n.MAC == mac }) {
			known[mac] = true
		}
	}
	if len(known) > 0 || len(nics) == 0 {
		maps.Copy(names, pinned)
	}
	for _, nic := range nics {
		if known[nic.MAC] {
			continue
		}
		for _, name := range Names {
			if _, taken := names[name]; !taken {
				names[name] = nic.MAC
				break
			}
		}
	}
	return names
}

// pinsOf are the MACs that the document holds, by name.
func pinsOf(d config.Document) map[string]string {
	pins := map[string]string{}
	for name, i := range d.Interfaces {
		if i.MAC != "" {
			pins[name] = i.MAC
		}
	}
	return pins
}

// setPins writes pins to the document.
func setPins(d *config.Document, pins map[string]string) {
	if d.Interfaces == nil {
		d.Interfaces = map[string]config.Interface{}
	}
	for _, name := range Names {
		i, have := d.Interfaces[name]
		i.MAC = pins[name]
		if have || i.MAC != "" {
			d.Interfaces[name] = i
		}
	}
}

// renaming is one step of renameSteps.
type renaming struct {
	index int
	name  string
}

// renameSteps leads from the links' present names to those of pins, which are
// MACs by name. A link in the way first steps aside to a name of its own, so
// that two can swap.
func renameSteps(links []Link, pins map[string]string) []renaming {
	target := map[int]string{}
	for name, mac := range pins {
		for _, l := range links {
			if l.MAC == mac {
				target[l.Index] = name
			}
		}
	}
	var aside, final []renaming
	for _, l := range links {
		want, named := target[l.Index]
		if named && want == l.Name {
			continue
		}
		if slices.Contains(Names, l.Name) {
			aside = append(aside, renaming{l.Index, fmt.Sprintf("nic%d", l.Index)})
		}
		if named {
			final = append(final, renaming{l.Index, want})
		}
	}
	return append(aside, final...)
}
