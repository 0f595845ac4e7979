package qemu

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"sync"
	"time"
)

// DefaultExpect bounds an Expect whose context has no deadline.
const DefaultExpect = time.Minute

// Console is one serial port of a VM. Output is kept until an Expect consumes
// it, so nothing is missed between two calls.
type Console struct {
	conn io.ReadWriteCloser
	log  io.WriteCloser
	read chan struct{} // closed when the reader has ended

	mu      sync.Mutex
	pending []byte        // not yet consumed
	last    tail          // for error messages, consumed or not
	changed chan struct{} // closed and replaced at each change
	ended   bool
}

// NewConsole is a console over any connection to a terminal, which it owns until
// Close. Output is copied to the file log unless that is empty.
func NewConsole(conn io.ReadWriteCloser, log string) (*Console, error) {
	c := &Console{conn: conn, changed: make(chan struct{}), read: make(chan struct{})}
	if log != "" {
		f, err := os.OpenFile(log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o644)
		if err != nil {
			conn.Close()
			return nil, fmt.Errorf("console log: %w", err)
		}
		c.log = f
	}
	go c.readAll()
	return c, nil
}

// readAll ends when QEMU closes its side, which it does at its end.
func (c *Console) readAll() {
	defer close(c.read)
	buf := make([]byte, 4096)
	for {
		n, err := c.conn.Read(buf)
		c.mu.Lock()
		c.pending = append(c.pending, buf[:n]...)
		_, _ = c.last.Write(buf[:n])
		if c.log != nil {
			_, _ = c.log.Write(buf[:n])
		}
		c.ended = err != nil
		close(c.changed)
		c.changed = make(chan struct{})
		c.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// Close ends the connection.
func (c *Console) Close() {
	c.conn.Close()
	<-c.read
	if c.log != nil {
		c.log.Close()
	}
}

// Send types text as it is; "\r" is the Enter key.
func (c *Console) Send(text string) error {
	if _, err := io.WriteString(c.conn, text); err != nil {
		return fmt.Errorf("type on the console: %w", errors.Join(ErrStopped, err))
	}
	return nil
}

// SendLine types text and the Enter key.
func (c *Console) SendLine(text string) error { return c.Send(text + "\r") }

// Expect waits for the first of the texts to appear and consumes the output up
// to its end. It returns what it consumed and which text it was.
func (c *Console) Expect(ctx context.Context, texts ...string) (output string, which int, err error) {
	output, err = c.wait(ctx, fmt.Sprintf("%q", texts), func(pending string) int {
		end := -1
		for i, text := range texts {
			at := strings.Index(pending, text)
			if at >= 0 && (end < 0 || at+len(text) < end) {
				end, which = at+len(text), i
			}
		}
		return end
	})
	return output, which, err
}

// ExpectMatch waits for a match of re and consumes the output up to its end. It
// returns the match and its groups.
func (c *Console) ExpectMatch(ctx context.Context, re *regexp.Regexp) ([]string, error) {
	var match []string
	_, err := c.wait(ctx, re.String(), func(pending string) int {
		at := re.FindStringIndex(pending)
		if at == nil {
			return -1
		}
		match = re.FindStringSubmatch(pending)
		return at[1]
	})
	return match, err
}

// wait consumes output up to the offset that find returns, once that is not
// negative.
func (c *Console) wait(ctx context.Context, what string, find func(string) int) (string, error) {
	if _, ok := ctx.Deadline(); !ok {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, DefaultExpect)
		defer cancel()
	}
	for {
		c.mu.Lock()
		if end := find(string(c.pending)); end >= 0 {
			output := string(c.pending[:end])
			c.pending = c.pending[end:]
			c.mu.Unlock()
			return output, nil
		}
		changed, ended, last := c.changed, c.ended, c.last.String()
		c.mu.Unlock()
		if ended {
			return "", fmt.Errorf("wait for %s: %w; the console's last output:\n%s", what, ErrStopped, last)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return "", fmt.Errorf("wait for %s: %w; the console's last output:\n%s", what, ctx.Err(), last)
		}
	}
}

// tail keeps the end of what is written to it.
type tail struct {
	mu   sync.Mutex
	data []byte
}

const tailSize = 4096

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.data = append(t.data, p...)
	if over := len(t.data) - tailSize; over > 0 {
		t.data = append(t.data[:0], t.data[over:]...)
	}
	return len(p), nil
}

func (t *tail) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return string(t.data)
}
