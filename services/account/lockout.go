package account

import (
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"time"
)

// How many failures lock a name, and for how long.
const (
	MaxFailures = 5
	LockTime    = 15 * time.Minute
)

// maxUnknown bounds the counters kept for names that do not exist.
const maxUnknown = 256

// failures counts towards a lock. A name has one for the network and one for
// the local terminals, so that whoever guesses over the network cannot keep
// the operator off the serial console.
type failures struct {
	Count int       `json:"count,omitempty"`
	Until time.Time `json:"until,omitzero"`
	Last  time.Time `json:"last,omitzero"`
}

// locked reports whether no password is accepted now. A lock that ends later
// than any lock can was made under a clock since corrected, and does not hold.
func (f *failures) locked(now time.Time) bool {
	return now.Before(f.Until) && f.Until.Sub(now) <= LockTime
}

// fail counts one failure.
func (f *failures) fail(now time.Time) {
	f.Last = now
	f.Count++
	if f.Count >= MaxFailures {
		f.Count, f.Until = 0, now.Add(LockTime)
	}
}

// remote reports whether source is a network address, with or without port,
// rather than a terminal's name.
func remote(source string) bool {
	if _, err := netip.ParseAddrPort(source); err == nil {
		return true
	}
	_, err := netip.ParseAddr(source)
	return err == nil
}

// counter returns the failures of name at the door that source stands for.
// Names that do not exist have counters too, or the lock would tell which do;
// they are kept by digest since people type passwords at name prompts.
func (d *document) counter(name, source string) *failures {
	far := remote(source)
	if r := d.Users[name]; r != nil {
		if far {
			return &r.Remote
		}
		return &r.Local
	}
	door := "local"
	if far {
		door = "remote"
	}
	sum := sha256.Sum256([]byte(door + "\x00" + string(d.Salt) + "\x00" + name))
	key := hex.EncodeToString(sum[:12])
	if f := d.Unknown[key]; f != nil {
		return f
	}
	if len(d.Unknown) >= maxUnknown {
		var oldest string
		for k, f := range d.Unknown {
			if oldest == "" || f.Last.Before(d.Unknown[oldest].Last) {
				oldest = k
			}
		}
		delete(d.Unknown, oldest)
	}
	f := &failures{}
	d.Unknown[key] = f
	return f
}
