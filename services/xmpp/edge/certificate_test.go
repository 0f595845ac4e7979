package edge

import (
	"crypto/tls"
	"encoding/base64"
	"errors"
	"sync/atomic"
	"testing"

	"github.com/xdg-go/scram"

	"parley/services/xmpp/stanza"
)

// TestChannelBinding logs in with the binding of RFC 9266, over a connection
// on which the other end computes it too.
func TestChannelBinding(t *testing.T) {
	s := start(t, Limits{})
	for _, tt := range []struct {
		name    string
		binding func(*tls.ConnectionState) (scram.ChannelBinding, error)
		spoil   bool
	}{
		{"tls-exporter", scram.NewTLSExporterBinding, false},
		{"tls-server-end-point", scram.NewTLSServerEndpointBinding, false},
		{"tls-exporter of another connection", scram.NewTLSExporterBinding, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, _ := secure(t, s.clients)
			state := c.conn.(*tls.Conn).ConnectionState()
			binding, err := tt.binding(&state)
			if err != nil {
				t.Fatal(err)
			}
			if tt.spoil {
				binding.Data[0]++
			}
			user, err := scram.SHA256.NewClient("ada", "pencil", "")
			if err != nil {
				t.Fatal(err)
			}
			conv := user.NewConversationWithChannelBinding(binding)
			step := func(in string) string {
				out, err := conv.Step(in)
				if err != nil {
					t.Fatalf("client: %v", err)
				}
				return base64.StdEncoding.EncodeToString([]byte(out))
			}
			answer := func() (string, *stanza.Element) {
				e := c.next()
				b, err := base64.StdEncoding.DecodeString(e.Text())
				if err != nil {
					t.Fatal(err)
				}
				return string(b), e
			}
			c.send("<auth xmlns='" + nsSASL + "' mechanism='SCRAM-SHA-256-PLUS'>" + step("") + "</auth>")
			challenge, _ := answer()
			c.send("<response xmlns='" + nsSASL + "'>" + step(challenge) + "</response>")
			final, e := answer()
			if tt.spoil {
				if !e.Is(nsSASL, "failure") {
					t.Errorf("received %s; want failure", e)
				}
				return
			}
			if step(final); !e.Is(nsSASL, "success") || !conv.Valid() {
				t.Errorf("received %s, valid %v; want success, true", e, conv.Valid())
			}
		})
	}
}

// A new certificate is for new connections; the old ones go on.
func TestCertificateChanges(t *testing.T) {
	cert := testAuthority().cert
	var broken atomic.Bool
	certificate := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		if broken.Load() {
			return nil, errors.New("no certificate")
		}
		return &cert, nil
	}
	s := start(t, Limits{}, func(e *Edge) { e.clientTLS.GetCertificate = certificate })
	old := login(t, s.clients, "x")
	broken.Store(true)
	c := dial(t, s.clients)
	if err := tls.Client(c.raw, c.tlsConfig()).Handshake(); err == nil {
		t.Error("handshake without a certificate")
	}
	broken.Store(false)
	login(t, s.clients, "y")
	old.send(message("1"))
	ls := s.leader.session(t, 0)
	s.leader.waitFor(t, "the message on the old connection", func() bool { return len(ls.sent) == 1 })
}
