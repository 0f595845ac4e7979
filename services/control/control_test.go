package control

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"testing"

	"parley/services/problem"
)

type greeting struct{ Name string }

// serve runs a server until the test ends and returns when it accepts.
func serve(t *testing.T, allow, readOnly func(uint32) bool) (socket string) {
	t.Helper()
	mux := http.NewServeMux()
	Handle(mux, "test", "POST /greet", func(_ context.Context, in greeting) (string, error) {
		switch in.Name {
		case "":
			return "", problem.New(problem.NotReachable, "service", "nobody")
		case "crash":
			return "", errors.New("disk on fire")
		}
		return "hello " + in.Name, nil
	})
	Handle(mux, "test", "GET /weather", func(context.Context, struct{}) (string, error) { return "fine", nil })
	socket = filepath.Join(t.TempDir(), "s.sock")
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error)
	s := &Server{Path: socket, Handler: mux, Group: -1, Allow: allow, ReadOnly: readOnly, Log: slog.New(slog.DiscardHandler)}
	go func() { done <- s.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	})
	for {
		if fi, err := os.Stat(socket); err == nil && fi.Mode().Perm() == 0o660 {
			return socket
		}
	}
}

func TestCall(t *testing.T) {
	c := NewClient("test", serve(t, nil, nil))
	for _, tt := range []struct {
		name, in, want string
		code           problem.Code
	}{
		{"answer", "Ada", "hello Ada", ""},
		{"problem of the service", "", "", problem.NotReachable},
		{"other error", "crash", "", problem.Internal},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var got string
			err := c.Call(t.Context(), "POST", "/greet", greeting{tt.in}, &got)
			if got != tt.want || problem.CodeOf(err) != tt.code {
				t.Errorf("Call(%q) = %q, %v; want %q, %q", tt.in, got, err, tt.want, tt.code)
			}
		})
	}
}

func TestCallOfNobody(t *testing.T) {
	c := NewClient("xmpp", filepath.Join(t.TempDir(), "absent.sock"))
	if err := c.Call(t.Context(), "GET", "/", nil, nil); problem.CodeOf(err) != problem.NotReachable {
		t.Errorf("Call = %v; want NotReachable", err)
	}
}

func TestForeignUIDIsRefused(t *testing.T) {
	c := NewClient("test", serve(t, anyoneElse, nil))
	if err := c.Call(t.Context(), "POST", "/greet", greeting{"Eve"}, nil); err == nil {
		t.Error("Call by a refused uid = nil; want an error")
	}
}

// anyoneElse lets in whoever is not this process.
func anyoneElse(uid uint32) bool { return uid != uint32(os.Getuid()) }

func TestReadOnlyUIDChangesNothing(t *testing.T) {
	c := NewClient("test", serve(t, anyoneElse, func(uid uint32) bool { return uid == uint32(os.Getuid()) }))
	var got string
	if err := c.Call(t.Context(), "GET", "/weather", nil, &got); err != nil || got != "fine" {
		t.Errorf("GET = %q, %v; want fine", got, err)
	}
	if err := c.Call(t.Context(), "POST", "/greet", greeting{"Eve"}, &got); err == nil {
		t.Errorf("POST = %q; want an error", got)
	}
}
