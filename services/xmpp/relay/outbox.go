package relay

import (
	"errors"
	"net"
	"sync"
	"time"
)

// outbox is what waits to be written to a connection. Whoever adds never
// waits; one goroutine writes all that has come together at once.
type outbox struct {
	// limit of bytes that may wait, 0 none.
	limit int

	mu sync.Mutex
	// buf waits; spare is the last one written, to be used again.
	buf, spare []byte
	// shut: nothing is taken any more; over, as too much waited.
	shut, over bool

	wake chan struct{}
	// cut is closed with shut.
	cut chan struct{}
}

var errFull = errors.New("too much waits to be written")

// part is the most that is written in one time limit, keepBuf the most memory
// that an idle connection keeps.
const (
	part    = 256 << 10
	keepBuf = 256 << 10
)

func newOutbox(limit int) *outbox {
	return &outbox{limit: limit, wake: make(chan struct{}, 1), cut: make(chan struct{})}
}

// add encodes m. Where too much waits the outbox shuts, which ends its
// connection.
func (o *outbox) add(m *message) { o.put(m, false) }

// addAnyway is add for what may be larger than the limit at once, and is only
// told one time.
func (o *outbox) addAnyway(m *message) { o.put(m, true) }

func (o *outbox) put(m *message, anyway bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.shut {
		return
	}
	if !anyway && o.limit > 0 && len(o.buf) > o.limit {
		o.over = true
		o.close()
		return
	}
	first := len(o.buf) == 0
	o.buf = appendFrame(o.buf, m)
	if first {
		select {
		case o.wake <- struct{}{}:
		default:
		}
	}
}

// close has the caller hold mu.
func (o *outbox) close() {
	if !o.shut {
		o.shut = true
		o.buf, o.spare = nil, nil
		close(o.cut)
	}
}

// stop makes write return.
func (o *outbox) stop() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.close()
}

// write writes until the outbox is shut or the connection takes nothing for
// the time of stall. What cuts the outbox has to close the connection, too, as
// a write may be waiting.
func (o *outbox) write(conn net.Conn, stall time.Duration) error {
	for {
		select {
		case <-o.wake:
		case <-o.cut:
			o.mu.Lock()
			defer o.mu.Unlock()
			if o.over {
				return errFull
			}
			return net.ErrClosed
		}
		for {
			o.mu.Lock()
			if len(o.buf) == 0 {
				o.mu.Unlock()
				break
			}
			b := o.buf
			o.buf, o.spare = o.spare[:0], nil
			o.mu.Unlock()
			for rest := b; len(rest) > 0; {
				n := min(len(rest), part)
				conn.SetWriteDeadline(time.Now().Add(stall))
				if _, err := conn.Write(rest[:n]); err != nil {
					return err
				}
				rest = rest[n:]
			}
			if cap(b) <= keepBuf {
				o.mu.Lock()
				if !o.shut {
					o.spare = b[:0]
				}
				o.mu.Unlock()
			}
		}
	}
}
