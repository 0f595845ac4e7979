package lan

import "time"

// Path is how frames from one port reach another. The zero value is a whole
// one.
type Path struct {
	Cut   bool
	Delay time.Duration
	// Loss is the share of frames that is dropped, 0 to 1.
	Loss float64
}

// SetPath changes the way from one port to another; the way back stays as it
// is. Frames that are on their way still arrive.
func (s *Switch) SetPath(from, to string, p Path) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.paths[way{from, to}] = p
}

// SetPaths changes both ways between two ports.
func (s *Switch) SetPaths(a, b string, p Path) {
	s.SetPath(a, b, p)
	s.SetPath(b, a, p)
}

// Unplug takes a port off the network, silently: what is attached still has
// its link.
func (s *Switch) Unplug(name string) { s.setPlugged(name, false) }

// Plug puts it back.
func (s *Switch) Plug(name string) { s.setPlugged(name, true) }

func (s *Switch) setPlugged(name string, plugged bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.port(name).unplugged = !plugged
}

// Mend makes all paths whole and plugs all ports in.
func (s *Switch) Mend() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.paths)
	for _, p := range s.ports {
		p.unplugged = false
	}
}
