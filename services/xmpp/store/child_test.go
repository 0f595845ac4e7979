package store

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"testing"
)

// childEnv names what a copy of the test binary is to do instead of testing.
const childEnv = "PARLEY_STORE_CHILD"

func TestMain(m *testing.M) {
	switch dir := os.Getenv("PARLEY_STORE_DIR"); os.Getenv(childEnv) {
	case "writer":
		fmt.Fprintln(os.Stderr, writer(dir, os.Getenv("PARLEY_STORE_FROM")))
		os.Exit(1)
	case "member":
		fmt.Fprintln(os.Stderr, member(dir))
		os.Exit(1)
	case "limited":
		if err := limited(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

func child(t *testing.T, what string, env ...string) *exec.Cmd {
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(self)
	cmd.Env = append(append(os.Environ(), childEnv+"="+what), env...)
	return cmd
}

// runIn opens and runs a store for a child.
func runIn(dir string) (*Store, error) {
	s := New(Config{Dir: dir}, Deps{Log: slog.New(slog.NewTextHandler(os.Stderr, nil))})
	if err := s.Open(); err != nil {
		return nil, err
	}
	go s.Run(context.Background())
	return s, s.WaitReady(context.Background())
}
