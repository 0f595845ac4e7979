package peer

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"parley/services/problem"
)

func TestCall(t *testing.T) {
	hangs := make(chan struct{})
	a := newNode(t, "a", nil)
	b := newNode(t, "b", func(n *node) {
		n.HandleCall("greet", func(_ context.Context, from Hello, in json.RawMessage) (any, error) {
			var name string
			if err := json.Unmarshal(in, &name); err != nil {
				return nil, err
			}
			switch name {
			case "":
				return nil, problem.New(problem.ClusterNode, "node", from.ID, "members", "x")
			case "crash":
				return nil, errors.New("disk on fire")
			}
			return "hello " + name + " of " + from.ID, nil
		})
		n.HandleCall("hang", func(ctx context.Context, _ Hello, in json.RawMessage) (any, error) {
			if string(in) == `"signal"` {
				close(hangs)
			}
			<-ctx.Done()
			return nil, ctx.Err()
		})
	})
	for _, tt := range []struct{ name, method, in, want, err string }{
		{"answer", "greet", "Ada", "hello Ada of a", ""},
		{"problem", "greet", "", "", "a is no member; the members are x"},
		{"error", "greet", "crash", "", "disk on fire"},
		{"unknown", "dance", "", "", "no such call"},
		{"large", "greet", strings.Repeat("x", 1<<20), "hello " + strings.Repeat("x", 1<<20) + " of a", ""},
		{"too large", "greet", strings.Repeat("x", maxCall), "", "malformed frame"},
		{"answer again", "greet", "Ada", "hello Ada of a", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			err := a.Call(t.Context(), b.addr, tt.method, tt.in, &got)
			if got != tt.want || (err == nil) != (tt.err == "") || err != nil && !strings.Contains(err.Error(), tt.err) {
				t.Errorf("Call = %.80q, %v; want %.80q, %q", got, err, tt.want, tt.err)
			}
		})
	}
	t.Run("deadline", func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := a.Call(ctx, b.addr, "hang", nil, nil)
		if !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Call = %v; want DeadlineExceeded", err)
		}
	})
	t.Run("dropped by the other side while idle", func(t *testing.T) {
		var got string
		if err := a.Call(t.Context(), b.addr, "greet", "Ada", &got); err != nil {
			t.Fatal(err)
		}
		for _, c := range b.open() {
			c.abort()
		}
		if err := a.Call(t.Context(), b.addr, "greet", "Bob", &got); err != nil || got != "hello Bob of a" {
			t.Errorf("Call = %q, %v; want an answer", got, err)
		}
	})
	t.Run("process ends meanwhile", func(t *testing.T) {
		go func() {
			<-hangs
			b.listener.Close()
			for _, c := range b.open() {
				c.abort()
			}
		}()
		if err := a.Call(t.Context(), b.addr, "hang", "signal", nil); !errors.Is(err, ErrOutcome) {
			t.Errorf("Call = %v; want ErrOutcome", err)
		}
		if err := a.Call(t.Context(), b.addr, "hang", nil, nil); problem.CodeOf(err) != problem.ClusterRoute || !Refused(err) {
			t.Errorf("Call = %v; want ClusterRoute, refused", err)
		}
	})
}

func TestHandle(t *testing.T) {
	a := newNode(t, "a", nil)
	b := newNode(t, "b", func(n *node) {
		n.Handle("echo", func(_ context.Context, c net.Conn, from Hello) {
			io.WriteString(c, from.ID+":")
			io.Copy(c, c)
		})
	})
	c, err := a.Dial(t.Context(), b.addr, "echo")
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := io.WriteString(c, "hi"); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 4)
	if _, err := io.ReadFull(c, buf); err != nil || string(buf) != "a:hi" {
		t.Errorf("echo = %q, %v; want a:hi", buf, err)
	}
	if _, err := a.Dial(t.Context(), b.addr, "dance"); err == nil || !strings.Contains(err.Error(), "no such kind") {
		t.Errorf("Dial of an unknown kind = %v; want a refusal", err)
	}
	b.stop()
	if _, err := c.Read(buf); err != io.EOF {
		t.Errorf("Read after the end of Run = %v; want EOF", err)
	}
}

func TestPing(t *testing.T) {
	a, b := newNode(t, "a", nil), newNode(t, "b", nil)
	a.SetMembers([]Member{{"b", b.addr}})
	b.SetMembers([]Member{{"a", a.addr}})
	await(t, "a reaches b", a.reaches("b"))
	await(t, "b reaches a", b.reaches("a"))
	await(t, "a round trip", func() bool { return a.Peers()["b"].RTT > 0 })
	s := a.Peers()["b"]
	if s.Clock.Abs() > time.Second || s.Version != "1.0" || s.Err != nil || time.Since(a.Hears("b")) > 10*time.Second {
		t.Errorf("state = %+v; want b's", s)
	}
	b.stop()
	await(t, "b refuses", func() bool { return a.Peers()["b"].Refused })
	if s := a.Peers()["b"]; s.Reachable || !Refused(s.Err) {
		t.Errorf("state = %+v; want unreachable", s)
	}
}
