package callbridge

import (
	"context"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/callbridge/directory"
	"parley/services/callbridge/settings"
	"parley/services/config"
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
	// keptAfter is how long the database has at a start, until what was kept is
	// tried.
	keptAfter = 10 * time.Second
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

// Unread says that a bridge, which says now of its LDAP server, has yet to read the
// settings that hold. Where it cannot it says why itself.
func Unread(now callbridgeapi.Directory, settings config.Directory) bool {
	server := ""
	if settings.Address != "" {
		server, _ = directory.Server(settings)
	}
	unknown := now.Configured && now.Server == ""
	return now.Server != server && !unknown && !now.Unsure
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
// they go on as they are, or, some time after a start, by what was kept: what was
// read last holds more likely than what live.json has.
func (b *Bridge) takeDirectory(ctx context.Context) error {
	b.taking.Lock()
	defer b.taking.Unlock()
	if b.begun.IsZero() {
		b.begun = time.Now()
		var err error
		if b.last, err = b.kept.Load(); err != nil {
			b.log.Warn("settings of the directory cannot be used until the database answers", "err", err)
		}
	}
	now, sure, err := b.latest(ctx)
	if err == nil {
		err = directory.CheckSettings(now.Directory)
	}
	switch {
	case err == nil:
		b.last = now
		b.people.take(now.Directory, sure)
	case b.last.Shared() && !b.people.known() && time.Since(b.begun) >= keptAfter:
		b.people.take(b.last.Directory, false)
	default:
		b.people.doubt(err)
	}
	if err == nil && sure {
		if err := b.kept.Save(now); err != nil && !b.unkept {
			b.unkept = true
			b.log.Warn("settings of the directory will not be known at a start without the database", "err", err)
		}
	}
	return err
}

// latest are the directory's settings that hold; sure says that there can be no
// newer ones.
func (b *Bridge) latest(ctx context.Context) (now settings.InForce, sure bool, err error) {
	if b.deps.Deployment == nil {
		d, err := b.deps.Config.Load()
		return settings.InForce{Directory: d.Directory}, true, err
	}
	ctx, cancel := context.WithTimeout(ctx, followWait)
	defer cancel()
	return b.settings().Latest(ctx, b.last)
}

// forget has the settings not be tried at the next start.
func (b *Bridge) forget() {
	b.taking.Lock()
	defer b.taking.Unlock()
	if err := b.kept.Forget(); err != nil {
		b.log.Warn("settings of the directory will be tried again after a start", "err", err)
	}
}
