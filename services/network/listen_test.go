package network

import (
	"context"
	"fmt"
	"net"
	"os/exec"
	"testing"
	"time"

	"parley/services/problem"
)

// answers serves listeners with a greeting until the test ends.
func answers(t *testing.T, ls []net.Listener) {
	t.Helper()
	for _, l := range ls {
		done := make(chan struct{})
		go func() {
			defer close(done)
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				fmt.Fprint(c, "hi")
				c.Close()
			}
		}()
		t.Cleanup(func() { l.Close(); <-done })
	}
}

// reaches says whether a greeting comes from addr.
func reaches(addr string) bool {
	c, err := net.DialTimeout("tcp", addr, 5*time.Second)
	if err != nil {
		return false
	}
	defer c.Close()
	buf := make([]byte, 2)
	n, err := c.Read(buf)
	return err == nil && string(buf[:n]) == "hi"
}

func TestListenDevices(t *testing.T) {
	inNamespace(t, func(t *testing.T) {
		lan := newLAN(t)
		lan.cable("a", macA, "pa", "10.1.0.1/24")
		lan.cable("b", macB, "pb", "10.2.0.1/24")
		lan.cable("c", macC, "pc", "10.3.0.1/24")
		ip(t, "link", "set", "dev", "lo", "up")
		// Listening comes before the address.
		ls, err := ListenDevices(t.Context(), []string{"b", "a", "a"}, 5222)
		if err != nil {
			t.Fatal(problem.Text(err))
		}
		if len(ls) != 3 {
			t.Errorf("%d listeners; want one for a, b and lo each", len(ls))
		}
		answers(t, ls)
		for i, name := range []string{"a", "b", "c"} {
			ip(t, "addr", "add", fmt.Sprintf("10.%d.0.5/24", i+1), "dev", name)
			ip(t, "link", "set", "dev", name, "up")
		}
		from := func(addr string) bool {
			cmd := lan.command("bash", "-c", fmt.Sprintf("exec 3<>/dev/tcp/%s/5222 && read -N2 -t5 -u3 x && [ $x = hi ]", addr))
			return cmd.Run() == nil
		}
		await(t, "10.1.0.5 from the network", func() bool { return from("10.1.0.5") })
		await(t, "10.2.0.5 from the network", func() bool { return from("10.2.0.5") })
		lan.run("ping", "-c1", "-W5", "10.3.0.5")
		if from("10.3.0.5") {
			t.Error("interface c answers; it was not asked to")
		}
		for _, own := range []string{"127.0.0.1:5222", "10.1.0.5:5222", "10.2.0.5:5222"} {
			if !reaches(own) {
				t.Errorf("the node does not reach itself at %s", own)
			}
		}
		for _, tt := range []struct {
			name   string
			ifaces []string
			port   int
			want   problem.Code
		}{
			{"taken", []string{"a"}, 5222, problem.PortTaken},
			{"unknown", []string{"eth0"}, 5223, problem.InterfaceUnknown},
			{"absent", []string{"a", "d"}, 5223, problem.InterfaceAbsent},
			// The one before left nothing open.
			{"free again", []string{"a", "c"}, 5223, ""},
		} {
			ls, err := ListenDevices(t.Context(), tt.ifaces, tt.port)
			if problem.CodeOf(err) != tt.want || (err == nil) != (tt.want == "") {
				t.Errorf("%s: ListenDevices = %v, %v; want %q", tt.name, ls, err, tt.want)
			}
			closeAll(ls)
		}
		if ls, err := ListenDevices(t.Context(), nil, 5222); ls != nil || err != nil {
			t.Errorf("no interfaces: %v, %v", ls, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		start := time.Now()
		if _, err := ListenDevices(ctx, []string{"d"}, 5224); err == nil || time.Since(start) >= nameWait {
			t.Errorf("after the end of the context: %v after %v", err, time.Since(start))
		}
		// A name that comes a little later is waited for.
		added := make(chan error)
		go func() {
			time.Sleep(4 * settleCheck)
			added <- exec.Command("ip", "link", "add", "name", "d", "type", "veth", "peer", "name", "pd").Run()
		}()
		if ls, err = ListenDevices(t.Context(), []string{"d"}, 5224); err != nil {
			t.Errorf("interface that comes later: %v", err)
		}
		if err := <-added; err != nil {
			t.Error(err)
		}
		closeAll(ls)
	})
}
