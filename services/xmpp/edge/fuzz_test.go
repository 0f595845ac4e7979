package edge

import (
	"bytes"
	"crypto/tls"
	"io"
	"log/slog"
	"net"
	"testing"
	"time"

	"github.com/xdg-go/scram"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/sasl"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// memConn gives bytes that are there already, and keeps what is written.
type memConn struct {
	in  *bytes.Reader
	out bytes.Buffer
}

func (c *memConn) Read(p []byte) (int, error)       { return c.in.Read(p) }
func (c *memConn) Write(p []byte) (int, error)      { return c.out.Write(p) }
func (c *memConn) Close() error                     { return nil }
func (c *memConn) LocalAddr() net.Addr              { return &net.UnixAddr{} }
func (c *memConn) RemoteAddr() net.Addr             { return &net.UnixAddr{} }
func (c *memConn) SetDeadline(time.Time) error      { return nil }
func (c *memConn) SetReadDeadline(time.Time) error  { return nil }
func (c *memConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzConnection feeds any bytes to each stage of a connection, TLS left out:
// no panic, nobody gets a session without the password, and what is written is
// a stream.
func FuzzConnection(f *testing.F) {
	bind := "<iq type='set' id='b'><bind xmlns='" + nsBind + "'/></iq>"
	f.Add(byte(0), []byte(open(testDomain)+"<starttls xmlns='"+nsTLS+"'/>"))
	f.Add(byte(0), []byte("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x03"))
	f.Add(byte(1), []byte(open(testDomain)+plain("ada", "pencil")+open(testDomain)+bind+message("1")+"</stream:stream>"))
	f.Add(byte(1), []byte(open(testDomain)+"<auth xmlns='"+nsSASL+"' mechanism='SCRAM-SHA-1'>biwsbj1hZGEscj14</auth><response xmlns='"+nsSASL+"'>Yz1iaXdzLHI9eCxwPUFBQUE=</response>"))
	f.Add(byte(2), []byte(open(testDomain)+bind+smEnable+message("1")+smAsk+smAck(0)+"<presence/></stream:stream>"))
	f.Add(byte(3), []byte(openComponent("bridge.example.com")+"<handshake>00</handshake>"))
	for _, resume := range []string{smResume(fuzzID.String(), 1), smResume(fuzzID.String(), 0), smResume(fuzzID.String(), 9), smResume("0", 1), "<resume xmlns='urn:xmpp:sm:3'/>" + bind} {
		f.Add(byte(2), []byte(open(testDomain)+resume+message("3")+smAsk+smAck(2)+smAck(1)+"</stream:stream>"))
	}
	f.Add(byte(4), []byte(smKeep+smKeep+message("1")+smResume(fuzzID.String(), 1)))
	f.Add(byte(4), []byte(smEnable+smAsk+message("1")+smAck(1)+"<a/>"))
	cert := testAuthority().cert
	ch := sasl.Channel{Secure: true, Bindings: []scram.ChannelBinding{{Type: scram.ChannelBindingTLSExporter, Data: []byte("x")}}}
	f.Fuzz(func(t *testing.T, stage byte, data []byte) {
		leader := newLeader()
		kept := leader.keep("ada@example.com/kept")
		limits := DefaultLimits()
		limits.Close = time.Millisecond
		e := New(Config{Domain: testDomain, Limits: limits}, Deps{
			Leader: leader, Credentials: accounts{"ada": testVerifiers()}, Secrets: secrets{"bridge": "s3cret"},
			Certificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return &cert, nil },
			Log:         slog.New(slog.DiscardHandler),
		})
		c := &memConn{in: bytes.NewReader(data)}
		p := &peer{edge: e, wire: &wire{Conn: c}, content: stanza.NSClient}
		p.conn = p.wire
		p.scanner = stream.NewScanner(p.wire, stanza.NSClient, strangerXML)
		var s *session
		var err error
		switch stage % 5 {
		case 0:
			p.scanner = nil
			s, err = p.negotiateClient()
		case 1:
			var local string
			if local, err = p.authenticate(ch); err == nil {
				if !bytes.Contains(data, []byte("PLAIN")) || local != "ada" {
					t.Fatalf("%q authenticates %q", data, local)
				}
				p.scanner.Restart()
				s, err = p.bind(local)
			}
		case 2:
			s, err = p.bind("ada")
		case 3:
			p.scanner = nil
			s, err = p.negotiateComponent()
		case 4:
			s, err = p.openSession(link.Open{JID: mustJID("ada@example.com"), Resource: "x"}, "en", func(jid.JID) []byte {
				return stream.Header{Content: stanza.NSClient}.Append(nil)
			})
		}
		if err != nil {
			p.part(err)
		} else {
			s.run()
			for _, fs := range leader.sessions {
				if !fs.closed && !fs.detached {
					t.Fatal("a session was neither closed nor detached")
				}
			}
			if s.ref.ID == fuzzID && kept.ref.Epoch != 1 {
				t.Fatalf("the session was resumed to epoch %d", kept.ref.Epoch)
			}
		}
		if b := c.out.Bytes(); stage%5 == 0 && len(b) > 0 && b[0] == '<' {
			checkWritten(t, b)
		}
	})
}

var fuzzID = link.SessionID{1, 2, 3}

// keep adds a detached session, of which the client has half.
func (l *fakeLeader) keep(full string) *fakeSession {
	s := &fakeSession{ref: link.Ref{ID: fuzzID}, jid: mustJID(full), sent: make([]*stanza.Element, 2), confirmed: 2, enabled: true, detached: true,
		enable: link.Enable{In: 1, Keep: time.Minute}, last: 2, delivered: 0}
	for n := range uint64(2) {
		s.queue = append(s.queue, link.Delivery{N: n + 1, Item: link.Item(n), Bytes: []byte("<message/>")})
	}
	l.sessions[fuzzID] = s
	return s
}

// checkWritten reads what the server has written before TLS.
func checkWritten(t *testing.T, b []byte) {
	s := stream.NewScanner(bytes.NewReader(b), stanza.NSClient, anyLimits)
	if _, err := s.Header(); err != nil {
		t.Fatalf("the server wrote %q: %v", b, err)
	}
	for {
		e, err := s.Next()
		if err == io.EOF || err == io.ErrUnexpectedEOF || e.Is(nsTLS, "proceed") {
			return
		}
		if err != nil {
			t.Fatalf("the server wrote %q: %v", b, err)
		}
	}
}

func mustJID(s string) jid.JID {
	j, err := jid.Parse(s)
	if err != nil {
		panic(err)
	}
	return j
}
