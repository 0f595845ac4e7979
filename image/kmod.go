package image

import (
	"bufio"
	"debug/elf"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// kmod is one module of the kernel package: its path below
// /lib/modules/RELEASE and what its .modinfo section says.
type kmod struct {
	Path     string
	Depends  []string
	Softdeps []string // each as depmod writes it: "pre: a b post: c"
	Aliases  []string
}

// kmodTree is every module of one kernel, by normalised name.
type kmodTree struct {
	Release string
	Dir     string
	Modules map[string]*kmod
	Builtin map[string]string // to its path in modules.builtin

	// providers holds, for each alias without wildcards, who has it: soft
	// dependencies name these ("crc32c") as well as modules.
	providers map[string][]string
}

// kmodName is how the kernel itself spells a module: file names mix - and _.
func kmodName(path string) string {
	base := filepath.Base(path)
	base, _, _ = strings.Cut(base, ".ko")
	return strings.ReplaceAll(base, "-", "_")
}

// readKmodTree reads all modules below dir, which is lib/modules/RELEASE of an
// unpacked kernel package.
func readKmodTree(dir string) (*kmodTree, error) {
	t := &kmodTree{
		Release:   filepath.Base(dir),
		Dir:       dir,
		Modules:   make(map[string]*kmod),
		Builtin:   make(map[string]string),
		providers: make(map[string][]string),
	}
	builtin, err := os.Open(filepath.Join(dir, "modules.builtin"))
	if err != nil {
		return nil, fmt.Errorf("kernel modules: %w", err)
	}
	defer builtin.Close()
	lines := bufio.NewScanner(builtin)
	for lines.Scan() {
		t.Builtin[kmodName(lines.Text())] = lines.Text()
	}
	if err := lines.Err(); err != nil {
		return nil, fmt.Errorf("read %s: %w", builtin.Name(), err)
	}
	// WalkDir is in lexical order, so providers is too.
	err = filepath.WalkDir(filepath.Join(dir, "kernel"), func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".ko" {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		m, err := readKmod(path)
		if err != nil {
			return err
		}
		m.Path = rel
		name := kmodName(path)
		t.Modules[name] = m
		for _, alias := range m.Aliases {
			if !strings.ContainsAny(alias, "*?[") {
				alias = strings.ReplaceAll(alias, "-", "_")
				t.providers[alias] = append(t.providers[alias], name)
			}
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("kernel modules: %w", err)
	}
	return t, nil
}

func readKmod(path string) (*kmod, error) {
	f, err := elf.Open(path)
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	defer f.Close()
	section := f.Section(".modinfo")
	if section == nil {
		return nil, fmt.Errorf("read %s: %w", path, errors.New("no .modinfo section"))
	}
	data, err := section.Data()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	return parseModinfo(data), nil
}

// parseModinfo reads NUL-separated key=value pairs.
func parseModinfo(data []byte) *kmod {
	m := new(kmod)
	for pair := range strings.SplitSeq(string(data), "\x00") {
		key, value, _ := strings.Cut(pair, "=")
		if value == "" {
			continue
		}
		switch key {
		case "depends":
			for name := range strings.SplitSeq(value, ",") {
				m.Depends = append(m.Depends, strings.ReplaceAll(name, "-", "_"))
			}
		case "softdep":
			m.Softdeps = append(m.Softdeps, strings.Join(strings.Fields(value), " "))
		case "alias":
			m.Aliases = append(m.Aliases, value)
		}
	}
	return m
}
