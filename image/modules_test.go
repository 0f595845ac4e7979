package image

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// writeKo writes an ELF object with nothing but a .modinfo section of the
// given key=value pairs.
func writeKo(t *testing.T, path string, info ...string) {
	t.Helper()
	const header, sectionHeader = 64, 64
	modinfo := []byte(strings.Join(info, "\x00") + "\x00")
	names := []byte("\x00.modinfo\x00.shstrtab\x00")
	h := elf.Header64{
		Ident: [elf.EI_NIDENT]byte{0x7f, 'E', 'L', 'F', byte(elf.ELFCLASS64), byte(elf.ELFDATA2LSB), byte(elf.EV_CURRENT)},
		Type:  uint16(elf.ET_REL), Machine: uint16(elf.EM_X86_64), Version: uint32(elf.EV_CURRENT),
		Shoff: header + uint64(len(modinfo)+len(names)), Ehsize: header, Shentsize: sectionHeader, Shnum: 3, Shstrndx: 2,
	}
	sections := []elf.Section64{
		{},
		{Name: 1, Type: uint32(elf.SHT_PROGBITS), Off: header, Size: uint64(len(modinfo)), Addralign: 1},
		{Name: 10, Type: uint32(elf.SHT_STRTAB), Off: header + uint64(len(modinfo)), Size: uint64(len(names)), Addralign: 1},
	}
	var out bytes.Buffer
	for _, part := range []any{h, modinfo, names, sections} {
		if err := binary.Write(&out, binary.LittleEndian, part); err != nil {
			t.Fatal(err)
		}
	}
	writeFile(t, path, out.String())
}

func writeFile(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// fixtureTree is a small kernel: ext4 needs jbd2 and mbcache, wishes for an
// alias that two modules have, and crc32c-intel depends on a built-in one.
func fixtureTree(t *testing.T) *kmodTree {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "6.1.0-test-amd64")
	ko := func(path string, info ...string) { writeKo(t, filepath.Join(dir, "kernel", path), info...) }
	ko("fs/ext4/ext4.ko", "license=GPL", "softdep=pre:  crc32c", "alias=fs-ext4", "alias=ext3", "depends=jbd2,mbcache")
	ko("fs/jbd2/jbd2.ko", "depends=crc16")
	ko("fs/mbcache.ko", "depends=")
	ko("lib/crc16.ko", "depends=")
	ko("arch/x86/crypto/crc32c-intel.ko", "alias=crc32c", "alias=crypto-crc32c", "depends=libcrypto")
	ko("crypto/crc32c_generic.ko", "alias=crc32c", "alias=crypto-crc32c")
	ko("drivers/net/e1000.ko", "alias=pci:v00008086d00001000sv*sd*bc*sc*i*", "softdep=pre: no-such-thing post: crc16")
	ko("drivers/net/unused.ko", "depends=e1000")
	ko("drivers/net/broken.ko", "depends=gone")
	writeFile(t, filepath.Join(dir, "modules.builtin"), "kernel/crypto/libcrypto.ko\nkernel/drivers/input/serio/i8042.ko\n")
	tree, err := readKmodTree(dir)
	if err != nil {
		t.Fatal(err)
	}
	return tree
}

func TestClosure(t *testing.T) {
	tree := fixtureTree(t)
	for _, tt := range []struct {
		name    string
		want    []string
		modules []string
		err     string
	}{
		{name: "dependencies and all providers of a soft one", want: []string{"ext4"},
			modules: []string{"crc16", "crc32c_generic", "crc32c_intel", "ext4", "jbd2", "mbcache"}},
		{name: "an unknown wish is none, post counts", want: []string{"e1000"}, modules: []string{"crc16", "e1000"}},
		{name: "hyphen and underscore are one", want: []string{"crc32c-intel"}, modules: []string{"crc32c_intel"}},
		{name: "built in", want: []string{"i8042"}, err: "built in"},
		{name: "no such module", want: []string{"e1001"}, err: "no module e1001"},
		{name: "no such dependency", want: []string{"broken"}, err: "broken depends: no module gone"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			set, err := tree.closure(tt.want)
			if tt.err != "" {
				if err == nil || !strings.Contains(err.Error(), tt.err) {
					t.Fatalf("closure(%q) = %v; want an error with %q", tt.want, err, tt.err)
				}
				return
			}
			if err != nil {
				t.Fatalf("closure(%q): %v", tt.want, err)
			}
			if diff := cmp.Diff(tt.modules, set.Names); diff != "" {
				t.Errorf("closure(%q) (-want +got):\n%s", tt.want, diff)
			}
		})
	}
}

func TestClosureNamesEveryMistakeOfTheList(t *testing.T) {
	_, err := fixtureTree(t).closure([]string{"i8042", "e1001", "ext4"})
	if err == nil || !strings.Contains(err.Error(), "i8042") || !strings.Contains(err.Error(), "e1001") {
		t.Errorf("closure = %v; want both mistakes named", err)
	}
}

func TestIndexIsCutDown(t *testing.T) {
	set, err := fixtureTree(t).closure([]string{"ext4"})
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"modules.dep": `kernel/lib/crc16.ko:
kernel/crypto/crc32c_generic.ko:
kernel/arch/x86/crypto/crc32c-intel.ko:
kernel/fs/ext4/ext4.ko: kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko kernel/lib/crc16.ko
kernel/fs/jbd2/jbd2.ko: kernel/lib/crc16.ko
kernel/fs/mbcache.ko:
`,
		"modules.alias": `alias crc32c crc32c_generic
alias crypto-crc32c crc32c_generic
alias crc32c crc32c_intel
alias crypto-crc32c crc32c_intel
alias fs-ext4 ext4
alias ext3 ext4
`,
		"modules.softdep": "softdep ext4 pre: crc32c\n",
		"modules.builtin": "kernel/crypto/libcrypto.ko\nkernel/drivers/input/serio/i8042.ko\n",
	}
	if diff := cmp.Diff(want, set.index()); diff != "" {
		t.Errorf("index (-want +got):\n%s", diff)
	}
}

func TestReadKmodRefusesWhatIsNoModule(t *testing.T) {
	path := filepath.Join(t.TempDir(), "x.ko")
	writeFile(t, path, "not ELF")
	if _, err := readKmod(path); err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("readKmod = %v; want an error that names the file", err)
	}
}

func TestModuleList(t *testing.T) {
	got := moduleList("# head\nahci\n\n  ext4 # fs\n#x\n")
	if diff := cmp.Diff([]string{"ahci", "ext4"}, got); diff != "" {
		t.Errorf("moduleList (-want +got):\n%s", diff)
	}
	seen := make(map[string]bool)
	for _, name := range moduleList(curatedModules) {
		if seen[kmodName(name)] {
			t.Errorf("modules.txt lists %s twice", name)
		}
		seen[kmodName(name)] = true
	}
}

func FuzzParseModinfo(f *testing.F) {
	f.Add([]byte("depends=a,b\x00softdep=pre: x\x00alias=y\x00"))
	f.Add([]byte("=\x00==\x00depends"))
	f.Fuzz(func(t *testing.T, data []byte) {
		m := parseModinfo(data)
		for _, name := range m.Depends {
			if strings.ContainsAny(name, ",-\x00") {
				t.Errorf("parseModinfo(%q) depends on %q", data, name)
			}
		}
	})
}
