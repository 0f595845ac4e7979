package lan

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"os"
	"time"
)

// capture is a pcap file, as Wireshark reads it.
type capture struct {
	file *os.File
	out  *bufio.Writer
}

// Capture writes all frames that come to the switch, those that a fault drops
// included, to a new file until Close.
func (s *Switch) Capture(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("capture: %w", err)
	}
	c := &capture{f, bufio.NewWriterSize(f, 256<<10)}
	const ethernet = 1
	head := binary.LittleEndian.AppendUint32(nil, 0xa1b2c3d4)
	head = binary.LittleEndian.AppendUint16(head, 2)
	head = binary.LittleEndian.AppendUint16(head, 4)
	head = append(head, make([]byte, 8)...)
	head = binary.LittleEndian.AppendUint32(head, maxFrame)
	head = binary.LittleEndian.AppendUint32(head, ethernet)
	_, _ = c.out.Write(head) // the writer keeps an error for its Flush
	s.mu.Lock()
	defer s.mu.Unlock()
	s.capture = c
	s.closers = append(s.closers, func() error {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.capture = nil
		return c.close()
	})
	return nil
}

func (c *capture) add(frame []byte, at time.Time) {
	head := binary.LittleEndian.AppendUint32(nil, uint32(at.Unix()))
	head = binary.LittleEndian.AppendUint32(head, uint32(at.Nanosecond()/1000))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(frame)))
	head = binary.LittleEndian.AppendUint32(head, uint32(len(frame)))
	_, _ = c.out.Write(head)
	_, _ = c.out.Write(frame)
}

func (c *capture) close() error {
	err := c.out.Flush()
	if e := c.file.Close(); err == nil {
		err = e
	}
	return err
}
