package mmp

import "unicode/utf8"

// key is a key of a terminal: a rune that was typed, or one of the constants.
type key rune

// Keys that are no characters. They are above Unicode.
const (
	keyNone key = 0x110000 + iota
	keyEnter
	keyTab
	keyInterrupt
	keyEOF
	keyUp
	keyDown
	keyLeft
	keyRight
	keyHome
	keyEnd
	keyBackspace
	keyDelete
	keyWordLeft
	keyWordRight
	keyKillToEnd
	keyKillToStart
	keyKillWord
	keyKillWordRight
	keyClear
)

// control has the keys that control characters stand for.
var control = map[byte]key{
	1: keyHome, 2: keyLeft, ctrlC: keyInterrupt, 4: keyEOF, 5: keyEnd, 6: keyRight, 8: keyBackspace,
	'\t': keyTab, 11: keyKillToEnd, 12: keyClear, 14: keyDown, 16: keyUp, 21: keyKillToStart, 23: keyKillWord,
	127: keyBackspace,
}

// keyDecoder turns bytes into keys (ECMA-48 §5.4: a control sequence is ESC [,
// parameters, a final byte; SS3 sequences of keypads are ESC O and a letter).
// What it does not know it swallows whole, so that no key leaves rubbish in a
// line. The zero value is ready.
type keyDecoder struct {
	state   func(*keyDecoder, byte) key
	partial []byte
	wasCR   bool
}

// feed takes the next byte and returns the key that it completes, or keyNone.
func (d *keyDecoder) feed(b byte) key {
	if d.state != nil {
		return d.state(d, b)
	}
	wasCR := d.wasCR
	d.wasCR = b == '\r'
	switch {
	case b == '\n' && wasCR:
		return keyNone
	case b == '\r' || b == '\n':
		return keyEnter
	case b == 0x1b:
		d.state = (*keyDecoder).escape
		return keyNone
	case b < 0x20 || b == 0x7f:
		if k, ok := control[b]; ok {
			return k
		}
		return keyNone
	case b < utf8.RuneSelf:
		return key(b)
	}
	d.partial = append(d.partial[:0], b)
	d.state = (*keyDecoder).rune
	return d.full()
}

func (d *keyDecoder) rune(b byte) key {
	if b&0xC0 != 0x80 {
		d.state = nil
		return d.feed(b)
	}
	d.partial = append(d.partial, b)
	return d.full()
}

func (d *keyDecoder) full() key {
	if !utf8.FullRune(d.partial) {
		return keyNone
	}
	d.state = nil
	if r, _ := utf8.DecodeRune(d.partial); r != utf8.RuneError && r >= 0xA0 {
		return key(r)
	}
	return keyNone
}

func (d *keyDecoder) escape(b byte) key {
	d.state = nil
	switch b {
	case '[':
		d.partial = d.partial[:0]
		d.state = (*keyDecoder).sequence
	case 'O':
		d.state = (*keyDecoder).keypad
	case 0x1b:
		d.state = (*keyDecoder).escape
	case 'b':
		return keyWordLeft
	case 'f':
		return keyWordRight
	case 'd':
		return keyKillWordRight
	case 8, 127:
		return keyKillWord
	case '\r', '\n', ctrlC:
		return d.feed(b)
	}
	return keyNone
}

func (d *keyDecoder) keypad(b byte) key {
	d.state = nil
	if b == 'M' {
		return keyEnter
	}
	return final(b)
}

func (d *keyDecoder) sequence(b byte) key {
	switch {
	case b >= 0x20 && b <= 0x3f:
		if len(d.partial) < 16 {
			d.partial = append(d.partial, b)
		}
		return keyNone
	case b < 0x40 || b > 0x7e:
		d.state = nil
		return d.feed(b)
	}
	d.state = nil
	if b == '[' && len(d.partial) == 0 { // the Linux console's F1 to F5: ESC [ [ A
		d.state = func(d *keyDecoder, byte2 byte) key { d.state = nil; return keyNone }
		return keyNone
	}
	if b == '~' {
		switch string(d.partial) {
		case "1", "7":
			return keyHome
		case "4", "8":
			return keyEnd
		case "3":
			return keyDelete
		}
		return keyNone
	}
	if p := string(d.partial); p == "1;5" || p == "1;3" || p == "5" {
		switch b {
		case 'C':
			return keyWordRight
		case 'D':
			return keyWordLeft
		}
	}
	return final(b)
}

func final(b byte) key {
	switch b {
	case 'A':
		return keyUp
	case 'B':
		return keyDown
	case 'C':
		return keyRight
	case 'D':
		return keyLeft
	case 'H':
		return keyHome
	case 'F':
		return keyEnd
	}
	return keyNone
}
