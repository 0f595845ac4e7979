package store

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// newStable returns one that has promised term 7 and a vote in it, and its path.
func newStable(t *testing.T) (*stable, string) {
	t.Helper()
	path := filepath.Join(t.TempDir(), fileStable)
	if err := createStable(path, "node"); err != nil {
		t.Fatal(err)
	}
	s, err := openStable(path, true)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	vote(t, s, 7, "ada:5222")
	return s, path
}

// vote promises as Raft does.
func vote(t *testing.T, s *stable, term uint64, to string) {
	t.Helper()
	for _, err := range []error{
		s.SetUint64([]byte(raftTerm), term), s.SetUint64([]byte(raftVoteTerm), term), s.Set([]byte(raftVote), []byte(to)),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
}

// promised is what a node that starts on the file knows.
func promised(t *testing.T, path string) promises {
	t.Helper()
	s, err := openStable(path, true)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if s.node() != "node" {
		t.Errorf("node = %q; want node", s.node())
	}
	p := s.is
	p.count = 0
	return p
}

func TestStableRemembers(t *testing.T) {
	s, path := newStable(t)
	if got, want := promised(t, path), (promises{term: 7, voteTerm: 7, node: "node", vote: "ada:5222"}); got != want {
		t.Errorf("promised = %+v; want %+v", got, want)
	}
	vote(t, s, 8, "")
	if err := s.SetUint64([]byte(raftTerm), 9); err != nil {
		t.Fatal(err)
	}
	if got, want := promised(t, path), (promises{term: 9, voteTerm: 8, node: "node"}); got != want {
		t.Errorf("promised = %+v; want %+v", got, want)
	}
}

// The term of a vote is promised with the vote, or a node that ends in between
// would have given the earlier one again.
func TestStableVotesWhole(t *testing.T) {
	s, path := newStable(t)
	if err := s.SetUint64([]byte(raftVoteTerm), 8); err != nil {
		t.Fatal(err)
	}
	if got := promised(t, path); got.voteTerm != 7 || got.vote != "ada:5222" {
		t.Errorf("promised = %+v; want the vote of term 7", got)
	}
	if v, err := s.GetUint64([]byte(raftVoteTerm)); v != 7 || err != nil {
		t.Errorf("GetUint64(%s) = %d, %v; want 7", raftVoteTerm, v, err)
	}
}

// A write that is torn leaves what was promised before it.
func TestStableTorn(t *testing.T) {
	s, path := newStable(t)
	before, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	old := promised(t, path)
	if err := s.Set([]byte(raftVote), []byte("bob:5222")); err != nil {
		t.Fatal(err)
	}
	after, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	next := promised(t, path)
	torn := append([]byte{}, before...)
	for i := range after {
		if before[i] == after[i] {
			continue
		}
		torn[i] = after[i]
		if err := os.WriteFile(path, torn, 0o600); err != nil {
			t.Fatal(err)
		}
		if got := promised(t, path); got != old && (got != next || string(torn) != string(after)) {
			t.Fatalf("promised after a write up to byte %d = %+v; want %+v", i, got, old)
		}
	}
	if got := promised(t, path); got != next {
		t.Errorf("promised after the whole write = %+v; want %+v", got, next)
	}
}

func TestStableDamaged(t *testing.T) {
	for _, tt := range []struct {
		name   string
		damage func(b []byte) []byte
	}{
		{"empty", func([]byte) []byte { return nil }},
		{"cut short", func(b []byte) []byte { return b[:stableBlock] }},
		{"both blocks", func(b []byte) []byte { b[30]++; b[stableBlock+30]++; return b }},
		{"of text", func([]byte) []byte { return []byte(strings.Repeat("text ", 9999)) }},
		{"lengths beyond the block", func(b []byte) []byte { b[33], b[stableBlock+33] = 0xff, 0xff; return b }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, path := newStable(t)
			b, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, tt.damage(b), 0o600); err != nil {
				t.Fatal(err)
			}
			if s, err := openStable(path, true); err == nil {
				t.Errorf("openStable = %+v; want an error", s.is)
				s.Close()
			}
		})
	}
}

func TestStableTooLarge(t *testing.T) {
	s, path := newStable(t)
	if err := s.Set([]byte(raftVote), make([]byte, stableBlock)); err == nil {
		t.Error("Set of a vote of 4096 bytes = nil; want an error")
	}
	if got := promised(t, path); got.vote != "ada:5222" {
		t.Errorf("promised = %+v; want the vote of before", got)
	}
}
