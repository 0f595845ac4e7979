package pid1

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"parley/services/durable"
)

// Files of the boot record in the state folder.
const (
	bootRecord = "boot.jsonl"
	// cleanMark is there while the machine is down after an ordered stop.
	cleanMark = ".clean-shutdown"
)

// maxRecords bounds the boot record; the oldest go.
const maxRecords = 1000

// Record is one boot: a line of boot.jsonl.
type Record struct {
	Time    time.Time `json:"time"`
	Version string    `json:"version"`
	Kernel  string    `json:"kernel"`
	Storage string    `json:"storage"`
	// Fsck is how the file system was found: clean or mended.
	Fsck string `json:"fsck,omitempty"`
	// Clean says that the shutdown before was in order, Previous why it was
	// asked for.
	Clean    bool    `json:"clean"`
	Previous string  `json:"previous,omitempty"`
	Phases   []Phase `json:"phases"`
	// Seconds from the kernel's start to the first console.
	Seconds float64 `json:"seconds"`
}

// takeMark reads and removes the mark of an ordered stop; from then on the
// machine counts as running.
func takeMark(path string) (why string, clean bool, err error) {
	data, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", false, nil
	}
	if err != nil {
		return "", false, fmt.Errorf("read the mark of the last stop: %w", err)
	}
	return strings.TrimSpace(string(data)), true, durable.Remove(path)
}

// appendRecord adds a line and drops the oldest past the bound.
func appendRecord(path string, r Record) error {
	line, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encode boot record: %w", err)
	}
	old, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("read boot record: %w", err)
	}
	// What follows the last line's end is nothing, or half a line.
	lines := bytes.SplitAfter(old, []byte{'\n'})
	lines = lines[:len(lines)-1]
	if extra := len(lines) + 1 - maxRecords; extra > 0 {
		lines = lines[extra:]
	}
	data := append(bytes.Join(lines, nil), append(line, '\n')...)
	return durable.WriteFile(path, data, 0o640)
}
