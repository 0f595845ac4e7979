package mmptest

import (
	"context"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/callbridge/directory"
	"parley/services/callbridge/settings"
	"parley/services/config"
	"parley/services/problem"
)

// PeopleHost is the LDAP server that there is in the twin's world, with two
// users, and by their full names with another one who cannot be in XMPP.
const PeopleHost = "ldap.example.com"

// Directory implements callbridgeapi.API.
func (b *CallBridge) Directory(ctx context.Context) (callbridgeapi.Directory, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if now, err := b.inForce(ctx); err == nil && !b.late {
		b.known = now
	}
	b.late = false
	c := b.known
	if c.Address == "" {
		return callbridgeapi.Directory{}, nil
	}
	st, err := b.Database.Status(ctx)
	if err != nil {
		return callbridgeapi.Directory{}, err
	}
	d := callbridgeapi.Directory{Configured: true, Unsure: st.Trouble != ""}
	d.Server, d.TLS = directory.Server(c)
	if err := people(c); err != nil {
		d.Trouble, d.TroubleAt = problem.Text(err), Now().Add(-5*time.Second)
		return d, nil
	}
	d.Offered, d.Users, d.Synced, d.Next = b.taken.Enabled, 2, Now().Add(-10*time.Second), Now().Add(15*time.Minute)
	if c.User == "$cn$" {
		d.Unfit, d.Like = 1, "Bert Ü"
	}
	return d, nil
}

// Late has the Call Bridge read its settings only after it was asked once more for
// what it knows.
func (b *CallBridge) Late() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.late = true
}

// inForce are the settings that hold.
func (b *CallBridge) inForce(ctx context.Context) (config.Directory, error) {
	now, err := settings.NewStore(b.Config, b.Database, Now).Load(ctx)
	return now.Directory, err
}

// people says why there is nobody to list.
func people(c config.Directory) error {
	if err := directory.CheckComplete(c); err != nil {
		return err
	}
	if c.Address != PeopleHost {
		return problem.New(problem.DirectoryUnreachable, "address", c.Address+":389", "host", c.Address, "reason", "connection refused")
	}
	return nil
}

// TestDirectory implements callbridgeapi.API.
func (b *CallBridge) TestDirectory(ctx context.Context) ([]callbridgeapi.Step, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	c, err := b.inForce(ctx)
	if err != nil {
		return nil, err
	}
	if err := directory.CheckComplete(c); err != nil {
		return nil, err
	}
	server, _ := directory.Server(c)
	steps := []callbridgeapi.Step{
		{Target: server, What: "DNS", OK: true, Detail: c.Address + " is 10.106.81.9", Took: time.Millisecond},
		{Target: server, What: "TCP", OK: true, Detail: "10.106.81.9:389", Took: 200 * time.Microsecond},
	}
	if err := people(c); err != nil {
		steps[1].OK, steps[1].Detail = false, problem.Text(err)
		return steps, nil
	}
	who := "alice, bob"
	if c.User == "$cn$" {
		who += "; " + directory.LeftOut(1, "Bert Ü")
	}
	return append(steps,
		callbridgeapi.Step{Target: server, What: "TLS", OK: true, Detail: "StartTLS, the certificate is trusted", Took: 3 * time.Millisecond},
		callbridgeapi.Step{Target: server, What: "log-in", OK: true, Detail: c.Username, Took: time.Millisecond},
		callbridgeapi.Step{Target: server, What: "users", OK: true, Detail: who, Took: 2 * time.Millisecond}), nil
}

// ProbeDirectory implements callbridgeapi.API.
func (b *CallBridge) ProbeDirectory(ctx context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	now, err := b.inForce(ctx)
	if err != nil {
		return err
	}
	return people(now)
}

// SyncDirectory implements callbridgeapi.API.
func (b *CallBridge) SyncDirectory(ctx context.Context) (callbridgeapi.Directory, error) {
	b.mu.Lock()
	c, err := b.inForce(ctx)
	b.mu.Unlock()
	if err == nil {
		err = people(c)
	}
	if err != nil {
		return callbridgeapi.Directory{}, err
	}
	return b.Directory(ctx)
}
