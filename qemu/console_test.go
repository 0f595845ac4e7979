package qemu

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

// testConsole returns a console and the guest's end of it.
func testConsole(t *testing.T, log string) (*Console, net.Conn) {
	t.Helper()
	guest, host := net.Pipe()
	c, err := NewConsole(host, log)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		guest.Close()
		c.Close()
	})
	return c, guest
}

func TestExpectConsumesInOrder(t *testing.T) {
	log := filepath.Join(t.TempDir(), "console.log")
	c, guest := testConsole(t, log)
	go func() {
		for _, part := range []string{"boot\r\nparley lo", "gin: ", "Password: ", "Address: 10.0.2.15\r\n"} {
			_, _ = io.WriteString(guest, part)
		}
	}()
	ctx := t.Context()
	if out, which, err := c.Expect(ctx, "nothing", "login: "); err != nil || which != 1 || out != "boot\r\nparley login: " {
		t.Fatalf("Expect = %q, %d, %v; want all up to the second text", out, which, err)
	}
	// Of two texts that are there, the one that ends first.
	if out, which, err := c.Expect(ctx, "Address", "word: "); err != nil || which != 1 || out != "Password: " {
		t.Fatalf("Expect = %q, %d, %v; want the prompt", out, which, err)
	}
	match, err := c.ExpectMatch(ctx, regexp.MustCompile(`Address: ([0-9.]+)\r`))
	if err != nil || len(match) != 2 || match[1] != "10.0.2.15" {
		t.Fatalf("ExpectMatch = %q, %v; want the address", match, err)
	}
	data, err := os.ReadFile(log)
	if err != nil || !strings.HasSuffix(string(data), "10.0.2.15\r\n") {
		t.Errorf("log = %q, %v; want all of the output", data, err)
	}
}

func TestExpectEndsWithItsContext(t *testing.T) {
	c, guest := testConsole(t, "")
	if _, err := io.WriteString(guest, "Kernel panic"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	_, _, err := c.Expect(ctx, "login: ")
	if !errors.Is(err, context.DeadlineExceeded) || !strings.Contains(err.Error(), "Kernel panic") {
		t.Errorf("Expect = %v; want a timeout that shows the console", err)
	}
}

func TestExpectEndsWithTheMachine(t *testing.T) {
	c, guest := testConsole(t, "")
	go func() {
		_, _ = io.WriteString(guest, "last words")
		guest.Close()
	}()
	_, _, err := c.Expect(t.Context(), "login: ")
	if !errors.Is(err, ErrStopped) || !strings.Contains(err.Error(), "last words") {
		t.Errorf("Expect = %v; want %v with the last words", err, ErrStopped)
	}
}

func TestSend(t *testing.T) {
	c, guest := testConsole(t, "")
	sent := make(chan error, 1)
	go func() { sent <- c.SendLine("version") }()
	buf := make([]byte, 64)
	n, err := io.ReadAtLeast(guest, buf, len("version\r"))
	if err != nil || string(buf[:n]) != "version\r" {
		t.Errorf("guest read %q, %v; want the line and a carriage return", buf[:n], err)
	}
	if err := <-sent; err != nil {
		t.Errorf("SendLine = %v", err)
	}
	guest.Close()
	if err := c.Send("x"); !errors.Is(err, ErrStopped) {
		t.Errorf("Send to a machine that is gone = %v; want %v", err, ErrStopped)
	}
}

func TestTailKeepsTheEnd(t *testing.T) {
	var l tail
	for range 3 {
		if _, err := l.Write([]byte(strings.Repeat("x", tailSize-1) + "y")); err != nil {
			t.Fatal(err)
		}
	}
	if got := l.String(); len(got) != tailSize || !strings.HasSuffix(got, "xy") {
		t.Errorf("tail has %d bytes; want the last %d", len(got), tailSize)
	}
}
