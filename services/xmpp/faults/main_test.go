package faults

import (
	"context"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"testing"
)

// binaryEnv names the program to test; without it one is built.
const binaryEnv = "PARLEY_BINARY"

// where is what this process may do.
var where Place

func TestMain(m *testing.M) { os.Exit(run(m)) }

// run builds the program, and has the tests run in namespaces of their own.
func run(m *testing.M) int {
	if os.Getenv(clockEnv) != "" {
		tellTime()
		return 0
	}
	flag.Parse()
	if os.Getenv(binaryEnv) == "" {
		dir, err := os.MkdirTemp("", "parley")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		binary := filepath.Join(dir, "parley")
		if err := Build(context.Background(), binary); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		os.Setenv(binaryEnv, binary)
	}
	place, status, done, err := Enter()
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if done {
		return status
	}
	where = place
	return m.Run()
}

// folder is a new one with a short path, for sockets; it stays where the test
// failed.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "faults")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("state folders, logs and history: %s", dir)
		} else {
			os.RemoveAll(dir)
		}
	})
	return dir
}

// cluster starts one, which the test's end stops.
func cluster(t testing.TB, place Place, opts Options) *Cluster {
	t.Helper()
	opts.Binary = os.Getenv(binaryEnv)
	if opts.Dir == "" {
		opts.Dir = folder(t)
	}
	opts.Log = t.Logf
	c, err := Start(t.Context(), place, opts)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			c.Keep()
		}
		c.Close()
	})
	return c
}
