// Package module loads kernel modules: it reads the tables that the image's
// build made (modules.dep, .alias, .softdep, .builtin), finds the modules of a
// device by its modalias, and loads them with all that they need, each once.
// It takes no parameters, configuration or compressed modules.
package module

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

// Index is the tables of one kernel release. It does not change after Open.
type Index struct {
	dir string
	// deps has a row a module: its file, then what it needs, the first to
	// load last, as modules.dep has it.
	deps map[string][]string
	// pre and post are soft dependencies: modules or aliases.
	pre, post map[string][]string
	builtin   map[string]bool
	// aliases by the part of the pattern before the first wildcard; lengths
	// are those of the keys. So a device is compared with the few patterns
	// that begin as it does, not with all.
	aliases map[string][]alias
	lengths []int
}

type alias struct{ pattern, module string }

// Open reads the tables in dir, /lib/modules/RELEASE.
func Open(dir string) (*Index, error) {
	x := &Index{
		dir: dir, deps: map[string][]string{}, pre: map[string][]string{}, post: map[string][]string{},
		builtin: map[string]bool{}, aliases: map[string][]alias{},
	}
	for _, t := range []struct {
		file  string
		parse func(line string)
		must  bool
	}{
		{"modules.dep", x.addDep, true},
		{"modules.alias", x.addAlias, false},
		{"modules.softdep", x.addSoftdep, false},
		{"modules.builtin", func(line string) { x.builtin[Name(line)] = true }, false},
	} {
		data, err := os.ReadFile(filepath.Join(dir, t.file))
		if errors.Is(err, fs.ErrNotExist) && !t.must {
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("read module tables: %w", err)
		}
		lines := bufio.NewScanner(bytes.NewReader(data))
		for lines.Scan() {
			if line := strings.TrimSpace(lines.Text()); line != "" && line[0] != '#' {
				t.parse(line)
			}
		}
		if err := lines.Err(); err != nil {
			return nil, fmt.Errorf("read %s: %w", t.file, err)
		}
	}
	for prefix := range x.aliases {
		if !slices.Contains(x.lengths, len(prefix)) {
			x.lengths = append(x.lengths, len(prefix))
		}
	}
	slices.Sort(x.lengths)
	return x, nil
}

func (x *Index) addDep(line string) {
	file, needs, ok := strings.Cut(line, ":")
	if !ok {
		return
	}
	x.deps[Name(file)] = append([]string{file}, strings.Fields(needs)...)
}

func (x *Index) addAlias(line string) {
	f := strings.Fields(line)
	if len(f) != 3 || f[0] != "alias" {
		return
	}
	pattern := underscores(f[1])
	prefix := pattern
	if i := strings.IndexAny(pattern, "*?["); i >= 0 {
		prefix = pattern[:i]
	}
	x.aliases[prefix] = append(x.aliases[prefix], alias{pattern, Name(f[2])})
}

func (x *Index) addSoftdep(line string) {
	f := strings.Fields(line)
	if len(f) < 3 || f[0] != "softdep" {
		return
	}
	name := Name(f[1])
	into := x.pre
	for _, word := range f[2:] {
		switch word {
		case "pre:":
			into = x.pre
		case "post:":
			into = x.post
		default:
			into[name] = append(into[name], word)
		}
	}
}

// Name is the module that a file name or an alias with dashes means.
func Name(file string) string {
	return strings.ReplaceAll(strings.TrimSuffix(path.Base(file), ".ko"), "-", "_")
}

// underscores replaces dashes, as modprobe does, but not in a character class.
func underscores(s string) string {
	b := []byte(s)
	class := false
	for i, c := range b {
		switch {
		case c == '[':
			class = true
		case c == ']':
			class = false
		case c == '-' && !class:
			b[i] = '_'
		}
	}
	return string(b)
}

// Resolve gives the modules for a device's modalias, a kernel request such as
// crypto-crc32c, or a module name, each once, in the order of the tables. known
// says that there is something to it, though it may be built in.
func (x *Index) Resolve(request string) (modules []string, known bool) {
	request = underscores(request)
	for _, n := range x.lengths {
		if n > len(request) {
			break
		}
		for _, a := range x.aliases[request[:n]] {
			if !slices.Contains(modules, a.module) && match(a.pattern, request) {
				modules = append(modules, a.module)
			}
		}
	}
	modules = slices.DeleteFunc(modules, func(m string) bool {
		if x.builtin[m] {
			known = true
		}
		return x.deps[m] == nil
	})
	if len(modules) > 0 {
		return modules, true
	}
	if x.deps[request] != nil {
		return []string{request}, true
	}
	return nil, known || x.builtin[request]
}

// order lists the modules to load for name, itself among them: what it needs,
// then its soft dependencies "pre", itself, those "post". A circle of soft
// dependencies is cut where it closes.
func (x *Index) order(name string) []string {
	var out []string
	seen := map[string]bool{}
	var visit func(string)
	soft := func(requests []string) {
		for _, r := range requests {
			found, _ := x.Resolve(r)
			for _, m := range found {
				visit(m)
			}
		}
	}
	visit = func(m string) {
		row := x.deps[m]
		if seen[m] || row == nil {
			return
		}
		seen[m] = true
		for _, need := range slices.Backward(row[1:]) {
			visit(Name(need))
		}
		soft(x.pre[m])
		out = append(out, m)
		soft(x.post[m])
	}
	visit(name)
	return out
}

// match is fnmatch(3) with no flags: * and ? match anything, also a slash.
func match(pattern, s string) bool {
	for pattern != "" {
		switch pattern[0] {
		case '*':
			for pattern != "" && pattern[0] == '*' {
				pattern = pattern[1:]
			}
			if pattern == "" {
				return true
			}
			for i := range len(s) + 1 {
				if match(pattern, s[i:]) {
					return true
				}
			}
			return false
		case '[':
			end := strings.IndexByte(pattern, ']')
			if end < 0 || s == "" || !inClass(pattern[1:end], s[0]) {
				return false
			}
			pattern, s = pattern[end+1:], s[1:]
		default:
			if s == "" || pattern[0] != '?' && pattern[0] != s[0] {
				return false
			}
			pattern, s = pattern[1:], s[1:]
		}
	}
	return s == ""
}

func inClass(class string, c byte) bool {
	for i := 0; i < len(class); i++ {
		if i+2 < len(class) && class[i+1] == '-' {
			if class[i] <= c && c <= class[i+2] {
				return true
			}
			i += 2
		} else if class[i] == c {
			return true
		}
	}
	return false
}
