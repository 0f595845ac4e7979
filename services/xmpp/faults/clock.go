package faults

import (
	"bytes"
	"debug/elf"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Clock sets the wall clock of one process, and of no other: programs that
// are linked without libc, as Go's are, read it through the page of code that
// the kernel maps into them (vDSO), and the copy of that page in a process can
// be written. Its clock_gettime is replaced by the system call and an addition.
// CLOCK_MONOTONIC stays as it is, as it does when an operator sets the clock.
type Clock struct {
	PID int
	// offset is the address of what is added; 0 before the first set.
	offset int64
}

// clockCode is clock_gettime(edi, rsi): ask the kernel and, for CLOCK_REALTIME,
// add the seconds that stand behind the code.
var clockCode = []byte{
	0xb8, 0xe4, 0x00, 0x00, 0x00, // mov eax, 228
	0x0f, 0x05, // syscall
	0x85, 0xff, // test edi, edi
	0x75, 0x0a, // jne ret
	0x48, 0x8b, 0x0d, 0x06, 0x00, 0x00, 0x00, // mov rcx, [rip+6]
	0x48, 0x01, 0x0e, // add [rsi], rcx
	0xc3,       // ret
	0x90, 0x90, // nop, to eight bytes
}

// Set makes the process's clock differ by offset, in whole seconds.
func (c *Clock) Set(offset time.Duration) error {
	mem, err := os.OpenFile(fmt.Sprintf("/proc/%d/mem", c.PID), os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer mem.Close()
	if c.offset == 0 {
		if err := c.patch(mem); err != nil {
			return fmt.Errorf("patch the clock of process %d: %w", c.PID, err)
		}
	}
	_, err = mem.WriteAt(binary.LittleEndian.AppendUint64(nil, uint64(offset/time.Second)), c.offset)
	return err
}

func (c *Clock) patch(mem *os.File) error {
	start, end, err := c.page()
	if err != nil {
		return err
	}
	image := make([]byte, end-start)
	if _, err := mem.ReadAt(image, start); err != nil {
		return err
	}
	f, err := elf.NewFile(bytes.NewReader(image))
	if err != nil {
		return err
	}
	if f.Machine != elf.EM_X86_64 {
		return fmt.Errorf("no code for %v", f.Machine)
	}
	symbols, err := f.DynamicSymbols()
	if err != nil {
		return err
	}
	for _, s := range symbols {
		if s.Name != "__vdso_clock_gettime" {
			continue
		}
		if s.Size < uint64(len(clockCode)+8) {
			return fmt.Errorf("clock_gettime has %d bytes only", s.Size)
		}
		// Eight bytes that are written as one must not straddle cache lines.
		at := start + int64(s.Value)
		if (at+int64(len(clockCode)))%8 != 0 {
			return fmt.Errorf("clock_gettime is at %#x", s.Value)
		}
		if err := c.stopOutside(at, at+int64(s.Size)); err != nil {
			return err
		}
		defer syscall.Kill(c.PID, syscall.SIGCONT)
		if _, err := mem.WriteAt(append(bytes.Clone(clockCode), make([]byte, 8)...), at); err != nil {
			return err
		}
		c.offset = at + int64(len(clockCode))
		return nil
	}
	return errors.New("the vDSO has no clock_gettime")
}

// page is where the vDSO is.
func (c *Clock) page() (start, end int64, err error) {
	maps, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", c.PID))
	if err != nil {
		return 0, 0, err
	}
	for line := range strings.Lines(string(maps)) {
		if strings.HasSuffix(line, "[vdso]\n") {
			_, err := fmt.Sscanf(line, "%x-%x", &start, &end)
			return start, end, err
		}
	}
	return 0, 0, errors.New("it has no vDSO")
}

// stopOutside stops the process while no thread of it is in the code.
func (c *Clock) stopOutside(start, end int64) error {
	for range 100 {
		if err := syscall.Kill(c.PID, syscall.SIGSTOP); err != nil {
			return err
		}
		inside, err := c.anyInside(start, end)
		if err == nil && !inside {
			return nil
		}
		syscall.Kill(c.PID, syscall.SIGCONT)
		if err != nil {
			return err
		}
		time.Sleep(time.Millisecond)
	}
	return errors.New("it is always asking for the time")
}

func (c *Clock) anyInside(start, end int64) (bool, error) {
	threads, err := filepath.Glob(fmt.Sprintf("/proc/%d/task/*/syscall", c.PID))
	if err != nil {
		return false, err
	}
	for _, t := range threads {
		for {
			b, err := os.ReadFile(t)
			if errors.Is(err, os.ErrNotExist) || errors.Is(err, syscall.ESRCH) {
				break
			}
			if err != nil {
				return false, err
			}
			fields := strings.Fields(string(b))
			if len(fields) < 3 {
				// It still runs; the signal is on its way.
				time.Sleep(100 * time.Microsecond)
				continue
			}
			pc, err := strconv.ParseInt(fields[len(fields)-1], 0, 64)
			if err != nil {
				return false, fmt.Errorf("%s: %w", t, err)
			}
			if pc >= start && pc < end {
				return true, nil
			}
			break
		}
	}
	return false, nil
}
