package callbridge

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/callbridge/directory"
	"parley/services/config"
	"parley/services/eventlog/eventlogapi"
	"parley/services/problem"
)

// people is the LDAP server of the configuration: whether a password is right,
// and who exists.
type people struct {
	deps     directory.Deps
	log      *slog.Logger
	reporter *reporter
	// givenUp is told that the settings are not to be tried at the next start
	// either.
	givenUp func()
	// asked wakes run, to list the users by what is configured now; suspected
	// wakes it where the server may not be there any more, and lost where it is
	// not, and has to be asked again soon.
	asked, suspected, lost chan struct{}

	mu   sync.Mutex
	conf config.Directory
	// why the settings are not known, nil when they are or were. outdated says
	// that they were, and are not tried again.
	why      error
	outdated bool
	// sure says that the settings hold; otherwise the database does not say.
	// proven says that they do, or did, or that the users were listed by them.
	// confirmed says that the database has said so since the settings were taken.
	sure, proven, confirmed bool
	// server is nil where there is none, or its settings are not complete.
	server *held
	status callbridgeapi.Directory
	// fault is the condition, zero for none. idle says that nobody is told of it:
	// see rest.
	fault eventlogapi.Fault
	idle  bool
	// answered is when the server did last.
	answered time.Time
	// listed wait for the next listing.
	listed []chan error
	// last is who exists, by the last time that the users were listed.
	last listing
	// changed is closed when server or listing have changed.
	changed chan struct{}
}

// listing is who exists, by one time that the users were listed.
type listing struct {
	// number is another for each, 0 for none.
	number int
	// at is when it was made, and source what of.
	at     time.Time
	source string
	names  []string
}

// held is a directory with those who use it. Replaced, it is closed after the
// last of them.
type held struct {
	*directory.Directory
	// address is where it is, as in the settings.
	address  string
	users    int
	replaced bool
}

const (
	// listEvery is how often the users are listed, listAgain how soon where
	// that failed, and listTime how long it may take.
	listEvery = 15 * time.Minute
	listAgain = time.Minute
	listTime  = 2 * time.Minute
	// checkTime is less than XMPP waits for an answer: it then asks another.
	checkTime = 1800 * time.Millisecond
)

// errNoDirectory: there is none to ask.
var errNoDirectory = errors.New("there is no directory")

func newPeople(root string, deps Deps, givenUp func(), log *slog.Logger) *people {
	yet := problem.New(problem.DirectoryUnknownYet)
	p := &people{
		deps: directory.Deps{Names: deps.Names, Files: folder(root), Log: deps.Log}, givenUp: givenUp, log: log,
		reporter: newReporter(directoryFault, deps.Events, log), asked: make(chan struct{}, 1), suspected: make(chan struct{}, 1), lost: make(chan struct{}, 1), changed: make(chan struct{}),
		why: yet, status: callbridgeapi.Directory{Configured: true},
	}
	p.trouble(yet, time.Time{})
	return p
}

// folder reads the files of the SFTP root.
type folder string

// Read implements directory.Files.
func (f folder) Read(name string) ([]byte, error) {
	data, err := os.ReadFile(filepath.Join(string(f), filepath.Base(name)))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, problem.New(problem.DirectoryTrustFile, "file", name)
	}
	if err != nil {
		return nil, problem.New(problem.DirectoryTrust, "file", name)
	}
	return data, nil
}

// directoryLimits: one address that is silent must not take up the time
// of a check.
func directoryLimits() directory.Limits {
	l := directory.DefaultLimits()
	l.Address = 800 * time.Millisecond
	return l
}

// take has conf be the configuration. Where it is not sure that conf still holds
// no password is checked by it before the users were listed once: so an old
// password of the service account is tried once, and not by each who logs in. Nor
// is told then who exists.
func (p *people) take(conf config.Directory, sure bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch same := conf == p.conf; {
	case same && p.why == nil:
		p.trust(sure)
		return
	case same && p.outdated && !sure:
		return
	}
	p.conf, p.why, p.outdated = conf, nil, false
	p.sure, p.proven, p.confirmed = sure, sure, sure
	p.drop()
	defer p.tell()
	p.lower(fmt.Sprintf("LDAP server %s is not asked any more as it was: settings have changed", p.status.Server))
	p.status, p.answered = callbridgeapi.Directory{Configured: conf.Address != ""}, time.Time{}
	if !p.status.Configured {
		return
	}
	p.status.Server, p.status.TLS = directory.Server(conf)
	err := directory.CheckComplete(conf)
	var d *directory.Directory
	if err == nil {
		d, err = directory.New(directory.Config{Settings: conf, Limits: directoryLimits()}, p.deps)
	}
	if err != nil {
		p.trouble(err, time.Now())
		return
	}
	p.server = &held{Directory: d, address: p.status.Server}
	p.wake()
}

// drop ends the use of the server that there is. It is called with mu held.
func (p *people) drop() {
	if p.server != nil {
		p.server.replaced = true
		p.closeUnused(p.server)
		p.server = nil
	}
	p.last = listing{number: p.last.number}
}

// tell has those who look be told of a change. It is called with mu held.
func (p *people) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// look returns whether there is a directory to ask, and who exists. changed is
// closed when that is not so any more.
func (p *people) look() (there bool, last listing, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server != nil && p.proven, p.last, p.changed
}

func (p *people) wake() {
	select {
	case p.asked <- struct{}{}:
	default:
	}
}

// use returns the directory that is configured; done gives it back.
func (p *people) use() (d *held, done func(), err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	h := p.server
	if h == nil {
		if p.why != nil {
			return nil, nil, p.why
		}
		if p.conf.Address != "" {
			return nil, nil, directory.CheckComplete(p.conf)
		}
		return nil, nil, errNoDirectory
	}
	h.users++
	return h, func() {
		p.mu.Lock()
		defer p.mu.Unlock()
		h.users--
		p.closeUnused(h)
	}, nil
}

// closeUnused is called with mu held.
func (p *people) closeUnused(h *held) {
	if h.replaced && h.users == 0 {
		h.Close()
	}
}

// check says whether password is user's. An error says that the directory did
// not decide.
func (p *people) check(ctx context.Context, user string, password config.Secret) (bool, error) {
	d, done, err := p.use()
	if err != nil {
		return false, err
	}
	defer done()
	p.mu.Lock()
	proven := p.proven
	p.mu.Unlock()
	if !proven {
		return false, problem.New(problem.DirectoryUnknownYet)
	}
	limited, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	right, err := d.Check(limited, user, password)
	if errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil {
		err = problem.New(problem.DirectorySilent, "address", d.address, "what", "the check of a password")
	}
	p.refused(d, err)
	// What cannot be a password is wrong without anybody being asked.
	if right || err != nil {
		p.noted(d, err)
	}
	return right, err
}

// run lists the users now and then, and asks a server that could not be asked
// until it can, until ctx ends.
func (p *people) run(ctx context.Context) {
	defer p.end()
	for due := time.Now(); ; {
		if !time.Now().Before(due) {
			due = time.Now().Add(p.list(ctx))
		}
		p.mu.Lock()
		p.status.Next = time.Time{}
		if p.server != nil {
			p.status.Next = due
		}
		p.mu.Unlock()
		wait, silent := time.Until(due), p.unanswered()
		if silent {
			wait = min(wait, askAgain)
		}
		select {
		case <-ctx.Done():
			return
		case <-p.asked:
			due = time.Now()
		case <-p.suspected:
			// What is wrong is noted, and why has been told.
			_ = p.probe(ctx)
		case <-p.lost:
		case <-time.After(wait):
			if silent && time.Now().Before(due) {
				_ = p.probe(ctx)
			}
		}
	}
}

// end gives the server up with the process, of which no event is told.
func (p *people) end() {
	p.mu.Lock()
	p.fault = eventlogapi.Fault{}
	p.mu.Unlock()
	p.take(config.Directory{}, true)
}

// list has the directory list its users, for all who wait for that. It returns
// how soon it is to be done again.
func (p *people) list(ctx context.Context) time.Duration {
	p.mu.Lock()
	waiting := p.listed
	p.listed = nil
	p.mu.Unlock()
	d, done, err := p.use()
	if err == nil {
		defer done()
		err = p.listBy(ctx, d)
	}
	for _, w := range waiting {
		w <- err
	}
	if err != nil {
		return chance(listAgain)
	}
	return chance(listEvery)
}

func (p *people) listBy(ctx context.Context, d *held) error {
	ctx, cancel := context.WithTimeout(ctx, listTime)
	defer cancel()
	list, err := d.Users(ctx)
	if err != nil {
		p.refused(d, err)
		p.mu.Lock()
		alone := p.listAlone(err)
		p.mu.Unlock()
		if ctx.Err() == nil {
			p.log.Warn("directory not listed", "err", err)
			p.cannot(d, err, alone)
		}
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if d != p.server {
		return nil
	}
	now := time.Now()
	p.log.Info("directory listed", "server", p.status.Server, "users", len(list.Users), "unfit", list.Unfit)
	p.leftOut(list)
	p.status.Users, p.status.Synced, p.answered = len(list.Users), now, now
	p.trouble(nil, time.Time{})
	p.lower(fmt.Sprintf("LDAP server %s can be asked again, and lists its users", p.status.Server))
	names := make([]string, len(list.Users))
	for i, u := range list.Users {
		names[i] = u.Name
	}
	// Settings that nobody has confirmed may leave somebody out, or have somebody
	// in. Those that were hold on without a primary: nobody changes them then.
	if p.confirmed {
		p.last = listing{p.last.number + 1, now, directory.Source(p.conf), names}
	}
	p.proven = true
	p.tell()
	return nil
}

// Directory implements callbridgeapi.API.
func (b *Bridge) Directory(context.Context) (callbridgeapi.Directory, error) {
	b.mu.Lock()
	own := b.status.own
	b.mu.Unlock()
	p := b.people
	p.mu.Lock()
	defer p.mu.Unlock()
	d := p.status
	d.Offered = own
	d.Unsure = p.server != nil && !p.sure
	return d, nil
}

// TestDirectory implements callbridgeapi.API. It goes by the settings as they are.
func (b *Bridge) TestDirectory(ctx context.Context) ([]callbridgeapi.Step, error) {
	ctx, cancel := context.WithTimeout(ctx, walkTime)
	defer cancel()
	conf, err := b.inForce(ctx)
	if err != nil {
		return nil, err
	}
	if err := directory.CheckComplete(conf.Directory); err != nil {
		return nil, err
	}
	d, err := directory.New(directory.Config{Settings: conf.Directory}, b.people.deps)
	if err != nil {
		return nil, err
	}
	defer d.Close()
	server, _ := directory.Server(conf.Directory)
	var steps []callbridgeapi.Step
	for _, s := range d.Walk(ctx) {
		step := callbridgeapi.Step{Target: server, What: s.What, OK: s.Err == nil, Detail: s.Detail, Took: s.Took}
		if s.Err != nil {
			step.Detail, step.Hint = problem.Text(s.Err), ""
		}
		steps = append(steps, step)
	}
	return steps, nil
}

// ProbeDirectory implements callbridgeapi.API.
func (b *Bridge) ProbeDirectory(ctx context.Context) error {
	err := b.people.probe(ctx)
	if errors.Is(err, errNoDirectory) {
		return problem.New(problem.DirectoryUnset)
	}
	return err
}

// SyncDirectory implements callbridgeapi.API.
func (b *Bridge) SyncDirectory(ctx context.Context) (callbridgeapi.Directory, error) {
	p := b.people
	if _, done, err := p.use(); errors.Is(err, errNoDirectory) {
		return callbridgeapi.Directory{}, problem.New(problem.DirectoryUnset)
	} else if err != nil {
		return callbridgeapi.Directory{}, err
	} else {
		done()
	}
	listed := make(chan error, 1)
	p.mu.Lock()
	p.listed = append(p.listed, listed)
	p.mu.Unlock()
	p.wake()
	select {
	case err := <-listed:
		if err != nil {
			return callbridgeapi.Directory{}, err
		}
	case <-ctx.Done():
		return callbridgeapi.Directory{}, ctx.Err()
	}
	return b.Directory(ctx)
}
