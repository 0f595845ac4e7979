package mmp

import (
	"bytes"
	"context"
	"io"
	"time"
)

const ctrlC = 3

// input reads a terminal's bytes for whoever wants them now: the line editor,
// or, while a command runs, the watch for Ctrl-C. It reads only on demand, so
// that nothing is taken from a terminal that the next session should get. It
// is for one goroutine at a time.
type input struct {
	r       io.Reader
	chunks  chan chunk
	reading bool
	buf     []byte
	err     error
}

type chunk struct {
	data []byte
	err  error
}

func newInput(r io.Reader) *input { return &input{r: r, chunks: make(chan chunk, 1)} }

// more returns the channel on which the next bytes arrive; take must be given
// what is received. At most one Read is under way, and it may outlive the
// caller that asked for it: its bytes are then the next caller's.
func (in *input) more() <-chan chunk {
	if !in.reading {
		in.reading = true
		go func() {
			b := make([]byte, 1024)
			n, err := in.r.Read(b)
			in.chunks <- chunk{b[:n], err}
		}()
	}
	return in.chunks
}

func (in *input) take(c chunk) {
	in.reading = false
	in.buf = append(in.buf, c.data...)
	in.err = c.err
}

// next returns the next byte. resized is called whenever resize fires; both
// may be nil.
func (in *input) next(ctx context.Context, resize <-chan struct{}, resized func()) (byte, error) {
	for len(in.buf) == 0 {
		if in.err != nil {
			return 0, in.err
		}
		select {
		case <-ctx.Done():
			return 0, ctx.Err()
		case c := <-in.more():
			in.take(c)
		case _, ok := <-resize:
			if !ok {
				resize = nil
				continue
			}
			if resized != nil {
				resized()
			}
		}
	}
	b := in.buf[0]
	in.buf = in.buf[1:]
	return b, nil
}

// watch runs f and cancels its context at Ctrl-C or when the terminal is gone.
// What else is typed meanwhile is kept for the next reader.
func (in *input) watch(ctx context.Context, f func(context.Context)) (interrupted bool) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f(ctx)
	}()
	more := in.more
	if in.err != nil {
		cancel()
		more = func() <-chan chunk { return nil }
	}
	for {
		select {
		case <-done:
			return interrupted
		case c := <-more():
			in.take(c)
			if i := bytes.LastIndexByte(in.buf, ctrlC); i >= 0 {
				in.buf = in.buf[i+1:]
				interrupted = true
				cancel()
			}
			if in.err != nil {
				cancel()
				more = func() <-chan chunk { return nil }
			}
		}
	}
}

// close waits for a Read that is under way, having ended it where the terminal
// can: by a deadline or by being closed. A terminal that can do neither keeps
// its reader until its owner closes it.
func (in *input) close() {
	if !in.reading {
		return
	}
	switch r := in.r.(type) {
	case interface{ SetReadDeadline(time.Time) error }:
		if r.SetReadDeadline(time.Unix(1, 0)) != nil {
			return
		}
		in.take(<-in.chunks)
		_ = r.SetReadDeadline(time.Time{})
	case io.Closer:
		r.Close()
		in.take(<-in.chunks)
	}
}
