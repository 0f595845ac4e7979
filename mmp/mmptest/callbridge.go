package mmptest

import (
	"context"
	"fmt"
	"sync"
	"time"

	"parley/services/callbridge"
	"parley/services/callbridge/callbridgeapi"
	"parley/services/callbridge/directory"
	"parley/services/config"
	"parley/services/problem"
)

// CallBridge is the twin of the Call Bridge's service. It reaches the XMPP
// server of its own node, where that is enabled, and no other.
type CallBridge struct {
	// Config is what Reload takes; XMPP has the secrets, Database the LDAP
	// server's settings where it is a cluster's.
	Config   *config.Store
	XMPP     *XMPP
	Database *Database

	mu        sync.Mutex
	taken     config.CallBridge
	directory config.Directory
	// known are the settings that the database had when it last answered.
	known config.Directory
	// late says that the settings of the database are read only once it was
	// asked for them.
	late     bool
	restarts int
}

var _ callbridgeapi.API = (*CallBridge)(nil)

// Fingerprint is all that changes of the state, as text.
func (b *CallBridge) Fingerprint() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return fmt.Sprint(b.taken, b.taken.XMPP.Secret.Reveal(), b.restarts, b.directory, b.directory.Password.Reveal())
}

// Status implements callbridgeapi.API.
func (b *CallBridge) Status(ctx context.Context) (callbridgeapi.Status, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	l := b.taken.XMPP
	s := callbridgeapi.Status{
		State: callbridgeapi.Off, Name: l.Name, Domain: l.Domain, XMPPRow: "not configured", AuthenticationRow: "no authentication components found",
	}
	if !b.taken.Enabled {
		if l.Name != "" && l.Domain != "" {
			s.XMPPRow = "disabled; type 'callbridge enable'"
		}
		return s, nil
	}
	s.Server, s.State, s.Since = "localhost", callbridgeapi.Connected, Now().Add(-62*time.Second)
	steps, err := b.steps(ctx)
	if err != nil {
		return s, err
	}
	if last := steps[len(steps)-1]; !last.OK {
		s.State, s.Reason, s.Detail, s.Hint, s.FailedAt, s.Next = callbridgeapi.Failed, callbridgeapi.AuthenticationFailure, last.Detail, last.Hint, s.Since, Now().Add(2*time.Second)
		s.XMPPRow = "failed to connect to localhost due to authentication failure (1 minute, 2 seconds ago)"
		return s, nil
	}
	s.XMPPRow = "connected to localhost (secure) for 1 minute, 2 seconds"
	return s, nil
}

// Reload implements callbridgeapi.API.
func (b *CallBridge) Reload(context.Context) error {
	d, err := b.Config.Load()
	if err != nil {
		return err
	}
	if err := callbridge.CheckLink(d.CallBridge.XMPP); err != nil {
		return err
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	if err := directory.CheckSettings(d.Directory); err != nil {
		return err
	}
	b.taken, b.directory = d.CallBridge, d.Directory
	return nil
}

// Restart implements callbridgeapi.API.
func (b *CallBridge) Restart(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.restarts++
	return nil
}

// Test implements callbridgeapi.API.
func (b *CallBridge) Test(ctx context.Context) ([]callbridgeapi.Step, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	switch l := b.taken.XMPP; {
	case l.Name == "":
		return nil, problem.New(problem.LinkUnready, "missing", "unique name", "command", "callbridge xmpp name <name>")
	case l.Domain == "":
		return nil, problem.New(problem.LinkUnready, "missing", "XMPP domain", "command", "callbridge xmpp domain <domain>")
	}
	return b.steps(ctx)
}

func (b *CallBridge) steps(ctx context.Context) ([]callbridgeapi.Step, error) {
	all, err := b.XMPP.CallBridges(ctx)
	if err != nil {
		return nil, err
	}
	last := callbridgeapi.Step{
		Target: "localhost", What: "authentication", Took: 900 * time.Microsecond,
		Detail: "the secret is not that of Call Bridge " + b.taken.XMPP.Name + " there",
		Hint:   "compare 'xmpp callbridge list' on all XMPP servers, then type 'callbridge xmpp secret'",
	}
	for _, cb := range all {
		if cb.Name == b.taken.XMPP.Name && cb.Secret == b.taken.XMPP.Secret.Reveal() {
			last.OK, last.Detail, last.Hint = true, "the secret is right", ""
		}
	}
	return []callbridgeapi.Step{
		{Target: "localhost", What: "TCP", OK: true, Detail: "127.0.0.1:5223", Took: 200 * time.Microsecond},
		{Target: "localhost", What: "TLS", OK: true, Detail: "certificate of tptac9.com, valid until 2036-11-22", Took: 3 * time.Millisecond},
		last,
	}, nil
}
