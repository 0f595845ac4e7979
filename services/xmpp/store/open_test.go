package store

import (
	"context"
	"errors"
	"log/slog"
	"testing"

	"parley/services/problem"
)

func TestOneProcessOnly(t *testing.T) {
	dir := t.TempDir()
	start(t, Config{Dir: dir, NoSync: true})
	s := New(Config{Dir: dir}, Deps{Log: slog.New(slog.DiscardHandler)})
	if err := s.Open(); problem.CodeOf(err) != problem.StoreLocked {
		t.Errorf("second Open = %v; want %s", err, problem.StoreLocked)
	}
	if err := Reset(dir); problem.CodeOf(err) != problem.StoreLocked {
		t.Errorf("Reset of a running store = %v; want %s", err, problem.StoreLocked)
	}
}

func TestReset(t *testing.T) {
	dir := t.TempDir()
	s, stop := start(t, Config{Dir: dir, NoSync: true})
	apply(t, s, &AccountAdd{Name: "ada"})
	id := s.State().ID
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if err := Reset(dir); err != nil {
		t.Fatal(err)
	}
	s, _ = start(t, Config{Dir: dir, NoSync: true})
	if s.Account("ada") || s.State().ID == id {
		t.Errorf("after Reset: Account(ada) = %v, identity changed %v; want false, true", s.Account("ada"), s.State().ID != id)
	}
}

func TestClosed(t *testing.T) {
	s, stop := start(t, Config{Dir: t.TempDir(), NoSync: true})
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Apply(context.Background(), &AccountAdd{Name: "ada"}); !errors.Is(err, ErrClosed) {
		t.Errorf("Apply = %v; want %v", err, ErrClosed)
	}
	if _, err := s.Accounts(); !errors.Is(err, ErrClosed) {
		t.Errorf("Accounts = %v; want %v", err, ErrClosed)
	}
}
