package edge

import (
	"context"
	"os"
	"os/exec"
	"strings"
	"testing"

	"parley/services/config"
	"parley/services/xmpp/realclient"
	"parley/services/xmpp/sasl"
)

// keptElsewhere is a sasl.Passwords with one user, cyd.
type keptElsewhere struct{ used bool }

func (k keptElsewhere) Used() bool { return k.used }

func (keptElsewhere) Check(_ context.Context, _, local string, password config.Secret) (bool, error) {
	return local == "cyd" && password == "pencil", nil
}

// TestPasswordsElsewhere logs in libraries and a program as a user of whom
// nothing is kept here. They all can where PLAIN alone is offered. Where SCRAM
// is too, whoever takes the best mechanism only is refused: that is why.
func TestPasswordsElsewhere(t *testing.T) {
	elsewhere := func(used bool) func(*Edge) {
		return func(e *Edge) {
			e.sasl = sasl.NewServer(testDomain, e.deps.Credentials, keptElsewhere{used}, []byte("salt"))
		}
	}
	library := func(l realclient.Library, tune ...func(*Edge)) func(*testing.T, bool) bool {
		return func(t *testing.T, used bool) bool {
			s := start(t, Limits{}, append(tune, elsewhere(used))...)
			s.leader.onSend = s.leader.echo
			host, port := hostPort(t, s.clients)
			c := realclient.Start(t, realclient.Config{Library: l, JID: "cyd@" + testDomain, Password: "pencil", Host: host, Port: port, CA: caFile(t)})
			return c.Await("the end of it", func(e realclient.Event) bool { return e.Event == "connected" || e.Event == "failed" }).Event == "connected"
		}
	}
	for _, tt := range []struct {
		name string
		try  func(t *testing.T, used bool) bool
		// gets says that it gets to PLAIN where SCRAM is offered too.
		gets bool
	}{
		{"slixmpp, TLS 1.3", library(realclient.Slixmpp), false},
		{"slixmpp, TLS 1.2", library(realclient.Slixmpp, oldTLS), false},
		{"aioxmpp", library(realclient.Aioxmpp), false},
		{"go-sendxmpp", func(t *testing.T, used bool) bool {
			s := start(t, Limits{}, elsewhere(used))
			s.leader.onSend = s.leader.echo
			c := exec.Command("go-sendxmpp", "-u", "cyd@"+testDomain, "-p", "pencil", "-j", s.clients.Addr().String(), "bob@"+testDomain)
			c.Env = append(os.Environ(), "SSL_CERT_FILE="+caFile(t), "HOME="+t.TempDir())
			c.Stdin = strings.NewReader("hello\n")
			out, err := c.CombinedOutput()
			t.Logf("%s", out)
			return err == nil
		}, true},
	} {
		for _, used := range []bool{true, false} {
			name := tt.name + ", SCRAM offered too"
			if used {
				name = tt.name + ", PLAIN alone"
			}
			t.Run(name, func(t *testing.T) {
				if got, want := tt.try(t, used), used || tt.gets; got != want {
					t.Errorf("logged in = %v; want %v", got, want)
				}
			})
		}
	}
}
