package store

import (
	"context"
	"fmt"
	"os"
	"syscall"
	"testing"
	"time"

	"parley/services/problem"
	"parley/services/xmpp/link"
)

// limit bounds the size of this process's files.
func limit(n uint64) error {
	var l syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &l); err != nil {
		return err
	}
	l.Cur = min(n, l.Max)
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &l)
}

// limited runs into a limit of the file size, as a stand-in for a full disk,
// and out of it.
func limited(dir string) error {
	s, err := runIn(dir)
	if err != nil {
		return err
	}
	ctx := context.Background()
	if _, err := s.Apply(ctx, &AccountAdd{Name: "ada"}); err != nil {
		return err
	}
	kept := 0
	put := func() error {
		rs, err := s.Apply(ctx, &MessagePut{Account: "ada", Stanza: make([]byte, 64<<10)})
		if err == nil {
			kept++
			err = rs[0].Err
		}
		return err
	}
	for round := range 3 {
		if err := limit(uint64(20+10*round) << 20); err != nil {
			return err
		}
		for err = put(); err == nil; err = put() {
		}
		if problem.CodeOf(err) != problem.StoreFull {
			return fmt.Errorf("with no room Apply = %w", err)
		}
		// It stays so, at once and for long, and can be read.
		for until := time.Now().Add(700 * time.Millisecond); time.Now().Before(until); {
			begin := time.Now()
			if err := put(); problem.CodeOf(err) != problem.StoreFull && err != nil {
				return fmt.Errorf("still with no room Apply = %w", err)
			}
			if took := time.Since(begin); took > 10*time.Second {
				return fmt.Errorf("refusal took %v", took)
			}
			if n, err := s.Pending("ada"); n != kept || err != nil {
				return fmt.Errorf("with no room Pending = %d, %w; want %d", n, err, kept)
			}
		}
		if err := limit(1 << 40); err != nil {
			return err
		}
		deadline := time.Now().Add(30 * time.Second)
		for err = put(); err != nil; err = put() {
			if problem.CodeOf(err) != problem.StoreFull || time.Now().After(deadline) {
				return fmt.Errorf("with room again Apply = %w", err)
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	if n, err := s.Pending("ada"); n != kept || err != nil {
		return fmt.Errorf("at the end Pending = %d, %w; want %d", n, err, kept)
	}
	fmt.Println(kept)
	return nil
}

func TestFullDisk(t *testing.T) {
	dir := t.TempDir()
	cmd := child(t, "limited", "PARLEY_STORE_DIR="+dir)
	cmd.Stderr = os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	s, _ := start(t, Config{Dir: dir})
	if n, err := s.Pending("ada"); fmt.Sprintln(n) != string(out) || err != nil {
		t.Errorf("after a restart Pending = %d, %v; want %s", n, err, out)
	}
}

func TestReserveRefusesGrowth(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, Config{Dir: dir, NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	item := apply(t, s, &MessagePut{Account: "ada"}).Item
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: dir, NoSync: true, Reserve: 1 << 60})
	if _, err := s.Apply(context.Background(), &MessagePut{Account: "ada"}); problem.CodeOf(err) != problem.StoreFull {
		t.Errorf("message on the reserve = %v; want %s", err, problem.StoreFull)
	}
	apply(t, s, &Delivered{Account: "ada", Items: []link.Item{item}})
	if n, err := s.Pending("ada"); n != 0 || err != nil {
		t.Errorf("Pending = %d, %v; want 0", n, err)
	}
}
