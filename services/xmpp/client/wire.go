package client

import (
	"crypto/tls"
	"net"
	"sync"
	"time"

	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// wire is one connection. Run's goroutine reads; any goroutine appends, and
// whoever then finds nobody writing writes what all have appended.
type wire struct {
	addr    string
	raw     net.Conn
	conn    *tls.Conn
	scanner *stream.Scanner
	// deadline is that of reading, as it was last set.
	deadline time.Time

	mu  sync.Mutex
	out []byte
	// spare is the buffer that is not out.
	spare   []byte
	writing bool
	broken  bool
	// parting closes the connection where the server does not.
	parting *time.Timer
	// writers are the goroutines that kick has started.
	writers sync.WaitGroup
}

// limits of what a server may send.
var limits = &stream.Limits{Stanza: 1 << 20, Depth: 64, Attrs: 64, Name: 256}

// writeTimeout is how long a server may take nothing.
const writeTimeout = 30 * time.Second

func newWire(addr string, raw net.Conn) *wire { return &wire{addr: addr, raw: raw} }

// begin reads streams on conn, from its first byte on.
func (w *wire) begin(conn net.Conn) {
	w.scanner = stream.NewScanner(conn, stanza.NSClient, limits)
}

// append queues bytes.
func (w *wire) append(f func([]byte) []byte) {
	w.mu.Lock()
	w.out = f(w.out)
	w.mu.Unlock()
}

// flush writes what is queued, unless somebody is at it already.
func (w *wire) flush() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flushLocked()
}

func (w *wire) flushLocked() {
	if w.writing {
		return
	}
	w.writing = true
	for len(w.out) > 0 && !w.broken {
		b := w.out
		w.out = w.spare[:0]
		w.mu.Unlock()
		w.conn.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := w.conn.Write(b)
		w.mu.Lock()
		w.spare = b
		if err != nil {
			// The reader sees it and knows better why.
			w.broken = true
			w.raw.Close()
		}
	}
	w.writing = false
}

// kick is flush for the goroutine that reads, which must not wait for the
// server to read.
func (w *wire) kick() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.writing || len(w.out) == 0 {
		return
	}
	w.writing = true
	w.writers.Go(func() {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.writing = false
		w.flushLocked()
	})
}

// close ends the connection and waits for its goroutines.
func (w *wire) close() {
	w.raw.Close()
	w.writers.Wait()
	if w.parting != nil {
		w.parting.Stop()
	}
	if w.scanner != nil {
		w.scanner.Release()
	}
}

// expect gives the server until now plus d for its next bytes. Setting a
// deadline for each stanza would cost more than reading it.
func (w *wire) expect(d time.Duration) {
	now := time.Now()
	if w.deadline.Sub(now) < d-d/8 {
		w.deadline = now.Add(d)
		w.conn.SetReadDeadline(w.deadline)
	}
}
