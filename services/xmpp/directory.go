package xmpp

import (
	"context"
	"fmt"
	"sync"
	"time"

	"parley/services/config"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/sasl"
	"parley/services/xmpp/store"
)

// directory is what the edge needs of the store to let somebody in. A
// follower's copy may be some milliseconds old, so it does not turn anybody
// away before it has what the leader had when it was asked.
type directory struct {
	core *core

	mu sync.Mutex
	// asked is when the copy was last known to be the leader's.
	asked time.Time
}

const (
	// catchUpWait bounds the wait; without a leader the copy has to do.
	catchUpWait = time.Second
	// catchUpPause keeps strangers from having the leader asked all the time.
	catchUpPause = 20 * time.Millisecond
)

// Credentials returns what checks an account's password.
func (d *directory) Credentials(ctx context.Context, name string) (v sasl.Verifiers, ok bool, err error) {
	data, ok, err := d.core.Verifiers(name)
	if err == nil && !ok && d.catchUp(ctx) {
		data, ok, err = d.core.Verifiers(name)
	}
	if err != nil || !ok || store.IsElsewhere(data) {
		return v, false, err
	}
	if err := v.UnmarshalBinary(data); err != nil {
		return v, false, fmt.Errorf("verifiers of %s: %w", name, err)
	}
	return v, true, nil
}

// Secret returns a Call Bridge's.
func (d *directory) Secret(ctx context.Context, name string) (config.Secret, bool, error) {
	b, ok, err := d.core.CallBridge(name)
	if err == nil && !ok && d.catchUp(ctx) {
		b, ok, err = d.core.CallBridge(name)
	}
	return config.Secret(b.Secret), ok, err
}

// catchUp waits until this node has what the leader has now; it says whether
// there may be something new.
func (d *directory) catchUp(ctx context.Context) bool {
	st := d.core.State()
	if d.core.peers == nil || st.Ready || st.LeaderAddr == "" || st.LeaderID == st.ID {
		return false
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if time.Since(d.asked) < catchUpPause {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, catchUpWait)
	defer cancel()
	var leader peer.Hello
	if err := d.core.peers.Call(ctx, st.LeaderAddr, callHello, nil, &leader); err != nil {
		return false
	}
	err := d.core.WaitApplied(ctx, leader.Applied)
	d.asked = time.Now()
	return err == nil
}
