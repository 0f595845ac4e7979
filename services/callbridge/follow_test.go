package callbridge

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/callbridge/settings"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/problem"
)

// TestFollow: the settings are those that the database has, where it has some;
// until they are known there are none, and once they were they stay.
func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		paths := config.FolderPaths(t.TempDir())
		store := config.NewStore(paths.Live())
		if err := store.Update(func(d *config.Document) error { d.Directory.Address = "here"; return nil }); err != nil {
			t.Fatal(err)
		}
		d := &table{rows: map[string]string{}, mode: databaseapi.Alone, down: errors.New("starting")}
		b := New(Config{Paths: paths}, Deps{Config: store, Deployment: d, Log: slog.New(slog.DiscardHandler)})
		other := settings.NewStore(config.NewStore(config.FolderPaths(t.TempDir()).Live()), d, time.Now)
		elsewhere := func(address string) func() {
			return func() {
				if err := other.Change(t.Context(), func(c *config.Directory) error { c.Address = address; return nil }, func() error { return nil }); err != nil {
					t.Fatal(err)
				}
			}
		}
		with := func(change func()) func() {
			return func() {
				d.mu.Lock()
				defer d.mu.Unlock()
				change()
			}
		}
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { b.follow(ctx) })
		defer running.Wait()
		defer cancel()
		for _, step := range []struct {
			name   string
			before func()
			after  time.Duration
			want   string
		}{
			{"no database yet", nil, 10 * followAgain, "not known"},
			{"it is there", with(func() { d.down = nil }), followAgain, "here:389"},
			{"it is gone", with(func() { d.down = errors.New("down") }), followEvery, "here:389"},
			{"clustered", with(func() { d.down, d.mode = nil, databaseapi.Member }), followEvery, "here:389"},
			{"set on another node", elsewhere("there"), followEvery, "there:389"},
			{"without a database", with(func() { d.down = errors.New("down") }), followEvery, "there:389"},
			{"alone again, with the copy", with(func() { d.down, d.mode = nil, databaseapi.Alone }), followEvery, "there:389"},
			{"with what it had before", with(func() { clear(d.rows) }), followEvery, "here:389"},
		} {
			if step.before != nil {
				step.before()
			}
			pass(step.after)
			now, err := b.Directory(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			got := now.Server
			if got == "" && now.Configured && strings.Contains(now.Trouble, "starting") {
				got = "not known"
			}
			if got != step.want {
				t.Errorf("%s: %+v; want %s", step.name, now, step.want)
			}
			rows, _ := d.look()
			if _, published := rows["directory settings"]; step.name == "clustered" && !published {
				t.Errorf("%s: the table has %v; want what live.json had", step.name, rows)
			}
		}
	})
}

// TestFollowKept: at a start the database is waited for, and then what it had
// last holds, until it answers.
func TestFollowKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		paths := config.FolderPaths(t.TempDir())
		store := config.NewStore(paths.Live())
		d := &table{rows: map[string]string{}, mode: databaseapi.Connected}
		other := settings.NewStore(config.NewStore(config.FolderPaths(t.TempDir()).Live()), d, time.Now)
		set := func(address string) {
			t.Helper()
			if err := other.Change(t.Context(), func(c *config.Directory) error {
				c.Address, c.BaseDN, c.User = address, "dc=example", "$uid$"
				return nil
			}, func() error { return nil }); err != nil {
				t.Fatal(err)
			}
		}
		database := func(err error) {
			d.mu.Lock()
			defer d.mu.Unlock()
			d.down = err
		}
		start := func() (b *Bridge, stop func()) {
			b = New(Config{Paths: paths}, Deps{Config: store, Deployment: d, Log: slog.New(slog.DiscardHandler)})
			ctx, cancel := context.WithCancel(t.Context())
			var running sync.WaitGroup
			running.Go(func() { b.follow(ctx) })
			return b, func() {
				cancel()
				running.Wait()
			}
		}
		want := func(b *Bridge, when, server string, unsure bool) {
			t.Helper()
			if now, err := b.Directory(t.Context()); err != nil || now.Server != server || now.Unsure != unsure {
				t.Errorf("%s: %+v, %v; want server %q, unsure %v", when, now, err, server, unsure)
			}
		}
		set("there")
		b, stop := start()
		pass(followEvery)
		want(b, "with the database", "there:389", false)
		stop()

		database(errors.New("down"))
		b, stop = start()
		defer func() { stop() }()
		pass(keptAfter - followAgain)
		want(b, "just after a start", "", false)
		pass(2 * followAgain)
		want(b, "some time after a start", "there:389", true)
		database(nil)
		set("elsewhere")
		pass(followEvery)
		want(b, "with the database again", "elsewhere:389", false)
	})
}

func TestUnread(t *testing.T) {
	there := config.Directory{Address: "ldap.example.com"}
	for _, tt := range []struct {
		name     string
		now      callbridgeapi.Directory
		settings config.Directory
		want     bool
	}{
		{"none", callbridgeapi.Directory{}, config.Directory{}, false},
		{"the same", callbridgeapi.Directory{Configured: true, Server: "ldap.example.com:389"}, there, false},
		{"after a join", callbridgeapi.Directory{}, there, true},
		{"changed elsewhere", callbridgeapi.Directory{Configured: true, Server: "ldap.example.net:389"}, there, true},
		{"ended elsewhere", callbridgeapi.Directory{Configured: true, Server: "ldap.example.net:389"}, config.Directory{}, true},
		{"after a start", callbridgeapi.Directory{Configured: true}, there, false},
		{"without a primary", callbridgeapi.Directory{Configured: true, Server: "ldap.example.net:389", Unsure: true}, there, false},
	} {
		if got := Unread(tt.now, tt.settings); got != tt.want {
			t.Errorf("%s: Unread = %v; want %v", tt.name, got, tt.want)
		}
	}
}

// TestNoTrustFile: settings are shared, files are not.
func TestNoTrustFile(t *testing.T) {
	_, err := folder(t.TempDir()).Read("ca.cer")
	if text := problem.Text(err); problem.CodeOf(err) != problem.DirectoryTrustFile || !strings.Contains(text, "put ca.cer here by SFTP") {
		t.Errorf("Read = %v, %q; want how the file gets there", err, text)
	}
}
