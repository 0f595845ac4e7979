package callbridge

import (
	"context"
	"time"

	"parley/services/callbridge/directory"
	"parley/services/callbridge/settings"
)

const (
	// followEvery is how often it is looked whether the directory's settings
	// were changed on another node; followAgain how soon while they are not
	// known, as when the database has not started yet.
	followEvery = 5 * time.Second
	followAgain = 500 * time.Millisecond
	// followWait bounds a look, and followTell is after how many in vain the
	// log is told: at a start the database may be later.
	followWait = 2 * time.Second
	followTell = 4
)

// follow keeps to the directory's settings that are in force, until ctx ends.
func (b *Bridge) follow(ctx context.Context) {
	if b.deps.Deployment == nil {
		return
	}
	failed := 0
	for {
		err := b.takeDirectory(ctx)
		if err == nil {
			err = b.publish(ctx)
		}
		if err == nil {
			failed = 0
		} else if failed++; failed == followTell && ctx.Err() == nil {
			b.log.Warn("settings of the directory not looked at", "err", err)
		}
		wait := followEvery
		if !b.people.known() {
			wait = followAgain
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait):
		}
	}
}

// publish has the database take the settings of this node, where it has none.
func (b *Bridge) publish(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, enlistWait)
	defer cancel()
	return b.settings().Publish(ctx)
}

func (b *Bridge) settings() *settings.Store {
	return settings.NewStore(b.deps.Config, b.deps.Deployment, time.Now)
}

// inForce are the directory's settings that hold.
func (b *Bridge) inForce(ctx context.Context) (settings.InForce, error) {
	if b.deps.Deployment == nil {
		d, err := b.deps.Config.Load()
		return settings.InForce{Directory: d.Directory}, err
	}
	ctx, cancel := context.WithTimeout(ctx, followWait)
	defer cancel()
	return b.settings().Load(ctx)
}

// takeDirectory has people go by the settings that hold. Where that is not known
// they go on as they are: what was read last holds more likely than what live.json
// has.
func (b *Bridge) takeDirectory(ctx context.Context) error {
	b.taking.Lock()
	defer b.taking.Unlock()
	now, err := b.inForce(ctx)
	if err == nil {
		err = directory.CheckSettings(now.Directory)
	}
	if err != nil {
		b.people.unknown(err)
		return err
	}
	b.people.take(now.Directory)
	return nil
}
