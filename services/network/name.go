package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

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

const (
	// settle is how long the service waits at start for NICs that were here
	// before, if it sees only new ones: giving their names away cannot be
	// undone. Drivers have been loaded by then, but may still be probing.
	settle      = 2 * time.Second
	settleCheck = 50 * time.Millisecond
)

// settle waits while NICs are here but none that was before.
func (s *Service) settle(ctx context.Context) {
	d, err := s.deps.Store.Load()
	if err != nil {
		return
	}
	pins := pinsOf(d)
	ctx, cancel := context.WithTimeout(ctx, settle)
	defer cancel()
	for {
		nics, err := scanNICs(s.cfg.Sysfs)
		if err != nil || len(nics) == 0 || len(pins) == 0 {
			return
		}
		for _, mac := range pins {
			if slices.ContainsFunc(nics, func(n NIC) bool { return n.MAC == mac }) {
				return
			}
		}
		select {
		case <-time.After(settleCheck):
		case <-ctx.Done():
			return
		}
	}
}

// errSame ends an update that has nothing to change.
var errSame = errors.New("unchanged")

// name gives the NICs that are here now their names, in live.json and in the
// kernel, and takes the document as it then is. It asks for the store's lock:
// mu must not be held.
func (s *Service) name() error {
	nics, err := scanNICs(s.cfg.Sysfs)
	if err != nil {
		return err
	}
	var doc config.Document
	err = s.deps.Store.Update(func(d *config.Document) error {
		pins := assign(nics, pinsOf(*d))
		same := maps.Equal(pins, pinsOf(*d))
		setPins(d, pins)
		doc = d.Clone()
		if same {
			return errSame
		}
		s.log.Info("interfaces named", "mac", pins)
		return nil
	})
	if err != nil && !errors.Is(err, errSame) {
		// Without its document the node still shall be reachable.
		s.log.Error("names of interfaces are not saved", "err", err)
		if doc.Interfaces == nil {
			doc = config.Default()
			setPins(&doc, assign(nics, nil))
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.doc, s.nics = doc, nics
	links, err := s.deps.Kernel.Links()
	if err != nil {
		return err
	}
	var errs []error
	for _, step := range renameSteps(s.physical(links), pinsOf(doc)) {
		s.log.Info("renaming link", "index", step.index, "name", step.name)
		errs = append(errs, s.deps.Kernel.Rename(step.index, step.name))
	}
	return errors.Join(errs...)
}

// physical are the links that are NICs.
func (s *Service) physical(links []Link) []Link {
	return slices.DeleteFunc(slices.Clone(links), func(l Link) bool {
		return !slices.ContainsFunc(s.nics, func(n NIC) bool { return n.MAC == l.MAC })
	})
}
