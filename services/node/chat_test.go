package node_test

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"parley/services/pki/opensslca"
	"parley/services/xmpp/realclient"
)

const domain = "tptac9.com"

// setUp does the article's steps 1 to 3 and 5 on a running node, with a CA of
// openssl, makes accounts, and returns the CA's file.
func setUp(t *testing.T, p *program, users ...string) (ca string) {
	t.Helper()
	authority := opensslca.New(t)
	p.mmp("pki", "csr", "abhiall", "CN:"+domain, "subAltName:"+domain+",cb1."+domain+",cb2."+domain+",cb3."+domain)
	certificate := filepath.Join(t.TempDir(), "abhiall.cer")
	authority.Sign(filepath.Join(p.state, "files", "abhiall.csr"), certificate)
	root := filepath.Join(t.TempDir(), "certall.cer")
	copyFile(t, authority.Certificate(), root)
	p.put(certificate, root)
	p.mmp("hostname", "cb1")
	p.mmp("xmpp", "domain", domain)
	p.mmp("xmpp", "listen", "a")
	p.mmp("xmpp", "certs", "abhiall.key", "abhiall.cer", "certall.cer")
	p.mmp("xmpp", "enable")
	for _, u := range users {
		p.mmpWith(strings.Repeat("secret of "+u+"\n", 2), "xmpp", "user", "add", u)
	}
	return root
}

func (p *program) client(t *testing.T, library realclient.Library, user, ca string) *realclient.Client {
	t.Helper()
	return realclient.Start(t, realclient.Config{
		Library: library, JID: user + "@" + domain, Password: "secret of " + user, Host: p.address, Port: 5222, CA: ca,
	})
}

// TestUpInUnderASecond starts a node until it is that quick: what else the
// machine does is not the node's fault.
func TestUpInUnderASecond(t *testing.T) {
	const starts = 20
	p := newProgram(t)
	best := p.start()
	for n := 1; n < 3 || best > time.Second && n < starts; n++ {
		if err := p.stop(); err != nil {
			t.Fatalf("the node ended with %v; want exit status 0", err)
		}
		best = min(best, p.start())
	}
	t.Logf("best start: %v", best)
	if best > time.Second {
		t.Errorf("the quickest of %d starts took %v; want under 1 s", starts, best)
	}
}

func TestTwoRealClientsChat(t *testing.T) {
	p := newProgram(t)
	p.start()
	ca := setUp(t, p, "ada", "bob")
	ada := p.client(t, realclient.Slixmpp, "ada", ca)
	ada.AwaitOnline()
	bob := p.client(t, realclient.Aioxmpp, "bob", ca)
	bob.AwaitOnline()

	ada.Do("subscribe", "bob@"+domain)
	presenceOf := func(user string) func(realclient.Event) bool {
		return func(e realclient.Event) bool {
			return e.Event == "presence" && e.Type == "available" && strings.HasPrefix(e.From, user+"@"+domain+"/")
		}
	}
	ada.Await("presence of bob", presenceOf("bob"))
	bob.Await("presence of ada", presenceOf("ada"))

	ada.Do("send", "bob@"+domain, "hello, bob", "m1")
	body := func(s string) func(realclient.Event) bool {
		return func(e realclient.Event) bool { return e.Event == "message" && e.Body == s }
	}
	bob.Await("ada's message", body("hello, bob"))
	bob.Do("send", "ada@"+domain, "hello, ada", "m2")
	ada.Await("bob's message", body("hello, ada"))

	bob.Do("quit")
	ada.Await("bob's leaving", func(e realclient.Event) bool {
		return e.Event == "presence" && e.Type == "unavailable" && strings.HasPrefix(e.From, "bob@"+domain+"/")
	})
	ada.Do("send", "bob@"+domain, "while you were away", "m3")
	ada.Await("the acknowledgement", acked("m3"))
	back := p.client(t, realclient.Slixmpp, "bob", ca)
	if e := back.Await("the message of before", body("while you were away")); !e.Delayed {
		t.Error("a message that was kept has no delay stamp")
	}
}

func acked(id string) func(realclient.Event) bool {
	return func(e realclient.Event) bool { return e.Event == "acked" && e.ID == id }
}

// TestAcknowledgedMessagesOutliveKill kills the node right after an
// acknowledgement, again and again.
func TestAcknowledgedMessagesOutliveKill(t *testing.T) {
	const rounds = 5
	p := newProgram(t)
	p.start()
	ca := setUp(t, p, "ada", "bob")
	for i := range rounds {
		ada := p.client(t, realclient.Slixmpp, "ada", ca)
		ada.AwaitOnline()
		id := fmt.Sprintf("kill-%d", i)
		ada.Do("send", "bob@"+domain, id, id)
		ada.Await("the acknowledgement", acked(id))
		p.kill()
		ada.Kill()
		p.start()
	}
	bob := p.client(t, realclient.Aioxmpp, "bob", ca)
	for i := range rounds {
		id := fmt.Sprintf("kill-%d", i)
		bob.Await(id, func(e realclient.Event) bool { return e.Event == "message" && e.Body == id })
	}
}

func TestComponentOfALibrary(t *testing.T) {
	p := newProgram(t)
	p.start()
	ca := setUp(t, p, "ada")
	out := p.mmp("xmpp", "callbridge", "add", "cb1")
	_, secret, ok := strings.Cut(out, "Secret     : ")
	if !ok {
		t.Fatalf("callbridge add printed no secret:\n%s", out)
	}
	secret, _, _ = strings.Cut(secret, "\n")
	component := func(secret string) *realclient.Client {
		return realclient.Start(t, realclient.Config{
			Library: realclient.Slixmpp, Component: true, JID: "cb1." + domain, Password: secret, Host: p.address, Port: 5223, CA: ca,
		})
	}
	right := component(secret)
	right.AwaitKind("connected")
	ada := p.client(t, realclient.Slixmpp, "ada", ca)
	ada.AwaitOnline()
	right.Do("send", "ada@"+domain, "from the bridge", "b1")
	ada.Await("the component's message", func(e realclient.Event) bool {
		return e.Event == "message" && e.From == "cb1."+domain && e.Body == "from the bridge"
	})
	ada.Do("send", "cb1."+domain, "to the bridge", "a1")
	right.Await("ada's message", func(e realclient.Event) bool { return e.Event == "message" && e.Body == "to the bridge" })

	wrong := component("not the secret")
	wrong.Await("the refusal", func(e realclient.Event) bool {
		return e.Event == "stream-error" && e.Condition == "not-authorized" || e.Event == "failed" || e.Event == "disconnected"
	})
	if n := wrong.Count(func(e realclient.Event) bool { return e.Event == "connected" }); n != 0 {
		t.Error("a component connected with a wrong secret")
	}
}
