package relay

import (
	"bytes"
	"errors"
	"io"
	"testing"
	"testing/iotest"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
)

func mustJID(s string) jid.JID {
	j, err := jid.Parse(s)
	if err != nil {
		panic(err)
	}
	return j
}

var compareJIDs = cmp.Comparer(func(a, b jid.JID) bool { return a == b })

// samples has each kind with all its fields.
func samples() []message {
	ref := link.Ref{ID: link.SessionID{1, 2, 3}, Epoch: 300}
	cause := link.Cause{ID: ref.ID, Seq: 6, Sum: 1<<32 - 1}
	session := &link.Session{
		Ref: ref, Kind: link.Client, JID: mustJID("ada@example.com/Balcony 1"), Enabled: true,
		Enable: link.Enable{In: 1, Out: 2, Keep: 5 * time.Minute}, Confirmed: 7, Last: 10,
		Queue: []link.Delivery{{N: 8}, {N: 9, Item: 4, Bytes: []byte("<message/>")}, {N: 10, Cause: cause, Bytes: []byte("<iq/>")}},
		Memo:  []byte{}, Detached: true,
	}
	component := &link.Session{Ref: ref, Kind: link.Component, JID: mustJID("bridge.example.com")}
	return []message{
		{kind: kHello, n: 1, m: 1 << 40, text: "id"}, {kind: kWelcome, n: 1, m: 1<<64 - 1}, {kind: kRetry, text: "no"},
		{kind: kAttach, session: session, n: 3, m: 1}, {kind: kAttach | mirrored, session: component}, {kind: kAttachEnd},
		{kind: kOpen, n: 5, ref: ref, what: link.Component, jid: mustJID("bridge.example.com"), text: "r"},
		{kind: kResume, n: 5, ref: ref, jid: mustJID("ada@example.com"), m: 1<<32 - 1}, {kind: kCancel, n: 5},
		{kind: kEnable, ref: ref, enable: session.Enable}, {kind: kSend, ref: ref, n: 8, bytes: []byte("<iq/>")},
		{kind: kDelivered, ref: ref, n: 9}, {kind: kDetach, ref: ref}, {kind: kClose, ref: ref},
		{kind: kOpened, n: 5, ref: ref, jid: session.JID}, {kind: kOpened, n: 5, ref: ref, fault: faultRefusal, text: "conflict"},
		{kind: kResumed, n: 5, session: session}, {kind: kResumed, n: 5, fault: faultLink, text: string(link.ErrCount)},
		{kind: kPassed, n: 100}, {kind: kDeliver, ref: ref, n: 10, item: 11, bytes: []byte("<message/>")},
		{kind: kDeliver | mirrored, ref: ref, n: 10, cause: cause, bytes: []byte("<presence/>")},
		{kind: kConfirm, ref: ref, n: 12}, {kind: kMemo | mirrored, ref: ref, bytes: []byte("memo")},
		{kind: kEnd, ref: ref, text: "conflict"}, {kind: kDrop, ref: ref}, {kind: kRevive, ref: ref}, {kind: kKeep, session: session},
		{kind: kMirrorBegin, n: 2}, {kind: kMirrorWhole}, {kind: kMirrorDrop}, {kind: kMirrorBeat, n: 1}, {kind: kMirrorAck, n: 2, m: 3},
	}
}

func TestFramesRoundTrip(t *testing.T) {
	var b []byte
	seen := map[kind]bool{}
	for _, m := range samples() {
		b = appendFrame(b, &m)
		seen[m.kind&^mirrored] = true
	}
	for k := range fields {
		if k > 0 && !seen[kind(k)] {
			t.Errorf("kind %d is not tested", k)
		}
	}
	for name, r := range map[string]io.Reader{"whole": bytes.NewReader(b), "byte by byte": iotest.OneByteReader(bytes.NewReader(b))} {
		t.Run(name, func(t *testing.T) {
			in := newReader(r)
			for _, want := range samples() {
				got, err := in.next()
				if err != nil {
					t.Fatal(err)
				}
				if diff := cmp.Diff(want, got, cmp.AllowUnexported(message{}), compareJIDs); diff != "" {
					t.Errorf("kind %d (-want +got):\n%s", want.kind, diff)
				}
			}
			if _, err := in.next(); err != io.EOF {
				t.Errorf("at the end = %v; want EOF", err)
			}
		})
	}
}

func TestFramesThatAreRefused(t *testing.T) {
	good := appendFrame(nil, &message{kind: kDelivered, ref: link.Ref{Epoch: 1}, n: 1})
	for _, tt := range []struct {
		name string
		b    []byte
		want error
	}{
		{"no kind", []byte{0, 0, 0, 0}, errFrame},
		{"unknown kind", []byte{0, 0, 0, 1, 63}, errFrame},
		{"too long", []byte{255, 255, 255, 255, 1}, errFrame},
		{"cut", good[:len(good)-1], io.ErrUnexpectedEOF},
		{"short", append([]byte{0, 0, 0, 5}, good[4:9]...), errFrame},
		{"bytes behind it", append(append([]byte{0, 0, 0, byte(len(good) - 3)}, good[4:]...), 0), errFrame},
		{"queue longer than the frame", []byte{0, 0, 0, 31, byte(kAttach), flagSession, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 0, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 15}, errFrame},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if m, err := newReader(bytes.NewReader(tt.b)).next(); !errors.Is(err, tt.want) {
				t.Errorf("next() = %+v, %v; want %v", m, err, tt.want)
			}
		})
	}
}

func FuzzFrame(f *testing.F) {
	for _, m := range samples() {
		f.Add(appendFrame(nil, &m)[frameHead:])
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		m, err := decodeFrame(b)
		if err != nil || !prepared(m.jid) || m.session != nil && !prepared(m.session.JID) {
			return
		}
		again, err := decodeFrame(appendFrame(nil, &m)[frameHead:])
		if err != nil {
			t.Fatalf("encoded again: %v", err)
		}
		if diff := cmp.Diff(m, again, cmp.AllowUnexported(message{}), compareJIDs); diff != "" {
			t.Errorf("encoded again (-first +second):\n%s", diff)
		}
	})
}

// prepared says that an address is one that a node may send: made from any
// bytes, it need not be taken for the same again.
func prepared(j jid.JID) bool {
	again, err := jid.Parse(j.String())
	return j.IsZero() || err == nil && again == j
}

func FuzzReader(f *testing.F) {
	var all []byte
	for _, m := range samples() {
		all = appendFrame(all, &m)
	}
	f.Add(all)
	f.Fuzz(func(t *testing.T, b []byte) {
		in := newReader(bytes.NewReader(b))
		for {
			if _, err := in.next(); err != nil {
				return
			}
			in.more()
		}
	})
}
