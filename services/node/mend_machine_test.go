package node_test

import (
	"bytes"
	"context"
	"errors"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"parley/services/xmpp/faults"
)

// machines are what nodes run on that have a machine of their own each, as far as
// network, disk and clock go.
type machines struct {
	network *faults.Network
	// clocks are those of the processes.
	clocks map[int]*faults.Clock
}

// onMachines runs the calling test again, where there are namespaces for that,
// and returns false; there it returns true.
func onMachines(t *testing.T) bool {
	t.Helper()
	if again {
		if !place.Network || !place.Cuts {
			t.Skip("wants the programs ip and nft, and a kernel that lets them")
		}
		return true
	}
	cmd := exec.CommandContext(t.Context(), "/proc/self/exe", "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=5m")
	cmd.Env = append(cmd.Environ(), binaryEnv+"="+parley)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	err := faults.Again(cmd)
	if errors.Is(err, faults.ErrNoNamespaces) {
		t.Skip(err)
	}
	t.Logf("%s", &out)
	if err != nil {
		t.Error(err)
	}
	return false
}

// newMachines returns the same deployment as newDeployment does, each node on its
// own machine.
func newMachines(t *testing.T) *deployment {
	t.Helper()
	c, m := connect(t, 3)
	d := deploy(c, c.unite())
	d.machines = m
	return d
}

// connect returns prepared nodes on machines of their own.
func connect(t *testing.T, n int) (*cluster, *machines) {
	t.Helper()
	network, err := faults.NewNetwork(place)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(network.Close)
	var programs []*program
	for i := 1; i <= n; i++ {
		// Its folder is read at the end, if the test has failed, and then goes.
		path := filepath.Join(t.TempDir(), "disk")
		disk, err := faults.NewDisk(place, path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(disk.Close)
		p := newProgram(t)
		p.state = path
		dial := p.dial
		if p.address, p.prefix, err = network.Add(i); err != nil {
			t.Fatal(err)
		}
		p.dial = func(ctx context.Context, addr string) error {
			return network.In(i, func() error { return dial(ctx, addr) })
		}
		programs = append(programs, p)
	}
	m := &machines{network, map[int]*faults.Clock{}}
	for i := range programs {
		m.firewall(t, i+1, established)
	}
	return prepare(t, programs, true), m
}

// setClock moves the clock of a node's process.
func (d *deployment) setClock(p *program, by time.Duration) {
	d.t.Helper()
	pid := p.cmd.Process.Pid
	if d.machines.clocks[pid] == nil {
		d.machines.clocks[pid] = &faults.Clock{PID: pid}
	}
	if err := d.machines.clocks[pid].Set(by); err != nil {
		d.t.Fatal(err)
	}
}

// established has a firewall look at new connections only; its kernel knows those
// that there are.
const established = "ct state established accept"

// firewall gives node i, counted from 1, these rules for what comes in.
func (m *machines) firewall(t *testing.T, i int, rules ...string) {
	t.Helper()
	if err := m.network.Firewall(i, rules...); err != nil {
		t.Fatal(err)
	}
}
