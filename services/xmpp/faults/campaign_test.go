package faults

import (
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// What `make faults` sets: how long, from which seed, and, with commas, which
// faults.
const (
	timeEnv  = "FAULTS_TIME"
	seedEnv  = "SEED"
	onlyEnv  = "FAULTS"
	nodesEnv = "NODES"
)

// TestFaults is short and always the same, as far as faults go; `make faults`
// has it take its time.
func TestFaults(t *testing.T) {
	if testing.Short() {
		t.Skip("takes two minutes")
	}
	opts := Options{Nodes: nodes(t), Disks: true}
	cfg := Config{Seed: 3, Time: 105 * time.Second, Longest: 4 * time.Second, Clients: 9, Pause: 30 * time.Millisecond}
	if s := os.Getenv(timeEnv); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			t.Fatalf("%s: %v", timeEnv, err)
		}
		cfg.Time, cfg.Longest, cfg.Seed = d, 10*time.Second, rand.Uint64N(1e6)
	}
	if s := os.Getenv(seedEnv); s != "" {
		var err error
		if cfg.Seed, err = strconv.ParseUint(s, 10, 64); err != nil {
			t.Fatalf("%s: %v", seedEnv, err)
		}
	}
	if s := os.Getenv(onlyEnv); s != "" {
		cfg.Only = strings.Split(s, ",")
	}
	opts.Users = cfg.Clients
	opts.Dir = folder(t)
	history, err := os.Create(filepath.Join(opts.Dir, "history"))
	if err != nil {
		t.Fatal(err)
	}
	defer history.Close()
	cfg.History = history
	t.Logf("seed %d, %d nodes, here: %+v", cfg.Seed, opts.Nodes, where)
	c := cluster(t, where, opts)
	result, err := Run(t.Context(), c, cfg)
	t.Logf("seed %d\n%s", cfg.Seed, result)
	if err != nil {
		t.Fatal(err)
	}
	if err := result.Err(); err != nil {
		t.Errorf("%v; seed %d", err, cfg.Seed)
	}
}
