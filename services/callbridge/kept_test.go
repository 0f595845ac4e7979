package callbridge

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"parley/services/callbridge/directory/openldap"
	"parley/services/callbridge/settings"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/problem"
)

// tap passes connections on to an LDAP server without TLS, and counts the
// log-ins of the service account.
type tap struct {
	port   int
	logins atomic.Int32
}

func newTap(t *testing.T, to int) *tap {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &tap{port: l.Addr().(*net.TCPAddr).Port}
	var running sync.WaitGroup
	running.Go(func() {
		for {
			in, err := l.Accept()
			if err != nil {
				return
			}
			running.Go(func() { p.pass(in, to) })
		}
	})
	t.Cleanup(func() {
		l.Close()
		running.Wait()
	})
	return p
}

func (p *tap) pass(in net.Conn, to int) {
	defer in.Close()
	out, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", to))
	if err != nil {
		return
	}
	defer out.Close()
	go func() {
		io.Copy(in, out)
		in.Close()
	}()
	buffer := make([]byte, 1<<16)
	for {
		n, err := in.Read(buffer)
		if err != nil {
			return
		}
		p.logins.Add(int32(bytes.Count(buffer[:n], []byte(openldap.Reader))))
		if _, err := out.Write(buffer[:n]); err != nil {
			return
		}
	}
}

// TestKeptSettings: at a start without the database the settings that it had
// last hold, until the LDAP server refuses the service account once.
func TestKeptSettings(t *testing.T) {
	ldap := openldap.Start(t, openldap.Config{NoTLS: true, LDIF: "dn: uid=alice," + openldap.Base + "\nobjectClass: inetOrgPerson\nuid: alice\ncn: Alice\nsn: Liddell\nuserPassword: Wonder-land1\n"})
	tap := newTap(t, ldap.Plain)
	paths := config.FolderPaths(t.TempDir())
	store := config.NewStore(paths.Live())
	d := &table{rows: map[string]string{}, mode: databaseapi.Connected}
	shared := settings.NewStore(store, d, time.Now)
	password := func(to config.Secret) {
		t.Helper()
		if err := shared.Change(t.Context(), func(c *config.Directory) error {
			*c = config.Directory{Address: "127.0.0.1", Port: tap.port, TLS: "none", BaseDN: openldap.Base, User: "$uid$", Username: openldap.Reader, Password: to}
			return nil
		}, func() error { return nil }); err != nil {
			t.Fatal(err)
		}
	}
	down := errors.New("down")
	database := func(err error) {
		d.mu.Lock()
		defer d.mu.Unlock()
		d.down = err
	}
	// start has the database answer, or not, for as long as it has at a start.
	start := func() *Bridge {
		t.Helper()
		b := New(Config{Paths: paths}, Deps{Config: store, Deployment: d, Events: &eventLog{}, Log: slog.New(slog.DiscardHandler)})
		t.Cleanup(func() { b.people.take(config.Directory{}, true) })
		err := b.takeDirectory(t.Context())
		if b.people.known() != (err == nil) {
			t.Errorf("settings known at once: %v, with the database's %v", b.people.known(), err)
		}
		b.begun = b.begun.Add(-keptAfter)
		b.takeDirectory(t.Context())
		return b
	}
	check := func(b *Bridge, want bool, code problem.Code) {
		t.Helper()
		if ok, err := b.people.check(t.Context(), "alice", "Wonder-land1"); ok != want || problem.CodeOf(err) != code {
			t.Errorf("check = %v, %v; want %v, %q", ok, err, want, code)
		}
	}
	offers := func(b *Bridge, want bool, listings int) {
		t.Helper()
		if there, last, _ := b.people.look(); there != want || last.number != listings || len(last.names) != listings {
			t.Errorf("passwords are checked: %v; listing %d of %v is told; want %v, %d", there, last.number, last.names, want, listings)
		}
	}
	unsure := func(b *Bridge, want bool) {
		t.Helper()
		if now, err := b.Directory(t.Context()); err != nil || now.Unsure != want {
			t.Errorf("Directory = %+v, %v; want unsure %v", now, err, want)
		}
	}

	password(openldap.ReaderSecret)
	check(start(), true, "")
	database(down)
	b := start()
	unsure(b, true)
	offers(b, false, 0)
	check(b, false, problem.DirectoryUnknownYet)
	b.people.list(t.Context())
	offers(b, true, 0)
	check(b, true, "")
	<-b.people.asked
	database(nil)
	if err := b.takeDirectory(t.Context()); err != nil {
		t.Fatal(err)
	}
	unsure(b, false)
	check(b, true, "")
	<-b.people.asked
	b.people.list(t.Context())
	offers(b, true, 1)

	// The password is another one meanwhile.
	ldap.Modify("dn: " + openldap.Reader + "\nchangetype: modify\nreplace: userPassword\nuserPassword: another-Secret2\n")
	database(down)
	b = start()
	before := tap.logins.Load()
	for range 5 {
		b.people.list(t.Context())
		b.takeDirectory(t.Context())
		offers(b, false, 0)
		check(b, false, problem.DirectoryOutdated)
	}
	if got := tap.logins.Load() - before; got != 1 {
		t.Errorf("the service account logged in %d times with the old password; want 1", got)
	}
	if _, err := os.Stat(filepath.Join(paths.CallBridge(), "directory.json")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file with the settings: %v; want it gone", err)
	}
	check(start(), false, "")
	database(nil)
	password("another-Secret2")
	if err := b.takeDirectory(t.Context()); err != nil {
		t.Fatal(err)
	}
	unsure(b, false)
	check(b, true, "")
	database(down)
	b = start()
	b.people.list(t.Context())
	check(b, true, "")
}
