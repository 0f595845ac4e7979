package node_test

import (
	"context"
	"errors"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
)

// TestCallBridge is the article's step 9 on one node, by the console: with a
// secret that is wrong, with the right one, and found by local records.
func TestCallBridge(t *testing.T) {
	p := newProgram(t)
	p.start()
	trust := filepath.Join(t.TempDir(), "trust.cer")
	copyFile(t, setUp(t, p), trust)
	p.put(trust)
	secret, other := p.register("cb1"), p.register("cb3")
	p.mmp("callbridge", "xmpp", "name", "cb1")
	p.mmp("callbridge", "xmpp", "domain", domain)
	p.mmp("callbridge", "xmpp", "server", "localhost")
	p.mmp("callbridge", "trust", "trust.cer")
	p.mmpWith(other+"\n", "callbridge", "xmpp", "secret")
	p.mmp("callbridge", "enable")
	row := func(want string) {
		t.Helper()
		var out string
		for end := time.Now().Add(60 * time.Second); !strings.Contains(out, want); out = p.mmp("callbridge") {
			if time.Now().After(end) {
				t.Fatalf("waited in vain for %q:\n%s", want, out)
			}
		}
	}
	row("failed to connect to localhost due to authentication failure (")
	if out, status := p.try("", "callbridge", "test"); status != 1 || !strings.Contains(out, "FAIL  localhost authentication") {
		t.Errorf("callbridge test: exit status %d\n%s\nwant authentication to fail", status, out)
	}
	p.mmpWith(secret+"\n", "callbridge", "xmpp", "secret")
	row("connected to localhost (secure) for ")

	p.mmp("callbridge", "xmpp", "server", "none")
	row("due to dns error (")
	p.mmp("dns", "add", "rr", "_xmpp-component._tcp."+domain+". 86400 IN SRV 0 0 5223 cb1."+domain+".")
	p.mmp("dns", "add", "rr", "cb1."+domain+". 86400 IN A "+p.address)
	p.mmp("callbridge", "restart")
	row("connected to localhost (secure) for ")
	if out := p.mmp("callbridge", "test"); !strings.Contains(out, "DNS SRV") || !strings.HasSuffix(out, "SUCCESS\n") {
		t.Errorf("callbridge test:\n%s\nwant the look-up, and success", out)
	}
	if out, status := p.try("", "rm", "trust.cer"); status != 1 || !strings.Contains(out, "callbridge trust") {
		t.Errorf("rm of what is in use: exit status %d\n%s", status, out)
	}
}

// TestCallBridgeMovesOn: the bridge of one member is on another one, which
// dies; it is on the third one within 2 s.
func TestCallBridgeMovesOn(t *testing.T) {
	c, secrets := newCluster(t, 3)
	home := c.nodes[0]
	at := func(p *program) string {
		return "connected to cb" + p.address[strings.LastIndexByte(p.address, '.')+1:] + "." + domain + " "
	}
	for i, p := range c.nodes[1:] {
		name := "cb" + p.address[strings.LastIndexByte(p.address, '.')+1:] + "." + domain + "."
		home.mmp("dns", "add", "rr", "_xmpp-component._tcp."+domain+". 86400 IN SRV "+strconv.Itoa(i)+" 0 5223 "+name)
		home.mmp("dns", "add", "rr", name+" 86400 IN A "+p.address)
	}
	home.mmp("callbridge", "xmpp", "name", "cb1")
	home.mmp("callbridge", "xmpp", "domain", domain)
	home.mmp("callbridge", "trust", "certall.cer")
	home.mmpWith(secrets[0]+"\n", "callbridge", "xmpp", "secret")
	home.mmp("callbridge", "enable")
	api := callbridgeapi.NewClient(config.FolderPaths(home.state).Socket("callbridge"))
	row := func(want string) {
		t.Helper()
		await(t, want, func(ctx context.Context) error {
			s, err := api.Status(ctx)
			if err == nil && !strings.HasPrefix(s.XMPPRow, want) {
				err = errors.New(s.XMPPRow)
			}
			return err
		})
	}
	row(at(c.nodes[1]))
	try(t, func(int) string {
		s, err := api.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		victim, next := c.nodes[1], c.nodes[2]
		if s.Address.Addr().String() != victim.address {
			victim, next = next, victim
		}
		begun := time.Now()
		victim.kill()
		row(at(next))
		took := time.Since(begun)
		t.Logf("moved on after %v", took)
		victim.start()
		c.awaitMembers(c.nodes...)
		if took > 2*time.Second {
			return "it took longer than 2 s"
		}
		return ""
	})
}
