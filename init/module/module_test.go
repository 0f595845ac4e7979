package module

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// tables is a /lib/modules/RELEASE, cut down to what Debian's has of it.
var tables = map[string]string{
	"modules.dep": `kernel/fs/ext4/ext4.ko: kernel/lib/crc16.ko kernel/fs/mbcache.ko kernel/fs/jbd2/jbd2.ko
kernel/fs/jbd2/jbd2.ko:
kernel/fs/mbcache.ko:
kernel/lib/crc16.ko:
kernel/crypto/crc32c_generic.ko:
kernel/arch/x86/crypto/crc32c-intel.ko:
kernel/drivers/virtio/virtio_pci.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio_ring.ko: kernel/drivers/virtio/virtio.ko
kernel/drivers/virtio/virtio.ko:
kernel/drivers/block/virtio_blk.ko: kernel/drivers/virtio/virtio_ring.ko kernel/drivers/virtio/virtio.ko
kernel/a.ko:
kernel/b.ko:
kernel/broken.ko:
`,
	"modules.alias": `# Aliases extracted from modules themselves.
alias pci:v00001AF4d*sv*sd*bc*sc*i* virtio_pci
alias virtio:d00000002v* virtio_blk
alias fs-ext4 ext4
alias crypto-crc32c crc32c_generic
alias crypto-crc32c crc32c-intel
alias cpu:type:x86,ven*fam*mod*:feature:*0094* crc32c_intel
alias input:b*v*p*e*-e*1,*k*74,* a
alias serio:ty[1-3]* b
alias pci:v0000DEADd*sv*sd*bc*sc*i* broken
alias platform:rtc rtc_cmos
`,
	"modules.softdep": `softdep ext4 pre: crypto-crc32c
softdep a pre: b
softdep b pre: a
softdep jbd2 post: mbcache missing
`,
	"modules.builtin": "kernel/drivers/rtc/rtc-cmos.ko\n",
}

func openTables(t *testing.T) *Index {
	t.Helper()
	dir := t.TempDir()
	for name, text := range tables {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	x, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return x
}

// memoryKernel records what is loaded; a module may reveal a device.
type memoryKernel struct {
	mu     sync.Mutex
	loaded []string
	reveal func(module string)
}

func (k *memoryKernel) InsertModule(file string) error {
	name := Name(file)
	if name == "broken" {
		return errors.New("no such device")
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	k.loaded = append(k.loaded, name)
	if k.reveal != nil {
		k.reveal(name)
	}
	return nil
}

func TestResolve(t *testing.T) {
	x := openTables(t)
	for _, tt := range []struct {
		name, request string
		want          []string
		known         bool
	}{
		{"device", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00", []string{"virtio_pci"}, true},
		{"another vendor", "pci:v00008086d00001237sv00001AF4sd00001100bc06sc00i00", nil, false},
		{"no wildcard", "fs-ext4", []string{"ext4"}, true},
		{"two providers", "crypto-crc32c", []string{"crc32c_generic", "crc32c_intel"}, true},
		{"name with dashes", "crc32c-intel", []string{"crc32c_intel"}, true},
		{"built in by alias", "platform:rtc", nil, true},
		{"built in by name", "rtc-cmos", nil, true},
		{"class", "serio:ty06pr00id00ex00", nil, false},
		{"in the class", "serio:ty16pr00id00ex00", []string{"b"}, true},
		{"feature of the processor", "cpu:type:x86,ven0002fam000Fmod006B:feature:,0000,0094,0095", []string{"crc32c_intel"}, true},
		{"key of an input device", "input:b0019v0000p0001e0000-e0,1,k74,ramlsfw", []string{"a"}, true},
		{"empty", "", nil, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, known := x.Resolve(tt.request)
			if diff := cmp.Diff(tt.want, got); diff != "" || known != tt.known {
				t.Errorf("Resolve(%q), known %v; want %v (-want +got):\n%s", tt.request, known, tt.known, diff)
			}
		})
	}
}

func TestLoadOrder(t *testing.T) {
	for _, tt := range []struct {
		name, module string
		want         []string
	}{
		{"dependencies last to first", "virtio_blk", []string{"virtio", "virtio_ring", "virtio_blk"}},
		{"soft dependency before", "ext4", []string{"jbd2", "mbcache", "crc16", "crc32c_generic", "crc32c_intel", "ext4"}},
		{"soft dependency after", "jbd2", []string{"jbd2", "mbcache"}},
		{"circle", "a", []string{"b", "a"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			k := &memoryKernel{}
			if err := NewLoader(openTables(t), k).Load(tt.module); err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(tt.want, k.loaded); diff != "" {
				t.Errorf("Load(%s) (-want +got):\n%s", tt.module, diff)
			}
		})
	}
}

func TestRequestErrors(t *testing.T) {
	l := NewLoader(openTables(t), &memoryKernel{})
	if err := l.Request("net-pf-99"); !errors.Is(err, ErrUnknown) {
		t.Errorf("Request of what nobody has = %v; want ErrUnknown", err)
	}
	for range 2 {
		if err := l.Request("broken"); err == nil || errors.Is(err, ErrUnknown) {
			t.Errorf("Request of a broken module = %v; want the kernel's error", err)
		}
	}
	if err := l.Request("rtc-cmos"); err != nil {
		t.Errorf("Request of a built-in = %v; want nil", err)
	}
}

func TestEachModuleOnceForManyGoroutines(t *testing.T) {
	k := &memoryKernel{}
	l := NewLoader(openTables(t), k)
	var wg sync.WaitGroup
	for i := range 64 {
		wg.Go(func() {
			if err := l.Load([]string{"ext4", "virtio_blk", "a", "b"}[i%4]); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	slices.Sort(k.loaded)
	if got := slices.Compact(slices.Clone(k.loaded)); len(got) != len(k.loaded) || l.Loaded() != len(got) {
		t.Errorf("loaded %v, count %d; want each once", k.loaded, l.Loaded())
	}
}

func TestColdplugUntilStable(t *testing.T) {
	sys := t.TempDir()
	device := func(path, modalias string) {
		dir := filepath.Join(sys, path)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			t.Error(err)
		}
		if err := os.WriteFile(filepath.Join(dir, "modalias"), []byte(modalias+"\n"), 0o644); err != nil {
			t.Error(err)
		}
	}
	device("bus/pci/devices/0000:00:03.0", "pci:v00001AF4d00001001sv00001AF4sd00000002bc01sc00i00")
	device("bus/pci/devices/0000:00:04.0", "pci:v0000DEADd00001001sv00001AF4sd00000002bc01sc00i00")
	device("class/input/event0", "input:b0019v0000p0001e0000-e0,1,k74,ramlsfw")
	if err := os.MkdirAll(filepath.Join(sys, "bus/pci/devices/0000:00:05.0"), 0o755); err != nil {
		t.Fatal(err)
	}
	k := &memoryKernel{reveal: func(m string) {
		if m == "virtio_pci" {
			device("bus/virtio/devices/virtio0", "virtio:d00000002v00001AF4")
		}
	}}
	l := NewLoader(openTables(t), k)
	var mu sync.Mutex
	var failed []error
	l.Coldplug(sys, func(err error) {
		mu.Lock()
		defer mu.Unlock()
		failed = append(failed, err)
	})
	slices.Sort(k.loaded)
	if diff := cmp.Diff([]string{"a", "b", "virtio", "virtio_blk", "virtio_pci", "virtio_ring"}, k.loaded); diff != "" {
		t.Errorf("Coldplug loaded (-want +got):\n%s", diff)
	}
	if len(failed) != 1 || !strings.Contains(failed[0].Error(), "broken") {
		t.Errorf("Coldplug reported %v; want the broken module once", failed)
	}
}

func TestMatch(t *testing.T) {
	for _, tt := range []struct {
		pattern, s string
		want       bool
	}{
		{"", "", true}, {"", "a", false}, {"*", "", true}, {"*", "a/b", true}, {"a*c", "abbc", true}, {"a*c", "abb", false},
		{"a?c", "abc", true}, {"a?c", "ac", false}, {"[0-9]x", "5x", true}, {"[0-9]x", "ax", false}, {"[ab]", "b", true},
		{"[", "[", false}, {"**a", "ba", true}, {"*a*b*", "xxaxxbxx", true},
	} {
		if got := match(tt.pattern, tt.s); got != tt.want {
			t.Errorf("match(%q, %q) = %v; want %v", tt.pattern, tt.s, got, tt.want)
		}
	}
}

func BenchmarkColdplugResolve(b *testing.B) {
	x := &Index{deps: map[string][]string{"m": {"m.ko"}}, aliases: map[string][]alias{}, builtin: map[string]bool{}}
	for i := range 17000 {
		x.addAlias(fmt.Sprintf("alias pci:v%08Xd%08Xsv*sd*bc*sc*i* m", i%300, i))
	}
	x.lengths = []int{23}
	for b.Loop() {
		x.Resolve("pci:v00000001d00000001sv00001AF4sd00000002bc01sc00i00")
	}
}
