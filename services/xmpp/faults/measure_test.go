package faults

import (
	"os"
	"strconv"
	"testing"
	"time"
)

// What `make gaps` and `make bench` set: how many losses of each kind, and to
// measure what a cluster carries.
const (
	gapsEnv  = "GAPS"
	benchEnv = "PARLEY_BENCH"
)

func TestGaps(t *testing.T) {
	times, err := strconv.Atoi(os.Getenv(gapsEnv))
	if err != nil || times <= 0 {
		t.Skip("make gaps")
	}
	for _, loss := range Losses {
		t.Run(loss.Name, func(t *testing.T) {
			c := cluster(t, where, Options{Nodes: 3, Users: 3})
			if why := loss.needs(c); why != "" {
				t.Skip(why)
			}
			g, err := MeasureGaps(t.Context(), c, loss, times)
			t.Log(g)
			if err != nil {
				t.Fatal(err)
			}
			if err := g.Err(); err != nil {
				t.Error(err)
			}
		})
	}
}

// TestThroughput and TestLatency are benchmarks in that they take a machine of
// their own; `make bench` runs them. Nodes are loopback processes.
func TestThroughput(t *testing.T) {
	if os.Getenv(benchEnv) == "" {
		t.Skip("make bench")
	}
	const clients = 100
	c := cluster(t, Place{}, Options{Nodes: nodes(t), Users: clients})
	r, err := MeasureThroughput(t.Context(), c, clients, 10*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	t.Log(r)
	if r.rate() < 10_000 {
		t.Errorf("the goal is 10000 a second, on two cores")
	}
}

func TestLatency(t *testing.T) {
	if os.Getenv(benchEnv) == "" {
		t.Skip("make bench")
	}
	c := cluster(t, Place{}, Options{Nodes: nodes(t), Users: 2})
	leader, err := c.Leader(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	others := c.Others(leader)
	type way struct{ from, to *Node }
	ways := []way{{leader, leader}}
	if len(others) > 1 {
		ways = []way{{others[0], others[1]}, {leader, others[0]}, {others[0], leader}}
	}
	t.Logf("%s leads", leader.Name)
	for _, w := range ways {
		l, err := MeasureLatency(t.Context(), c, w.from, w.to, 200)
		if err != nil {
			t.Fatal(err)
		}
		t.Log(l)
		if err := l.Err(); err != nil {
			t.Errorf("%s to %s: %v", w.from.Name, w.to.Name, err)
		}
	}
}

// nodes is how many the environment asks for.
func nodes(t *testing.T) int {
	t.Helper()
	n, err := strconv.Atoi(os.Getenv(nodesEnv))
	if os.Getenv(nodesEnv) == "" {
		return 3
	}
	if err != nil || n < 1 {
		t.Fatalf("%s=%s is no number of nodes", nodesEnv, os.Getenv(nodesEnv))
	}
	return n
}
