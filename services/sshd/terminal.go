package sshd

import (
	"bytes"
	"context"
	"io"
	"sync"

	"github.com/gliderlabs/ssh"

	"parley/mmp"
)

// terminal is a session with a pty.
type terminal struct {
	ssh.Session
	resized chan struct{}
	// tasks are the goroutines of the terminal; they end with the channel.
	tasks sync.WaitGroup

	mu            sync.Mutex
	width, height int
}

var _ mmp.Terminal = (*terminal)(nil)

// newTerminal starts to follow the window's size, which somebody must do: the
// library handles no further request of the session until it was taken.
func newTerminal(sess ssh.Session, first ssh.Window, sizes <-chan ssh.Window) *terminal {
	t := &terminal{Session: sess, resized: make(chan struct{}, 1), width: first.Width, height: first.Height}
	t.tasks.Go(func() {
		for w := range sizes {
			t.mu.Lock()
			t.width, t.height = w.Width, w.Height
			t.mu.Unlock()
			select {
			case t.resized <- struct{}{}:
			default:
			}
		}
	})
	return t
}

// Size is in columns and rows.
func (t *terminal) Size() (width, height int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.width, t.height
}

func (t *terminal) Resized() <-chan struct{} { return t.resized }

// Close ends the session, and with it a Read that is under way.
func (t *terminal) Close() error { return t.Exit(0) }

// wait ends the session, if it has not ended, and waits for the terminal's
// goroutines.
func (t *terminal) wait() {
	exit(t.Session, 0)
	t.tasks.Wait()
}

const ctrlC = 3

// cooked is the terminal's input as a program expects it that knows nothing of
// terminals: Enter ends lines, and Ctrl-C ends the context and the input.
func (t *terminal) cooked(ctx context.Context) (context.Context, io.ReadCloser) {
	ctx, cancel := context.WithCancel(ctx)
	in, feed := io.Pipe()
	t.tasks.Go(func() {
		defer cancel()
		b := make([]byte, 1024)
		for {
			n, err := t.Read(b)
			data := bytes.ReplaceAll(b[:n], []byte{'\r'}, []byte{'\n'})
			if i := bytes.IndexByte(data, ctrlC); i >= 0 {
				data, err = data[:i], io.EOF
				cancel()
			}
			// An error is that of a reader who is done.
			_, _ = feed.Write(data)
			if err != nil {
				feed.CloseWithError(err)
				return
			}
		}
	})
	return ctx, in
}
