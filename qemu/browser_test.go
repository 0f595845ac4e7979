package qemu_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"parley/qemu/qemutest"
)

// browser is the operator's: Debian's Chromium at an appliance's Webadmin.
type browser struct {
	t   *testing.T
	ctx context.Context
}

// browse opens the Webadmin of a node at port 445 of its name, and logs in.
func (n *node) browse() *browser {
	n.t.Helper()
	door := n.rack.forward(net.JoinHostPort(n.address, "445"))
	name := n.name + ".tptac9.com"
	options := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox,
		chromedp.Flag("ignore-certificate-errors", true),
		chromedp.Flag("host-resolver-rules", fmt.Sprintf("MAP %s:445 %s", name, door)))
	allocated, free := chromedp.NewExecAllocator(n.rack.ctx, options...)
	ctx, leave := chromedp.NewContext(allocated)
	n.t.Cleanup(func() { leave(); free() })
	b := &browser{n.t, ctx}
	b.do(chromedp.EmulateViewport(1100, 800), chromedp.Navigate("https://"+name+":445/"))
	b.typ("name", "admin")
	b.typ("password", adminPassword)
	b.press("button.primary")
	b.reads("#system-status", "XMPP connection")
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

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// press clicks on what leads to another page, and waits for that.
func (b *browser) press(selector string) {
	b.t.Helper()
	if _, err := chromedp.RunResponse(b.ctx, chromedp.Click(chromedp.CSS(selector))); err != nil {
		b.t.Fatalf("press %s: %v", selector, err)
	}
}

// page goes to a page by the menu.
func (b *browser) page(path string) {
	b.t.Helper()
	b.press(`a[href="` + path + `"]`)
}

// typ writes into a field in place of what is there.
func (b *browser) typ(field, text string) {
	b.t.Helper()
	sel := chromedp.CSS("#" + field)
	b.do(chromedp.Clear(sel))
	if text != "" {
		b.do(chromedp.SendKeys(sel, text))
	}
}

// reads waits until an element has a text.
func (b *browser) reads(selector, want string) {
	b.t.Helper()
	deadline := time.Now().Add(time.Minute)
	for {
		got, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS(selector)))
		if err == nil && strings.Contains(got, want) {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s reads %q, %v; want %q", selector, got, err, want)
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// rows are those of a table, cells set apart by "  ". What stands below a
// cell's text, which the article does not have, is left out.
func (b *browser) rows(table string) []string {
	b.t.Helper()
	rows, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](fmt.Sprintf(
		`[...document.querySelectorAll('%s tr')].map(r => [...r.cells].map(c => c.firstChild?.textContent ?? '').join('  '))`, table)))
	if err != nil {
		b.t.Fatal(err)
	}
	return rows
}

// shows waits until a table is what is wanted, in the words of a transcript.
func (b *browser) shows(table string, want []string) {
	b.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(200 * time.Millisecond) {
		got := b.rows(table)
		diff := bindings{}.compare(want, got)
		if diff == "" {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("%s (-want +got):\n%s", table, diff)
		}
	}
}

// picture keeps a screenshot beside the logs.
func (b *browser) picture(name string) {
	b.t.Helper()
	folder := os.Getenv(qemutest.LogsVariable)
	if folder == "" {
		return
	}
	png, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
	if err == nil {
		err = os.WriteFile(filepath.Join(folder, name+".png"), png, 0o644)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// configure fills in Configuration > General.
func (b *browser) configure(name, domain, server, secret string) {
	b.t.Helper()
	b.page("/configuration/general")
	change, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](`document.querySelector('button[name=change]') !== null`))
	if err != nil {
		b.t.Fatal(err)
	}
	if change {
		b.press("button[name=change]")
	}
	for _, field := range [][2]string{{"name", name}, {"domain", domain}, {"server", server}, {"secret", secret}, {"confirm", secret}} {
		b.typ(field[0], field[1])
	}
	b.press("#submit")
	b.reads("[role=status]", "The configuration is saved and in use.")
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
