package image

import (
	_ "embed"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

//go:embed modules.txt
var curatedModules string

// moduleList reads a list as modules.txt is written.
func moduleList(text string) []string {
	var names []string
	for line := range strings.Lines(text) {
		line, _, _ = strings.Cut(line, "#")
		if line = strings.TrimSpace(line); line != "" {
			names = append(names, line)
		}
	}
	return names
}

// moduleSet is what the image ships: closed under dependencies and soft
// dependencies, in byte order of the names.
type moduleSet struct {
	tree  *kmodTree
	Names []string
}

// closure is want and all that it needs. Soft dependencies that this kernel has
// neither as a module nor built in are left out: they are wishes.
func (t *kmodTree) closure(want []string) (*moduleSet, error) {
	chosen := make(map[string]bool)
	var add func(name string) error
	add = func(name string) error {
		if chosen[name] || t.Builtin[name] != "" {
			return nil
		}
		m, ok := t.Modules[name]
		if !ok {
			return fmt.Errorf("no module %s in Linux %s", name, t.Release)
		}
		chosen[name] = true
		for _, dep := range m.Depends {
			if err := add(dep); err != nil {
				return fmt.Errorf("%s depends: %w", name, err)
			}
		}
		for _, dep := range m.softNames() {
			for _, provider := range t.resolve(dep) {
				if err := add(provider); err != nil {
					return fmt.Errorf("%s softdep: %w", name, err)
				}
			}
		}
		return nil
	}
	var errs []error
	for _, listed := range want {
		name := kmodName(listed)
		if t.Builtin[name] != "" {
			errs = append(errs, fmt.Errorf("module list: %s is built in to Linux %s; remove it from the list", listed, t.Release))
			continue
		}
		if err := add(name); err != nil {
			errs = append(errs, fmt.Errorf("module list: %w", err))
		}
	}
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	return &moduleSet{tree: t, Names: slices.Sorted(maps.Keys(chosen))}, nil
}

// resolve turns the name in a soft dependency into modules: the module of that
// name, or all that have it as an alias.
func (t *kmodTree) resolve(name string) []string {
	name = strings.ReplaceAll(name, "-", "_")
	if _, ok := t.Modules[name]; ok {
		return []string{name}
	}
	return t.providers[name]
}

// softNames are the modules or aliases that the soft dependencies name.
func (m *kmod) softNames() []string {
	var names []string
	for _, dep := range m.Softdeps {
		for word := range strings.FieldsSeq(dep) {
			if word != "pre:" && word != "post:" {
				names = append(names, word)
			}
		}
	}
	return names
}

// index is the files that a loader reads, in depmod's formats, cut down to the
// modules of the set. Paths in modules.dep are relative to
// /lib/modules/RELEASE; a line lists all dependencies, the first to load last.
func (s *moduleSet) index() map[string]string {
	var dep, alias, soft strings.Builder
	for _, name := range s.Names {
		m := s.tree.Modules[name]
		fmt.Fprintf(&dep, "%s:", m.Path)
		for _, d := range slices.Backward(s.loadOrder(name)) {
			fmt.Fprintf(&dep, " %s", s.tree.Modules[d].Path)
		}
		dep.WriteByte('\n')
		for _, a := range m.Aliases {
			fmt.Fprintf(&alias, "alias %s %s\n", a, name)
		}
		for _, d := range m.Softdeps {
			fmt.Fprintf(&soft, "softdep %s %s\n", name, d)
		}
	}
	var builtin strings.Builder
	for _, path := range slices.Sorted(maps.Values(s.tree.Builtin)) {
		fmt.Fprintf(&builtin, "%s\n", path)
	}
	return map[string]string{
		"modules.dep":     dep.String(),
		"modules.alias":   alias.String(),
		"modules.softdep": soft.String(),
		"modules.builtin": builtin.String(),
	}
}

// loadOrder is every module that must be in the kernel before name, each after
// those that it needs itself.
func (s *moduleSet) loadOrder(name string) []string {
	var order []string
	seen := map[string]bool{name: true}
	var visit func(string)
	visit = func(n string) {
		for _, d := range s.tree.Modules[n].Depends {
			if s.tree.Builtin[d] != "" || seen[d] {
				continue
			}
			seen[d] = true
			visit(d)
			order = append(order, d)
		}
	}
	visit(name)
	return order
}
