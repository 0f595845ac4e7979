package qemu_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/miekg/dns"
)

// zoneText names the machines, and nothing yet that finds them by the service.
const zoneText = `$ORIGIN tptac9.com.
$TTL 86400
@   SOA ns admin 1 3600 600 86400 60
@   NS  ns
ns  A   10.106.81.1
ldap A  10.106.81.1
cb1 A   10.106.81.30
cb2 A   10.106.81.31
cb3 A   10.106.81.32
`

// serveNames has the operator's machine be the outside name server of
// tptac9.com: Debian's knotd, whose files are in the folder.
func (r *rack) serveNames(dir string) {
	r.t.Helper()
	conf := fmt.Sprintf("server:\n    rundir: %[1]q\n    listen: %[2]q\ndatabase:\n    storage: %[1]q\nlog:\n  - target: stderr\n    any: info\nzone:\n  - domain: tptac9.com\n    file: %[3]q\n",
		dir, operatorAddress+"@53", filepath.Join(dir, "tptac9.com.zone"))
	for name, text := range map[string]string{"tptac9.com.zone": zoneText, "knot.conf": conf} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			r.t.Fatal(err)
		}
	}
	ctx, stop := context.WithCancel(r.ctx)
	cmd := exec.CommandContext(ctx, "knotd", "-c", filepath.Join(dir, "knot.conf"))
	var out strings.Builder
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := r.host.Do(cmd.Start); err != nil {
		stop()
		r.t.Fatalf("%v; install Debian's package knot", err)
	}
	r.t.Cleanup(func() {
		stop()
		_ = cmd.Wait()
		if r.t.Failed() {
			r.t.Logf("knotd:\n%s", out.String())
		}
	})
	r.awaitNames()
}

// awaitNames waits until the name server answers.
func (r *rack) awaitNames() {
	r.t.Helper()
	for end := time.Now().Add(time.Minute); ; time.Sleep(50 * time.Millisecond) {
		conn, err := r.host.Dial(r.t.Context(), "udp", operatorAddress+":53")
		if err != nil {
			r.t.Fatal(err)
		}
		client := &dns.Client{Timeout: 2 * time.Second}
		m, _, err := client.ExchangeWithConn(new(dns.Msg).SetQuestion("cb1.tptac9.com.", dns.TypeA), &dns.Conn{Conn: conn})
		conn.Close()
		if err == nil && len(m.Answer) == 1 {
			return
		}
		if time.Now().After(end) {
			r.t.Fatalf("knotd does not answer: %v", err)
		}
	}
}
