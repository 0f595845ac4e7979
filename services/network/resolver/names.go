package resolver

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"time"

	"github.com/miekg/dns"
)

// Names is a resolver for programs in this process that dial by name: it finds
// what r does, after the host's own file of names. begun is waited for before a
// question is answered.
func (r *Resolver) Names(begun <-chan struct{}) *net.Resolver {
	s := &Server{r: r, seat: make(chan struct{}, maxAsking)}
	return &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		select {
		case <-begun:
			return &inside{ctx: ctx, server: s}, nil
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}}
}

// inside is a connection to a server in this process. A question that is written
// to it is answered, by who reads, within the context of the dialler. It is for
// one goroutine.
type inside struct {
	ctx              context.Context
	server           *Server
	question, answer bytes.Buffer
}

// Write implements net.Conn.
func (c *inside) Write(b []byte) (int, error) { return c.question.Write(b) }

// Read implements net.Conn.
func (c *inside) Read(b []byte) (int, error) {
	if c.answer.Len() == 0 {
		if err := c.exchange(); err != nil {
			return 0, err
		}
	}
	return c.answer.Read(b)
}

// exchange answers the question that was written, both with their length in
// front as DNS over TCP has it.
func (c *inside) exchange() error {
	head := c.question.Next(2)
	if len(head) < 2 {
		return io.EOF
	}
	var q dns.Msg
	if err := q.Unpack(c.question.Next(int(binary.BigEndian.Uint16(head)))); err != nil {
		return err
	}
	out, err := c.server.reply(c.ctx, c.RemoteAddr(), &q).Pack()
	if err != nil {
		return err
	}
	c.answer.Write(binary.BigEndian.AppendUint16(nil, uint16(len(out))))
	c.answer.Write(out)
	return nil
}

// Close implements net.Conn.
func (c *inside) Close() error { return nil }

// LocalAddr implements net.Conn.
func (c *inside) LocalAddr() net.Addr { return &net.TCPAddr{} }

// RemoteAddr implements net.Conn.
func (c *inside) RemoteAddr() net.Addr { return &net.TCPAddr{} }

// SetDeadline implements net.Conn: the dialler's context has it.
func (c *inside) SetDeadline(time.Time) error { return nil }

// SetReadDeadline implements net.Conn.
func (c *inside) SetReadDeadline(time.Time) error { return nil }

// SetWriteDeadline implements net.Conn.
func (c *inside) SetWriteDeadline(time.Time) error { return nil }
