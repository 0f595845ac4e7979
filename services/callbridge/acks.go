package callbridge

import (
	"errors"
	"strconv"

	"parley/services/xmpp/stanza"
)

// acks are the acknowledgements of XEP-0198 on one connection; wire.mu guards
// them. XEP-0114 has no features, so they are just asked for; Parley's server
// takes that, and says nothing that a server's death undoes.
//
// What the server has not acknowledged is sent to the next one, and the server
// keeps for the next connection what the bridge has not: so a loss costs
// neither side a stanza, and some may come twice.
type acks struct {
	// on: the server counts and acknowledges; off: it will not.
	on, off bool
	// in are the stanzas that came since on, told those of them that were
	// acknowledged.
	in, told uint32
	// out are the stanzas that the server has acknowledged, unacked those
	// after them; what is not worth sending again is nil.
	out     uint32
	unacked [][]byte
	// asking: an <r/> has no answer yet.
	asking bool
}

// maxUnacked is how many stanzas are kept to be sent again; older ones are let
// go.
const maxUnacked = 1024

// errCount is a server that acknowledges what it was not sent.
var errCount = errors.New("the server has acknowledged more than it was sent")

// enable asks for acknowledgements, and sends again what another server has
// not acknowledged.
func (w *wire) enable(again [][]byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	b := stanza.New(stanza.NSSM, "enable").Append(nil, stanza.NSClient)
	for _, s := range again {
		b = w.acks.put(append(b, s...), s)
	}
	return w.sendNow(b)
}

// put notes a stanza that is being sent, and adds to b the question for it.
func (a *acks) put(b, stanza []byte) []byte {
	if a.off {
		return b
	}
	a.unacked = append(a.unacked, stanza)
	if n := len(a.unacked) - maxUnacked; n > 0 {
		a.unacked[n-1] = nil
	}
	return a.ask(b)
}

// ask adds the question to b, unless it is asked already.
func (a *acks) ask(b []byte) []byte {
	if a.asking {
		return b
	}
	a.asking = true
	return stanza.New(stanza.NSSM, "r").Append(b, stanza.NSClient)
}

// unsent is what the server has not acknowledged.
func (w *wire) unsent() (left [][]byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.acks.unacked {
		if s != nil {
			left = append(left, s)
		}
	}
	return left
}

// took counts a stanza that came.
func (w *wire) took() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.acks.on {
		w.acks.in++
	}
}

// acknowledge tells the server what has come, where that is news.
func (w *wire) acknowledge() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.acks.told == w.acks.in {
		return nil
	}
	return w.sendNow(w.acks.tell(nil))
}

func (a *acks) tell(b []byte) []byte {
	a.told = a.in
	return stanza.New(stanza.NSSM, "a", "h", strconv.FormatUint(uint64(a.in), 10)).Append(b, stanza.NSClient)
}

// heed takes an element of XEP-0198 from the server, and returns what is to be
// sent in answer.
func (a *acks) heed(e *stanza.Element) (reply []byte, err error) {
	switch e.Name.Local {
	case "enabled":
		a.on = true
	case "failed":
		a.off, a.unacked = true, nil
	case "r":
		if a.on {
			return a.tell(nil), nil
		}
	case "a":
		h, err := strconv.ParseUint(e.Attr("h"), 10, 32)
		n := uint32(h) - a.out
		if err != nil || uint64(n) > uint64(len(a.unacked)) {
			return nil, errCount
		}
		a.out, a.unacked, a.asking = uint32(h), a.unacked[n:], false
		// After one that brought nothing it would go on for ever; what is left
		// is asked for with the next sign of life.
		if n > 0 && len(a.unacked) > 0 {
			return a.ask(nil), nil
		}
	}
	return nil, nil
}
