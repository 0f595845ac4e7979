package callbridge

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"sync"
	"time"

	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

const (
	// pingEvery is how often the server is pinged, silence how long one that
	// does not acknowledge (see life) may give no sign of life.
	pingEvery = 10 * time.Second
	silence   = 20 * time.Second
	// writeTime is how long the server may take nothing.
	writeTime = 10 * time.Second
	// partTime is for the last words.
	partTime = time.Second
)

// wire is a component's stream. One goroutine reads; any may write.
type wire struct {
	target  target
	addr    netip.AddrPort
	conn    *tls.Conn
	scanner *stream.Scanner
	// id is what the server calls the stream.
	id string
	// log takes the stanzas of a trace; nil: nothing does.
	log *slog.Logger

	// attendant takes part in the stream while it lives.
	attendant *attendant

	life life

	mu   sync.Mutex
	acks acks
}

func newWire(conn *tls.Conn, t target, addr netip.AddrPort) *wire {
	w := &wire{target: t, addr: addr, conn: conn}
	w.scanner = stream.NewScanner(listener{conn, &w.life}, stanza.NSComponent, limits)
	return w
}

// listener reads with a limit on silence: any byte of the server is a sign of
// life.
type listener struct {
	conn *tls.Conn
	life *life
}

// Read implements io.Reader.
func (l listener) Read(p []byte) (int, error) {
	l.conn.SetReadDeadline(time.Now().Add(silence))
	l.life.reading.Store(true)
	n, err := l.conn.Read(p)
	l.life.reading.Store(false)
	if n > 0 {
		l.life.heard.Add(1)
	}
	return n, err
}

// during does f, which fails when ctx ends.
func (w *wire) during(ctx context.Context, f func() error) error {
	parted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(parted)
		w.part()
	})
	err := f()
	if !stop() {
		<-parted
		return ctx.Err()
	}
	return err
}

// begin exchanges the stream headers. An error that the server has sent is a
// *stream.Error.
func (w *wire) begin(ctx context.Context, component string) error {
	return w.during(ctx, func() error {
		if err := w.send(stream.Header{Content: stanza.NSComponent, To: component}.Append(nil)); err != nil {
			return err
		}
		h, err := w.scanner.Header()
		w.id = h.ID
		return err
	})
}

// next reads a stanza. An error that the server has sent is a *stream.Error.
func (w *wire) next() (*stanza.Element, error) {
	e, err := w.scanner.Next()
	if err != nil {
		return nil, err
	}
	if fault := streamError(e); fault != nil {
		return nil, fault
	}
	if e.Name.Space != stanza.NSSM {
		w.trace("stanza in", e)
	}
	return e, nil
}

// write sends a stanza, and again to the next server where this one does not
// acknowledge it.
func (w *wire) write(e *stanza.Element) error {
	w.trace("stanza out", e)
	b := e.Append(nil, stanza.NSClient)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sendNow(w.acks.put(b, b[:len(b):len(b)]))
}

// writeOnce sends a stanza that is of no use to another server.
func (w *wire) writeOnce(e *stanza.Element) error {
	w.trace("stanza out", e)
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sendNow(w.acks.put(e.Append(nil, stanza.NSClient), nil))
}

// send sends what is no stanza.
func (w *wire) send(b []byte) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.sendNow(b)
}

// sendNow is send for callers that hold mu.
func (w *wire) sendNow(b []byte) error { return w.sendWithin(b, writeTime) }

// sendWithin is sendNow with a limit of its own. What fails by it ends the
// connection.
func (w *wire) sendWithin(b []byte, limit time.Duration) error {
	if len(b) == 0 {
		return nil
	}
	w.conn.SetWriteDeadline(time.Now().Add(limit))
	_, err := w.conn.Write(b)
	return err
}

// part ends the stream in order, as far as that goes, under whoever reads.
func (w *wire) part() {
	w.conn.SetWriteDeadline(time.Now().Add(partTime))
	w.conn.Write([]byte(stream.End))
	w.conn.NetConn().Close()
}

// close is part for the goroutine that reads.
func (w *wire) close() {
	w.part()
	w.scanner.Release()
}

// drop closes a connection that was lost. The stream is not ended: a server that
// lives keeps for the next connection what it has.
func (w *wire) drop() {
	w.conn.NetConn().Close()
	w.scanner.Release()
}

// live reads until the stream ends, and says why it did. When ctx ends the
// error is ctx's. It begins with what another server has not acknowledged.
func (w *wire) live(ctx context.Context, self, domain string, again [][]byte) error {
	return w.during(ctx, func() error {
		if err := w.enable(again); err != nil {
			return err
		}
		pinging, stop := context.WithCancel(ctx)
		defer w.attendant.checks.Wait()
		var done sync.WaitGroup
		done.Go(func() { w.ping(pinging, self, domain) })
		done.Go(func() { w.watch(pinging) })
		done.Go(func() { w.attendant.run(pinging) })
		defer done.Wait()
		defer stop()
		for {
			e, err := w.next()
			if err == nil {
				err = w.take(pinging, e)
			}
			if w.life.over.Load() {
				err = os.ErrDeadlineExceeded
			}
			if err != nil {
				return err
			}
		}
	})
}

// take does what an element asks for. A stanza is acknowledged when that is
// done, and nothing more has come by then.
func (w *wire) take(ctx context.Context, e *stanza.Element) error {
	if e.Name.Space == stanza.NSSM {
		w.mu.Lock()
		defer w.mu.Unlock()
		reply, err := w.acks.heed(e)
		if err != nil {
			return err
		}
		return w.sendNow(reply)
	}
	w.took()
	if !w.attendant.takes(ctx, e) {
		if reply := answer(e); reply != nil {
			if err := w.write(reply); err != nil {
				return err
			}
		}
	}
	if w.scanner.Buffered() > 0 {
		return nil
	}
	return w.acknowledge()
}

// ping asks the server for a sign of life, again and again (XEP-0199). A write
// that fails closes the connection under the reader.
func (w *wire) ping(ctx context.Context, self, domain string) {
	tick := time.NewTicker(pingEvery)
	defer tick.Stop()
	for n := 1; ; n++ {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		iq := stanza.New(stanza.NSClient, "iq", "type", "get", "from", self, "to", domain, "id", "ping-"+strconv.Itoa(n))
		if w.writeOnce(iq.Add(stanza.New(stanza.NSPing, "ping"))) != nil {
			w.conn.NetConn().Close()
			return
		}
	}
}

// answer is what a request to the component is answered with: it lives
// (XEP-0199), says what it is (XEP-0030), and does nothing else. Anything but a
// request has none.
func answer(e *stanza.Element) *stanza.Element {
	kind := e.Attr("type")
	if !e.Is(stanza.NSClient, "iq") || kind != "get" && kind != "set" {
		return nil
	}
	switch q := e.First(); {
	case kind == "get" && q.Is(stanza.NSPing, "ping"):
		return stanza.Result(e)
	case kind == "get" && q.Is(stanza.NSDiscoInfo, "query") && q.Attr("node") == "":
		info := stanza.New(stanza.NSDiscoInfo, "query").Add(
			stanza.New(stanza.NSDiscoInfo, "identity", "category", "component", "type", "generic", "name", "Call Bridge"))
		for _, f := range []string{stanza.NSDiscoInfo, stanza.NSPing} {
			info.Add(stanza.New(stanza.NSDiscoInfo, "feature", "var", f))
		}
		return stanza.Result(e).Add(info)
	}
	return stanza.ErrorReply(e, stanza.ServiceUnavailable, "")
}
