package callbridge

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"parley/services/callbridge/directory/openldap"
	"parley/services/config"
	"parley/services/eventlog/eventlogapi"
	"parley/services/problem"
)

// ldapFault is the condition's text, "" for none.
func (l *eventLog) ldapFault() string {
	return l.faultOf(directoryFault).Message
}

// TestCondition: a server that is lost is noticed by the first check, and that
// it is back without any; both are told. A list that fails alone is told as such.
func TestCondition(t *testing.T) {
	ldap := openldap.Start(t, openldap.Config{NoTLS: true, LDIF: ldapPeople})
	log := &eventLog{}
	b := New(Config{Paths: config.FolderPaths(t.TempDir())}, Deps{Events: log, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { b.people.reporter.run(ctx) })
	running.Go(func() { b.people.run(ctx) })
	defer running.Wait()
	defer stop()
	good := config.Directory{
		Address: "127.0.0.1", Port: ldap.Plain, TLS: "none", Username: openldap.Reader, Password: openldap.ReaderSecret, BaseDN: openldap.Base, User: "$uid$",
	}
	nobody := good
	nobody.Filter = "(uid=nobody)"
	b.people.take(good, true)
	if _, err := b.SyncDirectory(ctx); err != nil {
		t.Fatal(err)
	}
	told := 0
	want := func(what, fault, event, ailing string) {
		t.Helper()
		await(t, what+": the event "+event, func() bool {
			return slices.ContainsFunc(log.messages()[told:], func(m string) bool { return strings.Contains(m, event) })
		})
		await(t, what+": the condition "+fault, func() bool {
			return strings.HasSuffix(log.ldapFault(), fault) && (fault == "") == (log.ldapFault() == "")
		})
		if got := b.people.ailing(); (got != "") != (ailing != "") {
			t.Errorf("%s: the server that cannot be asked is %q; want %q", what, got, ailing)
		}
		told = len(log.messages())
	}
	check := func(password config.Secret) (bool, error) { return b.people.check(ctx, "alice", password) }
	server := b.people.status.Server

	// The list that is due is made; nothing but the check can tell of the loss.
	await(t, "the list that is due", func() bool {
		now, err := b.Directory(ctx)
		return err == nil && len(b.people.asked) == 0 && time.Until(now.Next) > time.Minute
	})
	ldap.Stop()
	if _, err := check("Wonder-land1"); problem.CodeOf(err) != problem.DirectoryUnreachable {
		t.Errorf("check without the server = %v; want %q", err, problem.DirectoryUnreachable)
	}
	want("server lost", "cannot be asked", "cannot be asked: ", server)
	for range 3 {
		_, _ = check("Wonder-land1")
	}
	if ok, err := check(""); ok || err != nil || b.people.ailing() == "" {
		t.Errorf("check of no password = %v, %v, and the server cannot be asked: %v; want it so still", ok, err, b.people.ailing() != "")
	}
	b.people.rest(true)
	want("disabled", "", "is not needed any more: the Call Bridge is disabled", server)
	_, _ = check("Wonder-land1")
	b.people.rest(true)
	b.people.rest(false)
	want("enabled again", "cannot be asked", "cannot be asked: ", server)
	ldap.Restart()
	want("server back", "", "can be asked again", "")
	count := 0
	for _, m := range log.messages() {
		if strings.Contains(m, "cannot be asked") {
			count++
		}
	}
	if count != 2 {
		t.Errorf("told %d times that the server cannot be asked: %q; want once, and once more when enabled again", count, log.messages())
	}
	b.people.rest(true)
	b.people.take(nobody, true)
	if _, err := b.SyncDirectory(ctx); problem.CodeOf(err) != problem.DirectoryNobody {
		t.Errorf("SyncDirectory of nobody = %v; want %q", err, problem.DirectoryNobody)
	}
	b.people.reporter.mu.Lock()
	told = len(log.messages())
	if f := b.people.reporter.fault; f != nil {
		t.Errorf("a disabled Call Bridge raises %q; want nothing", f.Message)
	}
	b.people.reporter.mu.Unlock()
	b.people.rest(false)
	want("nobody listed", "does not list its users", "select nobody", "")
	// A check that goes well says nothing of the list.
	if _, err := check("x"); err != nil {
		t.Errorf("check = %v", err)
	}
	if err := b.ProbeDirectory(ctx); err != nil || log.ldapFault() == "" {
		t.Errorf("ProbeDirectory = %v, with the condition %q; want the condition still", err, log.ldapFault())
	}
	if _, last, _ := b.people.look(); len(last.names) != 0 {
		t.Errorf("%v are told; want nobody", last.names)
	}
	b.people.take(good, true)
	want("other settings", "", "settings have changed", "")
}

// TestLeftOut: who can be no chat user is counted, and the event log is told once
// for each change of that.
func TestLeftOut(t *testing.T) {
	const bert = "dn: uid=Bert U,dc=example,dc=com\n"
	ldap := openldap.Start(t, openldap.Config{NoTLS: true, LDIF: ldapPeople})
	b := New(Config{Paths: config.FolderPaths(t.TempDir())}, Deps{Events: &eventLog{}, Log: slog.New(slog.DiscardHandler)})
	ctx, stop := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { b.people.run(ctx) })
	defer running.Wait()
	defer stop()
	b.people.take(config.Directory{
		Address: "127.0.0.1", Port: ldap.Plain, TLS: "none", Username: openldap.Reader, Password: openldap.ReaderSecret, BaseDN: openldap.Base, User: "$uid$",
	}, true)
	add := bert + "changetype: add\nobjectClass: inetOrgPerson\nuid: Bert U\ncn: Bert\nsn: U\n"
	for _, step := range []struct {
		name, ldif  string
		unfit, told int
	}{
		{"all are fit", "", 0, 0},
		{"one is not", add, 1, 1},
		{"the same", "", 1, 1},
		{"he is gone", bert + "changetype: delete\n", 0, 1},
		{"and back", add, 1, 2},
	} {
		if step.ldif != "" {
			ldap.Modify(step.ldif)
		}
		d, err := b.SyncDirectory(ctx)
		if err != nil || d.Users != 2 || d.Unfit != step.unfit || d.Unfit > 0 && d.Like != "Bert U" {
			t.Errorf("%s: %d users, %d left out like %q, %v; want 2, and %d left out", step.name, d.Users, d.Unfit, d.Like, err, step.unfit)
		}
		r := b.people.reporter
		r.mu.Lock()
		told := 0
		for _, e := range r.queue {
			if e.Level == eventlogapi.Warning && strings.Contains(e.Message, "1 left out, as no chat address can be made of names like 'Bert U'") {
				told++
			}
		}
		r.mu.Unlock()
		if told != step.told {
			t.Errorf("%s: told %d times; want %d", step.name, told, step.told)
		}
	}
}

// TestDisabledHasNoCondition: a Call Bridge that is disabled has no use for an
// LDAP server, so nobody is told what is wrong with it until it is enabled.
func TestDisabledHasNoCondition(t *testing.T) {
	w := newWorld(t, config.BridgeLink{Name: "cb1"}, newAuthority(t).pem)
	if err := w.store.Update(func(d *config.Document) error {
		d.CallBridge.Enabled = false
		d.Directory = config.Directory{Address: "127.0.0.1", Port: 1, BaseDN: "dc=example", User: "$uid$", Trust: "absent.cer"}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	w.run()
	trouble := func() string {
		d, err := w.Directory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return d.Trouble
	}
	condition := func() *eventlogapi.Fault {
		r := w.people.reporter
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.fault
	}
	await(t, "the failure", func() bool { return strings.Contains(trouble(), "absent.cer") })
	if f := condition(); f != nil {
		t.Errorf("a disabled Call Bridge raises %q; want nothing", f.Message)
	}
	for _, enabled := range []bool{true, false} {
		if err := w.change(func(c *config.CallBridge) { c.Enabled = enabled }); err != nil {
			t.Fatal(err)
		}
		if f := condition(); (f != nil) != enabled {
			t.Errorf("enabled %v, and the condition is %v", enabled, f)
		}
	}
}

// TestFailedList: which failures of a list say nothing of checks.
func TestFailedList(t *testing.T) {
	for _, tt := range []struct {
		name     string
		err      error
		answered time.Duration
		want     bool
	}{
		{"no connection", problem.New(problem.DirectoryUnreachable), 0, false},
		{"wrong password", problem.New(problem.DirectoryBind), 0, false},
		{"too many", problem.New(problem.DirectoryLimit), time.Hour, true},
		{"nobody", problem.New(problem.DirectoryNobody), time.Hour, true},
		{"silent after an answer", problem.New(problem.DirectorySilent), 0, true},
		{"silent for long", problem.New(problem.DirectorySilent), time.Hour, false},
		{"something else", errors.New("x"), time.Hour, false},
	} {
		p := &people{answered: time.Now().Add(-tt.answered)}
		if got := p.listAlone(tt.err); got != tt.want {
			t.Errorf("%s: of the list alone = %v; want %v", tt.name, got, tt.want)
		}
	}
}
