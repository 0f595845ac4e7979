package qemu_test

import (
	"context"
	"io"
	"net"
	"os"
	"sync"
	"testing"
	"time"

	"parley/qemu/qemutest"
	"parley/services/webadmin/chromium"
)

// browser is the operator's, at an appliance's Webadmin.
type browser struct {
	*chromium.Browser
	t *testing.T
}

// browse opens the Webadmin of a node at port 445 of its name, and logs in.
// Pictures are kept beside the logs.
func (n *node) browse() *browser {
	n.t.Helper()
	name := n.name + ".tptac9.com:445"
	b := &browser{chromium.Start(n.t, chromium.Config{
		Resolve:  name + " " + n.rack.forward(net.JoinHostPort(n.address, "445")),
		Pictures: os.Getenv(qemutest.LogsVariable),
		Lifetime: rackLifetime,
	}), n.t}
	b.Open("https://" + name + "/")
	b.LogIn("admin", adminPassword)
	b.Reads("#system-status", "XMPP connection")
	return b
}

// forward makes an address of the rack's network one of loopback.
func (r *rack) forward(to string) string {
	r.t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		r.t.Fatal(err)
	}
	ctx, stop := context.WithCancel(r.ctx)
	var running sync.WaitGroup
	running.Go(func() {
		for {
			near, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { r.carry(ctx, near, to) })
		}
	})
	r.t.Cleanup(func() {
		stop()
		l.Close()
		running.Wait()
	})
	return l.Addr().String()
}

// carry is one connection of forward.
func (r *rack) carry(ctx context.Context, near net.Conn, to string) {
	defer near.Close()
	far, err := r.host.Dial(ctx, "tcp", to)
	if err != nil {
		return // the browser sees that nobody answers
	}
	defer far.Close()
	defer context.AfterFunc(ctx, func() { near.Close(); far.Close() })()
	var back sync.WaitGroup
	back.Go(func() {
		_, _ = io.Copy(near, far)
		near.Close()
	})
	_, _ = io.Copy(far, near)
	far.Close()
	back.Wait()
}

// shows waits until a table is what is wanted, in the words of a transcript.
func (b *browser) shows(table string, want []string) {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		got := b.Rows(table)
		diff := bindings{}.compare(want, got)
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s (-want +got):\n%s", table, diff)
		}
	}
}

// configure fills in Configuration > General.
func (b *browser) configure(name, domain, server, secret string) {
	b.t.Helper()
	b.Page("/configuration/general")
	if b.Has("button[name=change]") {
		b.Press("button[name=change]")
	}
	for _, field := range [][2]string{{"name", name}, {"domain", domain}, {"server", server}, {"secret", secret}, {"confirm", secret}} {
		b.Type(field[0], field[1])
	}
	b.Press("#submit")
	b.Reads("[role=status]", "The configuration is saved and in use.")
}

// systemStatus is Status > General of the article, with its row "XMPP
// connection" as given.
func systemStatus(connection string) []string {
	rows := []string{
		"Uptime  <words>", "Build version  <version>", "XMPP connection  " + connection,
		"Authentication service  no authentication components found", "Lync Edge registrations  not configured",
	}
	for _, nothing := range []string{
		"CMA calls", "SIP calls", "Lync calls", "Forwarded calls", "Completed calls", "Activated conferences",
		"Active Lync subscribers", "Total outgoing media bandwidth", "Total incoming media bandwidth",
	} {
		rows = append(rows, nothing+"  0")
	}
	return rows
}
