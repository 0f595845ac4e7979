package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"

	"github.com/hashicorp/raft"
	"golang.org/x/sys/unix"

	"parley/services/durable"
)

// Raft's keys.
const (
	raftTerm     = "CurrentTerm"
	raftVoteTerm = "LastVoteTerm"
	raftVote     = "LastVoteCand"
)

// The file is two blocks, written in turn, so that a write that is torn leaves
// the one before, which is what was last promised. All numbers are
// little-endian:
//
//	magic     8
//	count     8  of writes; the block with the higher one holds
//	term      8  Raft's current one
//	vote term 8  of the last vote given
//	node      2  length of the node's identity
//	vote      2  length of the candidate's address
//	node, vote
//	checksum  4  CRC-32C of all before
const (
	stableBlock = 4096
	stableHead  = 36
	stableMagic = "parley-1"
)

// promises are what a node has to remember whatever happens to it: who it is,
// the term, and for whom it voted in which.
type promises struct {
	count          uint64
	term, voteTerm uint64
	node, vote     string
}

func (p promises) encode() ([]byte, error) {
	le := binary.LittleEndian
	b := append(make([]byte, 0, stableBlock), stableMagic...)
	for _, n := range []uint64{p.count, p.term, p.voteTerm} {
		b = le.AppendUint64(b, n)
	}
	b = le.AppendUint16(le.AppendUint16(b, uint16(len(p.node))), uint16(len(p.vote)))
	b = append(append(b, p.node...), p.vote...)
	if len(b)+4 > stableBlock {
		return nil, fmt.Errorf("%w: identity and vote of %d bytes", ErrTooLarge, len(b))
	}
	return le.AppendUint32(b, crc32.Checksum(b, castagnoli)), nil
}

func decodePromises(b []byte) (p promises, ok bool) {
	le := binary.LittleEndian
	if len(b) < stableHead || string(b[:8]) != stableMagic {
		return p, false
	}
	node, vote := int(le.Uint16(b[32:])), int(le.Uint16(b[34:]))
	end := stableHead + node + vote
	if len(b) < end+4 || crc32.Checksum(b[:end], castagnoli) != le.Uint32(b[end:]) {
		return p, false
	}
	return promises{
		count: le.Uint64(b[8:]), term: le.Uint64(b[16:]), voteTerm: le.Uint64(b[24:]),
		node: string(b[stableHead : stableHead+node]), vote: string(b[stableHead+node : end]),
	}, true
}

// stable is Raft's StableStore: each promise is one write and one fdatasync of
// a file whose blocks exist, so that a vote does not wait for more, nor ever
// for room. It may be used from any goroutine.
type stable struct {
	noSync bool

	mu sync.Mutex
	f  *os.File
	// is what the disk has.
	is promises
	// voteTerm is what Raft has set and not yet the candidate for; it sets
	// one after the other, and they are one promise.
	voteTerm uint64
}

// createStable makes the file of a new node.
func createStable(path, node string) error {
	b, err := promises{count: 1, node: node}.encode()
	if err != nil {
		return err
	}
	// The other block is there, and void.
	return durable.WriteFile(path, append(b, make([]byte, 2*stableBlock-len(b))...), 0o600)
}

// openStable reads the file.
func openStable(path string, noSync bool) (*stable, error) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	s := &stable{f: f, noSync: noSync}
	b := make([]byte, 2*stableBlock)
	if _, err = f.ReadAt(b, 0); err == nil {
		one, first := decodePromises(b[:stableBlock])
		two, second := decodePromises(b[stableBlock:])
		switch {
		case !first && !second:
			err = errors.New("neither of its blocks is whole")
		case first && (!second || one.count > two.count):
			s.is = one
		default:
			s.is = two
		}
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("read %s: %w", filepath.Base(path), err)
	}
	s.voteTerm = s.is.voteTerm
	return s, nil
}

// promise writes what change makes of the last promises. Caller holds mu.
func (s *stable) promise(change func(*promises)) error {
	p := s.is
	change(&p)
	if p == s.is {
		return nil
	}
	p.count++
	b, err := p.encode()
	if err != nil {
		return err
	}
	// The first write was block 0's.
	if _, err := s.f.WriteAt(b, int64((p.count+1)%2)*stableBlock); err != nil {
		return fmt.Errorf("write %s: %w", filepath.Base(s.f.Name()), err)
	}
	for !s.noSync {
		if err := unix.Fdatasync(int(s.f.Fd())); err == nil {
			break
		} else if !errors.Is(err, unix.EINTR) {
			return fmt.Errorf("sync %s: %w", filepath.Base(s.f.Name()), err)
		}
	}
	s.is = p
	return nil
}

// setNode gives the node another identity.
func (s *stable) setNode(id string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.promise(func(p *promises) { p.node = id })
}

func (s *stable) node() raft.ServerID {
	s.mu.Lock()
	defer s.mu.Unlock()
	return raft.ServerID(s.is.node)
}

// Set implements raft.StableStore.
func (s *stable) Set(k, v []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(k) != raftVote {
		return fmt.Errorf("set %s: %w", k, errors.ErrUnsupported)
	}
	return s.promise(func(p *promises) { p.voteTerm, p.vote = s.voteTerm, string(v) })
}

// Get implements raft.StableStore.
func (s *stable) Get(k []byte) ([]byte, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if string(k) != raftVote {
		return nil, fmt.Errorf("get %s: %w", k, errors.ErrUnsupported)
	}
	return []byte(s.is.vote), nil
}

// SetUint64 implements raft.StableStore.
func (s *stable) SetUint64(k []byte, v uint64) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch string(k) {
	case raftTerm:
		return s.promise(func(p *promises) { p.term = v })
	case raftVoteTerm:
		s.voteTerm = v
		return nil
	}
	return fmt.Errorf("set %s: %w", k, errors.ErrUnsupported)
}

// GetUint64 implements raft.StableStore.
func (s *stable) GetUint64(k []byte) (uint64, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch string(k) {
	case raftTerm:
		return s.is.term, nil
	case raftVoteTerm:
		return s.is.voteTerm, nil
	}
	return 0, fmt.Errorf("get %s: %w", k, errors.ErrUnsupported)
}

// Close closes the file.
func (s *stable) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.f.Close()
}
