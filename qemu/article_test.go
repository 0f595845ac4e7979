package qemu_test

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/qemu"
	"parley/qemu/qemutest"
	"parley/services/pki/opensslca"
	"parley/services/xmpp/realclient"
)

// appliance is a VM with a state disk whose SSH and XMPP ports are forwarded.
func appliance(t *testing.T) qemu.Config {
	t.Helper()
	return qemu.Config{ISO: qemutest.ISO(t), StateDisk: qemutest.StateDisk(t), NICs: []qemu.NIC{{Forwards: []qemu.Forward{
		{Host: "127.0.0.1:0", Guest: 22}, {Host: "127.0.0.1:0", Guest: 5222}, {Host: "127.0.0.1:0", Guest: 5223},
	}}}}
}

// firstLogin sets the admin's password on a console that shows a login prompt.
func firstLogin(t *testing.T, c *qemu.Console) {
	t.Helper()
	// Three that boot at once, beside other tests, take their time.
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	for _, step := range [][2]string{
		{"login: ", "admin"}, {"Password: ", "admin"},
		{"New password: ", adminPassword}, {"again: ", adminPassword},
	} {
		if _, _, err := c.Expect(ctx, step[0]); err != nil {
			t.Fatal(err)
		}
		if err := c.SendLine(step[1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := c.Expect(t.Context(), "parley> "); err != nil {
		t.Fatal(err)
	}
}

// TestArticle types the article's steps 1 to 3 and 5 over SSH, moves the
// certificates by SFTP, and lets real clients and a component in.
func TestArticle(t *testing.T) {
	ctx := qemutest.Context(t)
	vm := qemutest.Start(t, ctx, appliance(t))
	firstLogin(t, vm.Console())
	op := newOperator(t, vm)
	ca := opensslca.New(t)
	dir := t.TempDir()

	ssh := op.terminal(adminPassword)
	op.expect(ssh, "parley> ")
	op.typed(ssh, "hostname cb1")
	op.expect(ssh, "cb1> ")
	op.succeed(ssh, "cb1", "pki csr abhiall CN:tptac9.com subAltName:tptac9.com,cb1.tptac9.com,cb2.tptac9.com,cb3.tptac9.com")

	op.sftp(dir, "get abhiall.csr\n")
	ca.Sign(filepath.Join(dir, "abhiall.csr"), filepath.Join(dir, "abhiall.cer"))
	root, err := os.ReadFile(ca.Certificate())
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "certall.cer"), root, 0o600); err != nil {
		t.Fatal(err)
	}
	op.sftp(dir, "put abhiall.cer\nput certall.cer\nls -l\n")

	list, status := op.exec("pki list")
	if status != 0 || !strings.HasPrefix(list, "User supplied certificates and keys:\n") {
		t.Errorf("pki list: exit status %d\n%s", status, list)
	}
	for _, name := range []string{"abhiall.key", "abhiall.cer", "certall.cer"} {
		if !strings.Contains(list, name+"\n") {
			t.Errorf("pki list does not show %s:\n%s", name, list)
		}
	}

	op.succeed(ssh, "cb1", "xmpp domain tptac9.com")
	op.succeed(ssh, "cb1", "xmpp listen a")
	op.succeed(ssh, "cb1", "xmpp certs abhiall.key abhiall.cer certall.cer")
	added := op.succeed(ssh, "cb1", "xmpp callbridge add cb1")
	op.succeed(ssh, "cb1", "xmpp callbridge add cb2")
	op.succeed(ssh, "cb1", "xmpp callbridge add cb3")
	op.succeed(ssh, "cb1", "xmpp disable")
	op.succeed(ssh, "cb1", "xmpp enable")
	for _, user := range []string{"ada", "bob"} {
		op.typed(ssh, "xmpp user add "+user)
		op.expect(ssh, "assword")
		op.typed(ssh, "secret of "+user)
		op.expect(ssh, "again: ")
		op.typed(ssh, "secret of "+user)
		if shown := op.expect(ssh, "\ncb1> "); strings.Contains(shown, "secret of") {
			t.Error("the password was echoed")
		}
	}
	if output, status := op.exec("xmpp user add ada"); status != 1 || !strings.HasPrefix(lastLine(output), "FAILURE: ") {
		t.Errorf("a second ada: exit status %d\n%s", status, output)
	}

	chat(t, vm, ca.Certificate())
	component(t, vm, ca.Certificate(), secretIn(t, added))
}

func lastLine(s string) string {
	lines := strings.Split(strings.TrimSpace(s), "\n")
	return lines[len(lines)-1]
}

func secretIn(t *testing.T, output string) string {
	t.Helper()
	_, secret, ok := strings.Cut(output, "Secret     : ")
	secret, _, _ = strings.Cut(secret, "\r")
	if !ok || len(secret) != 19 {
		t.Fatalf("no secret of 19 characters in\n%s", output)
	}
	return secret
}

func clientOf(t *testing.T, vm *qemu.VM, port uint16, library realclient.Library, ca string) realclient.Config {
	t.Helper()
	host, p, err := net.SplitHostPort(vm.Address(port))
	if err != nil {
		t.Fatal(err)
	}
	number, err := strconv.Atoi(p)
	if err != nil {
		t.Fatal(err)
	}
	return realclient.Config{Library: library, Host: host, Port: number, CA: ca}
}

// login starts the client of a user of TestArticle.
func login(t *testing.T, vm *qemu.VM, library realclient.Library, user, ca string) *realclient.Client {
	t.Helper()
	cfg := clientOf(t, vm, 5222, library, ca)
	cfg.JID, cfg.Password = user+"@tptac9.com", "secret of "+user
	c := realclient.Start(t, cfg)
	c.AwaitOnline()
	return c
}

// chat has two clients of different libraries see each other, talk, and one
// get what was said while it was away.
func chat(t *testing.T, vm *qemu.VM, ca string) {
	t.Helper()
	ada := login(t, vm, realclient.Slixmpp, "ada", ca)
	bob := login(t, vm, realclient.Aioxmpp, "bob", ca)
	ada.Do("subscribe", "bob@tptac9.com")
	from := func(user string) func(realclient.Event) bool {
		return func(e realclient.Event) bool {
			return e.Event == "presence" && e.Type == "available" && strings.HasPrefix(e.From, user+"@tptac9.com/")
		}
	}
	ada.Await("bob's presence", from("bob"))
	bob.Await("ada's presence", from("ada"))
	said := func(body string) func(realclient.Event) bool {
		return func(e realclient.Event) bool { return e.Event == "message" && e.Body == body }
	}
	ada.Do("send", "bob@tptac9.com", "hello, bob", "m1")
	bob.Await("ada's message", said("hello, bob"))
	bob.Do("send", "ada@tptac9.com", "hello, ada", "m2")
	ada.Await("bob's message", said("hello, ada"))
	bob.Do("quit")
	bob.AwaitKind("disconnected")
	ada.Do("send", "bob@tptac9.com", "while you were away", "m3")
	ada.Await("the acknowledgement", func(e realclient.Event) bool { return e.Event == "acked" && e.ID == "m3" })
	back := login(t, vm, realclient.Aioxmpp, "bob", ca)
	back.Await("the message kept", said("while you were away"))
}

// component has a component of a library connect with the secret, and refused
// with another.
func component(t *testing.T, vm *qemu.VM, ca, secret string) {
	t.Helper()
	cfg := clientOf(t, vm, 5223, realclient.Slixmpp, ca)
	cfg.Component, cfg.JID, cfg.Password = true, "cb1.tptac9.com", "not the secret"
	wrong := realclient.Start(t, cfg)
	wrong.AwaitKind("disconnected")
	if n := wrong.Count(func(e realclient.Event) bool { return e.Event == "connected" }); n != 0 {
		t.Error("a component connected with a wrong secret")
	}
	cfg.Password = secret
	right := realclient.Start(t, cfg)
	right.AwaitKind("connected")
	ada := login(t, vm, realclient.Slixmpp, "ada", ca)
	right.Do("send", "ada@tptac9.com", "from the bridge", "b1")
	ada.Await("the component's message", func(e realclient.Event) bool {
		return e.Event == "message" && e.From == "cb1.tptac9.com" && e.Body == "from the bridge"
	})
}

// kills is how often a test kills QEMU: usual times, or what PARLEY_KILLS says.
func kills(t *testing.T, usual int) int {
	t.Helper()
	s := os.Getenv("PARLEY_KILLS")
	if s == "" {
		return usual
	}
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatalf("PARLEY_KILLS: %v", err)
	}
	return n
}

// TestAcknowledgedMessagesOutliveQEMU kills QEMU during writes, again and
// again: the appliance boots, fsck mends, and no acknowledged message is lost.
func TestAcknowledgedMessagesOutliveQEMU(t *testing.T) {
	rounds := kills(t, 2)
	ctx := qemutest.Context(t)
	cfg := appliance(t)
	vm := qemutest.Start(t, ctx, cfg)
	firstLogin(t, vm.Console())
	op := newOperator(t, vm)
	for _, line := range []string{
		"pki selfsigned abhiall CN:tptac9.com subjectAltName:tptac9.com,parley",
		"xmpp domain tptac9.com", "xmpp listen a", "xmpp certs abhiall.key abhiall.crt", "xmpp enable",
	} {
		if output, status := op.exec(line); status != 0 {
			t.Fatalf("%s: exit status %d\n%s", line, status, output)
		}
	}
	dir := t.TempDir()
	users := "ada,secret of ada\nbob,secret of bob\n"
	if err := os.WriteFile(filepath.Join(dir, "users.csv"), []byte(users), 0o600); err != nil {
		t.Fatal(err)
	}
	op.sftp(dir, "put users.csv\nget abhiall.crt\n")
	if output, status := op.exec("xmpp user import users.csv"); status != 0 {
		t.Fatalf("import: exit status %d\n%s", status, output)
	}
	ca := filepath.Join(dir, "abhiall.crt")

	sent := 0
	var acknowledged []string
	for range rounds {
		ada := login(t, vm, realclient.Slixmpp, "ada", ca)
		// Some are acknowledged for certain; the others are on their way when
		// the power goes.
		const certain, more = 20, 200
		first := sent
		for range certain + more {
			id := fmt.Sprintf("m%d", sent)
			ada.Do("send", "bob@tptac9.com", id, id)
			sent++
		}
		ada.Await("acknowledgements", func(e realclient.Event) bool {
			return e.Event == "acked" && e.ID == fmt.Sprintf("m%d", first+certain-1)
		})
		if err := vm.Kill(); err != nil {
			t.Fatal(err)
		}
		acknowledged = append(acknowledged, ada.IDs("acked")...)
		ada.Kill()
		vm = qemutest.Start(t, ctx, cfg)
		boot(t, ctx, vm)
	}
	bob := login(t, vm, realclient.Slixmpp, "bob", ca)
	for _, id := range acknowledged {
		if !strings.HasPrefix(id, "m") {
			continue
		}
		bob.Await("acknowledged message "+id, func(e realclient.Event) bool { return e.Event == "message" && e.Body == id })
	}
	t.Logf("%d sent, %d acknowledged, %d kills, none lost", sent, len(acknowledged), rounds)
}
