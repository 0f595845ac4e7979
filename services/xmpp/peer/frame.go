package peer

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

const (
	// maxOpening bounds the frames of openings and pings.
	maxOpening = 8 << 10
	// maxCall bounds the frames of calls: an import of ten thousand accounts
	// is below 1 MiB.
	maxCall = 16 << 20
)

// errFrame is a frame that no node of ours sends.
var errFrame = errors.New("malformed frame")

// writeFrame sends v with one Write.
func writeFrame(w io.Writer, limit int, v any) error {
	buf := bytes.NewBuffer(make([]byte, 4, 512))
	if err := json.NewEncoder(buf).Encode(v); err != nil {
		return fmt.Errorf("encode frame: %w", err)
	}
	b := buf.Bytes()
	if len(b)-4 > limit {
		return fmt.Errorf("frame of %d bytes: %w", len(b)-4, errFrame)
	}
	binary.BigEndian.PutUint32(b, uint32(len(b)-4))
	_, err := w.Write(b)
	return err
}

// readFrame reads a frame of up to limit bytes into v, and not a byte more. A
// length that is only claimed costs nothing: memory grows with what arrives.
// io.EOF is an end between frames.
func readFrame(r io.Reader, limit int, v any) error {
	var head [4]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	n := binary.BigEndian.Uint32(head[:])
	if uint64(n) > uint64(limit) {
		return fmt.Errorf("frame of %d bytes: %w", n, errFrame)
	}
	var body bytes.Buffer
	if _, err := io.CopyN(&body, r, int64(n)); err != nil {
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
	if err := json.Unmarshal(body.Bytes(), v); err != nil {
		return fmt.Errorf("%w: %w", errFrame, err)
	}
	return nil
}
