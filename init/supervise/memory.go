package supervise

import (
	"fmt"
	"sync"

	"golang.org/x/sys/unix"
)

// Memory is a Launcher without processes, for tests: each launch is a value
// that ends when it is told to.
type Memory struct {
	// Stubborn names services that do not end at Terminate.
	Stubborn map[string]bool
	// Broken, if set, is what Launch returns for a service.
	Broken map[string]error

	mu    sync.Mutex
	procs map[string]*MemoryProcess
	log   []string
	pid   int
}

var _ Launcher = (*Memory)(nil)

// Launch implements Launcher.
func (m *Memory) Launch(spec Spec) (Process, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.Broken[spec.Name]; err != nil {
		m.log = append(m.log, "broken "+spec.Name)
		return nil, err
	}
	m.pid++
	m.log = append(m.log, "start "+spec.Name)
	p := &MemoryProcess{m: m, name: spec.Name, pid: m.pid, exit: make(chan Exit, 1)}
	if m.procs == nil {
		m.procs = map[string]*MemoryProcess{}
	}
	m.procs[spec.Name] = p
	return p, nil
}

// Process returns the latest launch of a service, nil before the first.
func (m *Memory) Process(name string) *MemoryProcess {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.procs[name]
}

// Log returns what happened since the last call: "start x", "term x", "kill x".
func (m *Memory) Log() []string {
	m.mu.Lock()
	defer m.mu.Unlock()
	l := m.log
	m.log = nil
	return l
}

// MemoryProcess is one launch.
type MemoryProcess struct {
	m    *Memory
	name string
	pid  int
	once sync.Once
	exit chan Exit
}

// End makes it exit.
func (p *MemoryProcess) End(e Exit) { p.once.Do(func() { p.exit <- e }) }

// PID implements Process.
func (p *MemoryProcess) PID() int { return p.pid }

// Wait implements Process.
func (p *MemoryProcess) Wait() Exit { return <-p.exit }

// Terminate implements Process.
func (p *MemoryProcess) Terminate() {
	p.note("term")
	if !p.m.Stubborn[p.name] {
		p.End(Exit{})
	}
}

// Abort implements Process.
func (p *MemoryProcess) Abort() { p.note("abort") }

// Kill implements Process.
func (p *MemoryProcess) Kill() {
	p.note("kill")
	p.End(Exit{Signal: unix.SIGKILL})
}

func (p *MemoryProcess) note(what string) {
	p.m.mu.Lock()
	defer p.m.mu.Unlock()
	p.m.log = append(p.m.log, fmt.Sprintf("%s %s", what, p.name))
}
