package store

import (
	"bytes"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/link"
)

var allOps = []Op{
	&AccountAdd{Name: "ada", Verifiers: []byte{1, 2}},
	&AccountDel{Name: "ada", Domain: "x"},
	&AccountSet{Name: "ada", Verifiers: []byte{3}},
	&AccountImport{Accounts: []AccountAdd{{Name: "a", Verifiers: []byte{1}}, {Name: "b", Verifiers: []byte{2}}}},
	&BridgeAdd{Name: "cb1", Secret: "s"},
	&BridgeDel{Name: "cb1"},
	&RosterSet{Account: "ada", Contact: "bob@x", Name: "Bob", Groups: []string{"A", "B"}},
	&RosterRemove{Account: "ada", Domain: "x", Contact: "bob@x"},
	&Subscription{Domain: "x", From: "a@x", To: "b@x", Type: "subscribe", Stanza: []byte("<presence/>")},
	&MessagePut{Account: "ada", Resource: "r", Stamp: time.UnixMilli(12345).UTC(), Stanza: []byte("<message/>")},
	&Delivered{Account: "ada", Items: []link.Item{1, 1 << 40}},
	&MessagePut{Session: link.SessionID{1, 2}, Seq: 300, Account: "ada", Stamp: time.UnixMilli(1).UTC(), Stanza: []byte("<message/>")},
	&SessionEnd{IDs: []link.SessionID{{1}, {2}}},
	&ClusterSet{Cluster{ID: "c", Domain: "x", SaltKey: []byte{1}}},
	&RecordPut{Table: "bridges", Records: []Record{{"cb1", []byte("{}")}, {"cb2", []byte("[]")}}},
	&RecordDelete{Table: "bridges", Keys: []string{"cb1", "cb2"}},
	&RecordSwap{Table: "directory", Key: "settings", Old: []byte("{}"), Value: []byte("[]")},
	&AccountsListed{Bridge: "cb1", Source: "s", Listed: []string{"a", "b"}, Missed: []string{"c"}},
}

func TestEntryRoundTrip(t *testing.T) {
	got, err := decodeEntry(encodeEntry(allOps))
	if diff := cmp.Diff(allOps, got); diff != "" || err != nil {
		t.Errorf("decodeEntry(encodeEntry) = %v:\n%s", err, diff)
	}
	// An op without a value must be readable too: it is in the log for good.
	for c := opAccountAdd; newOp(c) != nil; c++ {
		if _, err := decodeEntry(encodeEntry([]Op{newOp(c)})); err != nil {
			t.Errorf("empty %T is not readable: %v", newOp(c), err)
		}
	}
}

func TestEntryRefused(t *testing.T) {
	whole := encodeEntry(allOps)
	for _, tt := range []struct {
		name string
		in   []byte
		want error
	}{
		{"nothing", nil, ErrEntry},
		{"later version", append([]byte{entryVersion + 1}, whole[1:]...), ErrEntryVersion},
		{"unknown change", []byte{entryVersion, 200}, ErrEntryVersion},
		{"cut short", whole[:len(whole)-1], ErrEntry},
		{"length beyond the end", []byte{entryVersion, byte(opAccountAdd), 0xff, 0xff, 0xff, 0xff, 0x0f}, ErrEntry},
		{"count beyond the end", []byte{entryVersion, byte(opAccountImport), 0xff, 0xff, 0xff, 0xff, 0x0f}, ErrEntry},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if _, err := decodeEntry(tt.in); !errors.Is(err, tt.want) {
				t.Errorf("decodeEntry(% x) = %v; want %v", tt.in, err, tt.want)
			}
		})
	}
}

func FuzzDecodeEntry(f *testing.F) {
	f.Add(encodeEntry(allOps))
	for _, op := range allOps {
		f.Add(encodeEntry([]Op{op}))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		ops, err := decodeEntry(b)
		if err != nil {
			return
		}
		once := encodeEntry(ops)
		again, err := decodeEntry(once)
		if err != nil || !bytes.Equal(encodeEntry(again), once) {
			t.Errorf("decodeEntry(% x) does not encode to what decodes to the same: %v", b, err)
		}
	})
}

func FuzzDecodeRecord(f *testing.F) {
	e := Entry{Contact: "c", Name: "n", Groups: []string{"g"}, To: true, Ask: true, Request: []byte("r")}
	f.Add(e.record())
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := decodeEntryRecord("c", b)
		if err != nil {
			return
		}
		again, err := decodeEntryRecord("c", e.record())
		if diff := cmp.Diff(e, again); diff != "" || err != nil {
			t.Errorf("decodeEntryRecord(% x) does not survive its own record: %v\n%s", b, err, diff)
		}
	})
}
