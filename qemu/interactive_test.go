package qemu

import (
	"strings"
	"testing"
	"time"

	"github.com/creack/pty"
)

func TestRunEndsWithItsTerminal(t *testing.T) {
	screen, terminal, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	defer terminal.Close()
	ended := make(chan error, 1)
	go func() { ended <- Run(t.Context(), Config{}, terminal, terminal, terminal) }()
	// Ctrl-A C asks for QEMU's monitor, whose prompt shows that it runs.
	if _, err := screen.WriteString("\x01c"); err != nil {
		t.Fatal(err)
	}
	shown := new(tail)
	for buf := make([]byte, 256); !strings.Contains(shown.String(), "(qemu)"); {
		n, err := screen.Read(buf)
		if err != nil {
			t.Fatalf("read the terminal: %v after %q", err, shown)
		}
		_, _ = shown.Write(buf[:n])
	}
	screen.Close()
	select {
	case err := <-ended:
		if err != nil {
			t.Errorf("Run = %v; want nil", err)
		}
	case <-time.After(20 * time.Second):
		t.Error("Run goes on without its terminal")
	}
}
