package pid1

import (
	"context"
	"encoding/binary"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
)

// From input-event-codes.h.
const (
	evKey    = 1
	keyPower = 116
	// eventSize is sizeof(struct input_event) on 64-bit machines: a time of
	// 16 bytes, then type, code and value.
	eventSize = 24
)

// buttons watches the input devices that have a power key: the ACPI button,
// and keyboards.
type buttons struct {
	sys, dev string
	guard    func(func())
	pressed  func()

	mu   sync.Mutex
	open map[string]bool
	wg   sync.WaitGroup
}

// scan begins to watch the devices that it does not know yet; it is called
// again when a device came. The watching ends with ctx or the device.
func (b *buttons) scan(ctx context.Context) {
	devices, _ := filepath.Glob(filepath.Join(b.sys, "class/input/event*"))
	for _, d := range devices {
		name := filepath.Base(d)
		keys, err := os.ReadFile(filepath.Join(d, "device/capabilities/key"))
		if err != nil || !hasKey(string(keys), keyPower) {
			continue
		}
		b.mu.Lock()
		known := b.open[name]
		b.mu.Unlock()
		if known {
			continue
		}
		f, err := os.Open(filepath.Join(b.dev, "input", name))
		if err != nil {
			// Not there yet; its uevent calls again.
			continue
		}
		b.mu.Lock()
		if b.open == nil {
			b.open = map[string]bool{}
		}
		b.open[name] = true
		b.mu.Unlock()
		b.wg.Add(1)
		go b.guard(func() {
			defer b.wg.Done()
			b.watch(ctx, name, f)
		})
	}
}

func (b *buttons) watch(ctx context.Context, name string, f *os.File) {
	stop := context.AfterFunc(ctx, func() { f.Close() })
	defer stop()
	defer f.Close()
	var e [eventSize]byte
	for {
		if _, err := io.ReadFull(f, e[:]); err != nil {
			b.mu.Lock()
			delete(b.open, name)
			b.mu.Unlock()
			return
		}
		// Value 1 is down; 0 up and 2 repeated do not count.
		if binary.NativeEndian.Uint16(e[16:]) == evKey && binary.NativeEndian.Uint16(e[18:]) == keyPower && binary.NativeEndian.Uint32(e[20:]) == 1 {
			b.pressed()
		}
	}
}

// hasKey reads a capability bitmap of sysfs: 64-bit words in hex, the lowest
// last.
func hasKey(bitmap string, key int) bool {
	words := strings.Fields(bitmap)
	i := len(words) - 1 - key/64
	if i < 0 {
		return false
	}
	w, err := strconv.ParseUint(words[i], 16, 64)
	return err == nil && w>>(key%64)&1 == 1
}
