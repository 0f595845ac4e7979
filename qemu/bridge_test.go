package qemu_test

import (
	"strings"
	"time"
)

// callBridges is the article's step 9, through a browser on one node and on
// the console of the others, and its troubles 1 and 2, as they come of it.
func (r *rack) callBridges(dir string, b bindings) {
	t := r.t
	t.Helper()
	r.serveNames(dir)
	r.play("webadmin.txt", dir, b)
	r.play("bridges.txt", dir, b)

	// Trouble 1: the records are missing.
	began := time.Now()
	web := r.node("cb1").browse()
	web.configure("cb1", "tptac9.com", "", b["<secret of cb1>"])
	web.Page("/logs/events")
	web.Press("#ask-clear")
	web.Press("#clear")
	r.play("dns-missing.txt", dir, b)
	web.Page("/logs/events")
	web.Reads("#live", "No DNS A or AAAA records for _xmpp-component._tcp.tptac9.com")
	web.Reads("#live", "XMPP connection dropped while session was live for reason 2")
	web.Reads("#live", `XMPP component connection disconnected due to failure reason: "dns error"`)
	web.Picture("events-dns-error")
	web.Page("/status/general")
	web.shows("#system-status", systemStatus("failed to connect due to dns error (<words> ago)"))
	web.shows("#faults", []string{"Date  Time  Fault condition", "...", "<date>  <moment>  XMPP connection to '' failed", "..."})
	web.Picture("status-dns-error")
	r.play("dns-mended.txt", dir, b)
	web.shows("#system-status", systemStatus("connected to <words> (secure) for <words>"))
	r.awaitMended()

	// Trouble 2: cb1 is given the secret of cb3.
	web.configure("cb1", "tptac9.com", "cb1.tptac9.com", b["<secret of cb3>"])
	web.Page("/status/general")
	web.shows("#system-status", systemStatus("failed to connect to localhost due to authentication failure (<words> ago)"))
	web.Picture("status-authentication-failure")
	r.play("secret-wrong.txt", dir, b)
	web.configure("cb1", "tptac9.com", "cb1.tptac9.com", b["<secret of cb1>"])
	web.Page("/status/general")
	web.shows("#system-status", systemStatus("connected to localhost (secure) for <words>"))
	web.Picture("status-connected")
	web.configure("cb1", "tptac9.com", "", b["<secret of cb1>"])
	r.awaitMended()
	t.Logf("step 9 and troubles 1 and 2 in a browser: %.1f s", time.Since(began).Seconds())
}

// awaitMended waits until each node's Call Bridge is connected, and no node has
// a fault condition that says otherwise.
func (r *rack) awaitMended() {
	r.t.Helper()
	for _, n := range r.nodes {
		for deadline := time.Now().Add(time.Minute); ; time.Sleep(300 * time.Millisecond) {
			state := strings.Join(n.play(step{command: "callbridge"}, nil), "\n")
			faults := strings.Join(n.play(step{command: "alarms"}, nil), "\n")
			if strings.Contains(state, "\nXMPP connection        : connected to ") && !strings.Contains(faults, "XMPP connection to '") {
				break
			}
			if time.Now().After(deadline) {
				r.t.Fatalf("%s> callbridge\n%s\n%s> alarms\n%s", n.name, state, n.name, faults)
			}
		}
	}
}

// diagnose has a node look for all that the article warns of. On a busy host the
// cluster may be electing just then, which is found, and told as it is; then it is
// looked again, as the operator is told to.
func (r *rack) diagnose() {
	r.t.Helper()
	var output string
	var took time.Duration
	for deadline := time.Now().Add(settle); ; {
		began, status := time.Now(), 0
		output, status = r.node("cb1").exec("xmpp diagnose")
		took = time.Since(began)
		if status == 0 && !strings.Contains(output, "FAIL") {
			break
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("cb1> xmpp diagnose: exit status %d\n%s", status, output)
		}
		r.t.Logf("cb1> xmpp diagnose: exit status %d\n%s", status, output)
	}
	r.t.Logf("xmpp diagnose: %d lines in %.1f s", strings.Count(output, "\n"), took.Seconds())
}
