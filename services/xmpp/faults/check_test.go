package faults

import (
	"cmp"
	"errors"
	"strings"
	"testing"

	"parley/services/xmpp/client"
	"parley/services/xmpp/stanza"
)

// TestCheck has the checker look at histories: a script of events, and what
// it has to find, by its first words.
func TestCheck(t *testing.T) {
	for _, tt := range []struct {
		name, script string
		want         []string
		again        [2]int
	}{
		{"nothing", "", nil, [2]int{}},
		{"all is well", "send send recv0 ack0 recv1 ack1", nil, [2]int{}},
		{"not acknowledged, not delivered", "send send ack0 recv0", nil, [2]int{}},
		{"lost", "send send ack0 ack1 recv1", []string{"lost: 0>1:0"}, [2]int{}},
		{"refused", "send refuse0 ack0", nil, [2]int{}},
		{"refused and delivered", "send refuse0 ack0 recv0", []string{"refused, and yet"}, [2]int{}},
		{"out of order", "send send ack0 ack1 recv1 recv0", []string{"out of order: 0>1:0"}, [2]int{}},
		{"twice", "send ack0 recv0 recv0", []string{"twice: 0>1:0"}, [2]int{}},
		{"twice, as the receiver bound anew", "send send ack0 ack1 recv0 recv1 bind recv0 recv1", nil, [2]int{2, 0}},
		{"thrice, in two sessions", "send ack0 recv0 bind recv0 recv0", []string{"twice: 0>1:0"}, [2]int{1, 0}},
		{"twice, as the receiver resumed", "send ack0 recv0 resume recv0", []string{"twice: 0>1:0"}, [2]int{}},
		{"twice, as the sender bound anew", "send recv0 repeat0 recv0 ack0", nil, [2]int{0, 1}},
		{"from nowhere", "send ack0 recv0 recv7", []string{"from nowhere: 0>1:7"}, [2]int{}},
		{"of another sender", "send ack0 forge0 recv0", []string{"from nowhere: 0>1:0, of u2"}, [2]int{}},
		{"a question", "ask came answer came1", []string{"from nowhere: question q0>1:1"}, [2]int{}},
		{"a question twice", "ask came came", []string{"question twice: q0>1:0"}, [2]int{}},
		{"a question twice, as the receiver bound anew", "ask came bind came answer", nil, [2]int{}},
		{"an answer twice", "ask came answer answer", []string{"answer twice: q0>1:0"}, [2]int{}},
		{"a question twice, as the sender bound anew", "ask came answer repeatq came answer", nil, [2]int{}},
		{"turned away", "deny", []string{"the right password"}, [2]int{}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := newHistory(nil)
			p := pair{0, 1}
			for word := range strings.FieldsSeq(tt.script) {
				what := strings.TrimRight(word, "0123456789")
				id := "0>1:" + word[len(what):]
				switch what {
				case "send":
					h.send(p)
				case "ack":
					h.acked(id)
				case "refuse":
					h.refused(id, "resource-constraint")
				case "repeat":
					h.repeated(id)
				case "recv":
					h.received(1, "u0", id)
				case "forge":
					h.received(1, "u2", id)
				case "bind":
					h.connection(1, "bound", "", nil)
				case "resume":
					h.connection(1, "resumed", "", nil)
				case "ask":
					h.ask(p)
				case "came":
					h.asked(1, (&question{pair: p}).stanza("q0>1:"+cmp.Or(word[len(what):], "0")))
				case "answer":
					h.asked(0, stanza.Result((&question{pair: p}).stanza("q0>1:0")))
				case "repeatq":
					h.repeated("q0>1:0")
				case "deny":
					h.connection(1, "lost", "", errors.Join(client.ErrPassword))
				}
			}
			got := h.Check()
			if len(got) != len(tt.want) {
				t.Fatalf("Check() = %q; want %q", got, tt.want)
			}
			for i := range got {
				if !strings.HasPrefix(got[i], tt.want[i]) {
					t.Errorf("Check() = %q; want %q", got, tt.want)
				}
			}
			if again := [2]int{h.counts.AgainReceiver, h.counts.AgainSender}; again != tt.again {
				t.Errorf("again = %v; want %v", again, tt.again)
			}
		})
	}
}

// FuzzParseID: what a server hands us is no reason to fall.
func FuzzParseID(f *testing.F) {
	for _, s := range []string{"", "1>2:3", "1>2", ">:", "-1>2:3", "1>2:99999999999999999999", "1>2:3 with another body"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		h := newHistory(nil)
		h.received(2, "u1", s)
		if len(h.nowhere) != 1 {
			t.Errorf("%q came from somewhere", s)
		}
	})
}
