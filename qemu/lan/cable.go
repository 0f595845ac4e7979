package lan

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"os"
)

// cable carries Ethernet frames, without checksum, to and from what is
// attached. read and write are each for one goroutine.
type cable interface {
	// read returns a frame that the caller may keep.
	read() ([]byte, error)
	write(frame []byte) error
	close() error
}

// maxFrame is the longest that QEMU sends: a segment not yet cut.
const maxFrame = 4096 + 65536

// socketCable is QEMU's "-netdev stream": before each frame its length in four
// bytes.
type socketCable struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

func newSocketCable(conn net.Conn) *socketCable {
	return &socketCable{conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}
}

func (c *socketCable) read() ([]byte, error) { return readFrame(c.in) }

func readFrame(r io.Reader) ([]byte, error) {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return nil, err
	}
	n := binary.BigEndian.Uint32(head[:])
	if n > maxFrame {
		return nil, fmt.Errorf("a frame of %d bytes", n)
	}
	frame := make([]byte, n)
	if _, err := io.ReadFull(r, frame); err != nil {
		return nil, err
	}
	return frame, nil
}

func (c *socketCable) write(frame []byte) error {
	c.out = appendFrame(c.out[:0], frame)
	_, err := c.conn.Write(c.out)
	return err
}

func appendFrame(out, frame []byte) []byte {
	out = binary.BigEndian.AppendUint32(out, uint32(len(frame)))
	return append(out, frame...)
}

func (c *socketCable) close() error { return c.conn.Close() }

// tapCable is the kernel's end of a network card of ours: a frame a read.
type tapCable struct{ file *os.File }

func (c *tapCable) read() ([]byte, error) {
	frame := make([]byte, 2048)
	n, err := c.file.Read(frame)
	return frame[:n], err
}

func (c *tapCable) write(frame []byte) error {
	// The kernel refuses frames while the card is down: like a cable that
	// nobody listens on.
	_, _ = c.file.Write(frame)
	return nil
}

func (c *tapCable) close() error { return c.file.Close() }
