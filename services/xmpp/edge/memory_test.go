package edge

import (
	"crypto/tls"
	"io"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

const idleSessions = 5000

// BenchmarkIdleSession measures what a session costs that has sent and got a
// stanza and is now silent: the server's side, the kernel's left out. The
// clients are in this process too, but keep nothing except their socket.
func BenchmarkIdleSession(b *testing.B) {
	for _, tt := range []struct {
		name   string
		secure bool
	}{{"TCP", false}, {"TLS", true}} {
		b.Run(tt.name, func(b *testing.B) {
			for b.Loop() {
				measureIdle(b, tt.secure)
			}
			b.ReportMetric(0, "ns/op")
		})
	}
}

func measureIdle(b *testing.B, secure bool) {
	n := min(idleSessions, (raiseFiles(b)-200)/2)
	s := start(b, Limits{})
	l := s.leader
	l.onSend = func(fs *fakeSession, _ uint64, e *stanza.Element) {
		l.deliver(fs, e, 0)
		l.mu.Lock()
		fs.sent = nil
		l.mu.Unlock()
	}
	sockets := make([]net.Conn, n)
	var failed atomic.Int32
	var wg sync.WaitGroup
	before := memory()
	next := atomic.Int32{}
	for range 16 {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < n; i = int(next.Add(1)) - 1 {
				var err error
				if sockets[i], err = idle(s, secure, i); err != nil {
					failed.Add(1)
				}
			}
		})
	}
	wg.Wait()
	if failed.Load() > 0 {
		b.Fatalf("%d of %d sessions failed", failed.Load(), n)
	}
	after := memory()
	per := func(x, y uint64) float64 { return (float64(y) - float64(x)) / float64(n) }
	b.ReportMetric(per(before.heap, after.heap), "heap-B/session")
	b.ReportMetric(per(before.stacks, after.stacks), "stack-B/session")
	b.ReportMetric(per(before.heap+before.stacks, after.heap+after.stacks), "B/session")
	b.ReportMetric(per(before.rss, after.rss), "rss-B/session")
	b.ReportMetric(float64(after.goroutines-before.goroutines)/float64(n), "goroutines/session")
	for _, c := range sockets {
		c.Close()
	}
	s.stop()
}

// idle makes one session and returns its socket, all else of the client
// forgotten.
func idle(s *server, secure bool, i int) (net.Conn, error) {
	resource := "r" + strconv.Itoa(i)
	if !secure {
		return idlePlain(s, resource)
	}
	raw, err := s.clients.dial()
	if err != nil {
		return nil, err
	}
	c := tls.Client(raw, &tls.Config{InsecureSkipVerify: true})
	bind := "<iq type='set' id='b'><bind xmlns='" + nsBind + "'><resource>" + resource + "</resource></bind></iq>"
	return raw, dialogue(c,
		open(testDomain), "</stream:features>", plain("ada", "pencil"), "success",
		open(testDomain), "</stream:features>", bind, "</iq>", message("echo"), "</message>")
}

// idlePlain is a session without TLS, which no client can get: the server's
// end is made here.
func idlePlain(s *server, resource string) (net.Conn, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	defer l.Close()
	client, err := net.Dial("tcp", l.Addr().String())
	if err != nil {
		return nil, err
	}
	c, err := l.Accept()
	if err != nil {
		return nil, err
	}
	p := &peer{edge: s.Edge, wire: &wire{Conn: c}, content: stanza.NSClient}
	p.conn = p.wire
	p.scanner = stream.NewScanner(p.wire, stanza.NSClient, sessionXML)
	opened := make(chan error, 1)
	go func() {
		if _, err := p.openClient(); err != nil {
			opened <- err
			return
		}
		ss, err := p.openSession(link.Open{JID: mustJID("ada@example.com"), Resource: resource}, "", func(jid.JID) []byte { return []byte("<bound/>") })
		opened <- err
		if err == nil {
			go ss.run()
		}
	}()
	if err := dialogue(client, open(testDomain), "<bound/>", message("echo"), "</message>"); err != nil {
		return nil, err
	}
	return client, <-opened
}

// dialogue sends and waits for what is to come, in turn.
func dialogue(c io.ReadWriter, steps ...string) error {
	buf := make([]byte, 4096)
	for i := 0; i < len(steps); i += 2 {
		if _, err := io.WriteString(c, steps[i]); err != nil {
			return err
		}
		for got := ""; !strings.Contains(got, steps[i+1]); {
			n, err := c.Read(buf)
			if err != nil {
				return err
			}
			got += string(buf[:n])
		}
	}
	return nil
}

type usage struct {
	heap, stacks, rss uint64
	goroutines        int
}

func memory() usage {
	// Stacks shrink by half at each collection, and pools empty at the second.
	for range 5 {
		runtime.GC()
		time.Sleep(20 * time.Millisecond)
	}
	debug.FreeOSMemory()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	u := usage{heap: m.HeapAlloc, stacks: m.StackInuse, goroutines: runtime.NumGoroutine()}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return u
	}
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kb, _ := strconv.ParseUint(strings.Fields(rest)[0], 10, 64)
			u.rss = kb << 10
		}
	}
	return u
}

// raiseFiles lets the process have as many files as it may, and returns that.
func raiseFiles(b *testing.B) int {
	var r syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		b.Fatal(err)
	}
	r.Cur = r.Max
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &r); err != nil {
		b.Fatal(err)
	}
	return int(min(r.Cur, 1<<20))
}
