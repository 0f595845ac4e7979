package lan

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// machine is what QEMU is to a port, with frames made by hand.
type machine struct {
	t    *testing.T
	conn net.Conn
	in   *bufio.Reader
	self byte
}

func newSwitch(t *testing.T) *Switch {
	s := New(1, slog.New(slog.DiscardHandler))
	t.Cleanup(s.Close)
	return s
}

func attach(t *testing.T, s *Switch, name string, self byte) *machine {
	t.Helper()
	socket, err := s.Listen(name)
	if err != nil {
		t.Fatal(err)
	}
	m := &machine{t: t, self: self}
	m.plug(socket)
	for { // until the switch has taken it
		s.mu.Lock()
		taken := s.ports[name].cable != nil
		s.mu.Unlock()
		if taken {
			return m
		}
		time.Sleep(time.Millisecond)
	}
}

func (m *machine) plug(socket string) {
	m.t.Helper()
	conn, err := net.Dial("unix", socket)
	if err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { conn.Close() })
	m.conn, m.in = conn, bufio.NewReader(conn)
}

const everybody = 0xff

func address(n byte) []byte {
	if n == everybody {
		return bytes.Repeat([]byte{0xff}, 6)
	}
	return []byte{0x52, 0x54, 0, 0, 0, n}
}

func (m *machine) send(to byte, text string) {
	m.t.Helper()
	frame := append(append(address(to), address(m.self)...), 0x88, 0xb5)
	if _, err := m.conn.Write(appendFrame(nil, append(frame, text...))); err != nil {
		m.t.Fatal(err)
	}
}

// expect reads the next frame; a text that was not to come shows as a wrong
// one, since what is expected is always sent after it.
func (m *machine) expect(text string) {
	m.t.Helper()
	m.conn.SetReadDeadline(time.Now().Add(10 * time.Second))
	frame, err := readFrame(m.in)
	if err != nil {
		m.t.Fatalf("wait for %q: %v", text, err)
	}
	if got := string(frame[14:]); got != text {
		m.t.Fatalf("a frame with %q; want %q", got, text)
	}
}

func TestLearning(t *testing.T) {
	s := newSwitch(t)
	a, b, c := attach(t, s, "a", 1), attach(t, s, "b", 2), attach(t, s, "c", 3)
	a.send(2, "flooded") // b is unknown
	b.expect("flooded")
	c.expect("flooded")
	b.send(1, "answer") // a is known
	a.expect("answer")
	a.send(2, "to b alone")
	b.expect("to b alone")
	a.send(everybody, "to all")
	b.expect("to all")
	c.expect("to all") // and none of the two before
}

func TestMachineComesBack(t *testing.T) {
	s := newSwitch(t)
	a, b := attach(t, s, "a", 1), attach(t, s, "b", 2)
	b.send(everybody, "here")
	a.expect("here")
	socket := b.conn.RemoteAddr().String()
	b.conn.Close()
	b.plug(socket)
	b.send(1, "again")
	a.expect("again")
	a.send(2, "welcome")
	b.expect("welcome")
}

func TestFaults(t *testing.T) {
	s := newSwitch(t)
	a, b, c := attach(t, s, "a", 1), attach(t, s, "b", 2), attach(t, s, "c", 3)
	// A frame from each in turn, waited for, so that what was cut before it
	// would have been seen.
	both := func(text string) {
		t.Helper()
		a.send(everybody, text)
		b.expect(text)
		c.expect(text)
		b.send(everybody, text)
		a.expect(text)
		c.expect(text)
	}
	both("whole")

	s.SetPath("a", "b", Path{Cut: true})
	a.send(2, "cut")
	a.send(everybody, "cut for b alone")
	c.expect("cut for b alone")
	b.send(1, "the way back")
	a.expect("the way back")
	s.Mend()
	both("mended")

	s.SetPaths("a", "b", Path{Loss: 1})
	a.send(2, "lost")
	b.send(1, "lost")
	a.send(3, "after")
	c.expect("after")
	b.send(3, "after")
	c.expect("after")
	s.Mend()
	both("found")

	s.Unplug("b")
	b.send(1, "into the void")
	a.send(2, "into the void")
	a.send(3, "after")
	c.expect("after")
	// b's frames are read in their order; one that is let through tells that
	// those before were looked at.
	s.SetPath("b", "a", Path{})
	time.Sleep(20 * time.Millisecond)
	s.Plug("b")
	both("plugged in")

	const delay = 50 * time.Millisecond
	s.SetPath("a", "b", Path{Delay: delay})
	began := time.Now()
	a.send(2, "first")
	a.send(2, "second")
	b.expect("first")
	if took := time.Since(began); took < delay {
		t.Errorf("a frame after %v; want %v at least", took, delay)
	}
	b.expect("second")
}

func TestCapture(t *testing.T) {
	s := newSwitch(t)
	a, b := attach(t, s, "a", 1), attach(t, s, "b", 2)
	path := filepath.Join(t.TempDir(), "frames.pcap")
	if err := s.Capture(path); err != nil {
		t.Fatal(err)
	}
	a.send(2, "captured")
	b.expect("captured")
	s.Close()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	const head, record, frame = 24, 16, 14
	if want := head + record + frame + len("captured"); len(data) != want || !bytes.HasSuffix(data, []byte("captured")) {
		t.Errorf("%d bytes captured; want %d\n%q", len(data), want, data)
	}
}

func FuzzReadFrame(f *testing.F) {
	f.Add([]byte{0, 0, 0, 0})
	f.Add([]byte{0, 0, 0, 2, 'a', 'b', 0, 0, 0, 1, 'c'})
	f.Add([]byte{0xff, 0xff, 0xff, 0xff})
	f.Add([]byte{0, 0, 0, 2, 'a'})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := bytes.NewReader(data)
		for {
			rest := data[len(data)-r.Len():]
			frame, err := readFrame(r)
			if err != nil {
				return
			}
			if want := appendFrame(nil, frame); !bytes.HasPrefix(rest, want) {
				t.Fatalf("readFrame(%x) = %x", rest, frame)
			}
		}
	})
}

// newHost is a host, or the end of the test where there can be none.
func newHost(t *testing.T, s *Switch, name, address string) *Host {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("makes network namespaces; needs root")
	}
	h, err := s.Host(name, netip.MustParsePrefix(address))
	if errors.Is(err, ErrNoTUN) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func TestHosts(t *testing.T) {
	s := newSwitch(t)
	a := newHost(t, s, "a", "10.106.81.1/24")
	b := newHost(t, s, "b", "10.106.81.2/24")
	var l net.Listener
	if err := b.Do(func() (err error) {
		l, err = net.Listen("tcp", "10.106.81.2:7")
		return err
	}); err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer conn.Close()
				io.Copy(conn, conn)
			}()
		}
	}()
	if card, err := net.InterfaceByName("lan0"); err == nil {
		t.Errorf("%s is on this machine's own network", card.Name)
	}
	conn, err := a.Dial(t.Context(), "tcp", "10.106.81.2:7")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	sent := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	go conn.Write(sent)
	got := make([]byte, len(sent))
	if _, err := io.ReadFull(conn, got); err != nil || !bytes.Equal(got, sent) {
		t.Errorf("echo: %v, equal: %t", err, bytes.Equal(got, sent))
	}

	s.SetPath("b", "a", Path{Cut: true})
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if conn, err := a.Dial(ctx, "tcp", "10.106.81.2:7"); err == nil {
		conn.Close()
		t.Error("connected although the way back is cut")
	}
	s.Mend()
	again, err := a.Dial(t.Context(), "tcp", "10.106.81.2:7")
	if err != nil {
		t.Fatal(err)
	}
	again.Close()
}
