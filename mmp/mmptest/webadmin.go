package mmptest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"parley/services/config"
	"parley/services/webadmin/webadminapi"
)

// Webadmin is the twin of Webadmin. It listens on whatever it is given.
type Webadmin struct {
	// Config is what Reload takes.
	Config *config.Store
	// Refuse, when set, is what Reload returns.
	Refuse error

	mu       sync.Mutex
	taken    config.Webadmin
	restarts int
}

var _ webadminapi.API = (*Webadmin)(nil)

// Fingerprint is all that changes of the state, as text.
func (w *Webadmin) Fingerprint() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return fmt.Sprint(w.taken, w.restarts)
}

// Status implements webadminapi.API.
func (w *Webadmin) Status(context.Context) (webadminapi.Status, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	s := webadminapi.Status{Running: w.taken.Enabled}
	if s.Running {
		s.Expires = time.Date(2036, 11, 22, 0, 0, 0, 0, time.UTC)
	}
	return s, nil
}

// Reload implements webadminapi.API.
func (w *Webadmin) Reload(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Refuse != nil {
		return w.Refuse
	}
	d, err := w.Config.Load()
	w.taken = d.Webadmin
	return err
}

// Restart implements webadminapi.API.
func (w *Webadmin) Restart(context.Context) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.restarts++
	return nil
}
