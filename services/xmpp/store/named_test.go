package store

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/problem"
)

func TestRecords(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, Config{Dir: dir, NoSync: true})
	put := func(table string, rs ...Record) *RecordPut { return &RecordPut{Table: table, Records: rs} }
	apply(t, s, put("a", Record{"2", []byte("two")}, Record{"1", []byte("once")}))
	apply(t, s, put("a", Record{"1", []byte("one")}))
	apply(t, s, put("a", Record{"1", []byte("one")}, Record{"3", nil}))
	apply(t, s, put("ab", Record{"1", []byte("other table")}))
	apply(t, s, &RecordDelete{Table: "a", Keys: []string{"3", "9", ""}})
	apply(t, s, &RecordDelete{Table: "", Keys: []string{"1"}})
	swap := func(old, value string) *RecordSwap {
		return &RecordSwap{Table: "swapped", Key: "k", Old: []byte(old), Value: []byte(value)}
	}
	for _, o := range []*RecordSwap{swap("1", "2"), {Table: "a", Key: "1", Value: []byte("2")}} {
		if err := refused(t, s, o); problem.CodeOf(err) != problem.RecordChanged {
			t.Errorf("swap of %q for %q = %v; want %q", o.Old, o.Value, err, problem.RecordChanged)
		}
	}
	// Each is done twice, as what is not known to have been done is.
	for _, o := range []*RecordSwap{swap("", "1"), swap("", "1"), swap("1", "2"), swap("1", "2")} {
		apply(t, s, o)
	}
	if err := refused(t, s, swap("1", "3")); problem.CodeOf(err) != problem.RecordChanged {
		t.Errorf("swap of what was = %v; want %q", err, problem.RecordChanged)
	}
	for name, o := range map[string]*RecordSwap{
		"no key": {Table: "a", Value: []byte("1")}, "long value": {Table: "a", Key: "4", Value: make([]byte, maxRecordValue+1)},
	} {
		if err := refused(t, s, o); problem.CodeOf(err) != problem.RecordSize {
			t.Errorf("swap with %s = %v; want %q", name, err, problem.RecordSize)
		}
	}
	for name, o := range map[string]*RecordPut{
		"no table": put("", Record{"1", nil}), "no key": put("a", Record{"", nil}), "zero in the table": put("a\x00b", Record{"1", nil}),
		"zero in the key": put("a", Record{"1\x00", nil}), "long table": put(strings.Repeat("t", maxTable+1), Record{"1", nil}),
		"long key": put("a", Record{strings.Repeat("k", maxRecordKey+1), nil}), "long value": put("a", Record{"4", make([]byte, maxRecordValue+1)}),
		"one of two": put("a", Record{"4", nil}, Record{"", nil}),
	} {
		if err := refused(t, s, o); problem.CodeOf(err) != problem.RecordSize {
			t.Errorf("put with %s = %v; want %q", name, err, problem.RecordSize)
		}
	}
	check := func(s *Store) {
		t.Helper()
		for table, want := range map[string][]Record{
			"a": {{"1", []byte("one")}, {"2", []byte("two")}}, "ab": {{"1", []byte("other table")}}, "swapped": {{"k", []byte("2")}}, "absent": nil, "": nil,
		} {
			got, err := s.Records(table)
			if d := cmp.Diff(want, got); d != "" || err != nil {
				t.Errorf("Records(%q): %v\n%s", table, err, d)
			}
		}
	}
	check(s)
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: dir, NoSync: true})
	check(s)
}
