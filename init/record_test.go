package pid1

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestBootRecord(t *testing.T) {
	m := newMachine(t)
	disk(m, "0")
	record := func() []Record {
		data, err := os.ReadFile(filepath.Join(m.root, "state", bootRecord))
		if err != nil {
			t.Fatal(err)
		}
		var all []Record
		for line := range bytes.Lines(data) {
			var r Record
			if err := json.Unmarshal(line, &r); err != nil {
				t.Fatalf("boot record: %v", err)
			}
			all = append(all, r)
		}
		return all
	}
	first := boot(t, m).up(t)
	eventually(t, "the boot is recorded", func() bool {
		_, err := os.Stat(filepath.Join(m.root, "state", bootRecord))
		return err == nil
	})
	first.ask(power{why: "test"})
	if err := first.wait(t); err != nil {
		t.Fatal(err)
	}
	second := boot(t, m).up(t)
	eventually(t, "the second boot is recorded", func() bool { return len(record()) == 2 })
	if _, err := os.Stat(filepath.Join(m.root, "state", cleanMark)); err == nil {
		t.Error("the mark of the clean stop is there while the machine runs; want it gone")
	}
	second.ask(power{why: "test"})
	if err := second.wait(t); err != nil {
		t.Fatal(err)
	}
	got := record()
	if got[0].Clean || !got[1].Clean || got[1].Previous != "reboot: test" || got[1].Fsck != "clean" || len(got[1].Phases) != 4 {
		t.Errorf("records = %+v; want the second to know of a clean stop", got)
	}
}

func TestRecordIsBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), bootRecord)
	old := strings.Repeat("{\"version\":\"old\"}\n", maxRecords)
	if err := os.WriteFile(path, []byte(old+"{\"torn"), 0o640); err != nil {
		t.Fatal(err)
	}
	if err := appendRecord(path, Record{Version: "new"}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(string(data), "\n"), "\n")
	var last Record
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Version != "new" || len(lines) > maxRecords {
		t.Errorf("%d lines, the last %q (%v); want at most %d and the new one last", len(lines), lines[len(lines)-1], err, maxRecords)
	}
}
