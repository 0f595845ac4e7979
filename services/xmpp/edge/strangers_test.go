package edge

import (
	"net"
	"testing"
	"time"
)

func TestStrangersAreBounded(t *testing.T) {
	limits := DefaultLimits()
	limits.StrangersPerAddress = 2
	s := start(t, limits)
	a := login(t, s.clients, "a")
	for begin := time.Now(); s.strangersNow() > 0; time.Sleep(time.Millisecond) {
		if time.Since(begin) > 30*time.Second {
			t.Fatal("a session is still a stranger")
		}
	}
	first, _ := secure(t, s.clients)
	secure(t, s.clients)
	refused, err := s.clients.dial()
	if err != nil {
		t.Fatal(err)
	}
	defer refused.Close()
	refused.SetReadDeadline(time.Now().Add(30 * time.Second))
	if n, err := refused.Read(make([]byte, 1)); n != 0 || isTimeout(err) {
		t.Errorf("a third stranger was let in: %d, %v", n, err)
	}
	// Who leaves makes room.
	a.send(message("1"))
	first.send("</stream:stream>")
	first.expectEnd()
	first.conn.Close()
	deadline := time.Now().Add(30 * time.Second)
	for {
		c, err := s.clients.dial()
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(deadline)
		c.Write([]byte(open(testDomain)))
		_, err = c.Read(make([]byte, 1))
		c.Close()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal("no room for a stranger after one has left")
		}
	}
}

func TestAddressOf(t *testing.T) {
	for in, want := range map[string]string{
		"192.0.2.7:1": "192.0.2.7", "[::ffff:192.0.2.7]:1": "192.0.2.7", "[2001:db8:1:2:3:4:5:6]:1": "2001:db8:1:2::", "[fe80::1%lo]:1": "fe80::",
	} {
		if got := addressOf(addrConn{addr: in}).String(); got != want {
			t.Errorf("addressOf(%s) = %s; want %s", in, got, want)
		}
	}
}

type addrConn struct {
	net.Conn
	addr string
}

func (a addrConn) RemoteAddr() net.Addr { return a }

func (a addrConn) Network() string { return "tcp" }

func (a addrConn) String() string { return a.addr }
