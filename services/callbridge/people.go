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
	// asked wakes run, to list the users by what is configured now.
	asked chan struct{}

	mu   sync.Mutex
	conf config.Directory
	// why the settings are not known, nil when they are or were.
	why error
	// server is nil where there is none, or its settings are not complete.
	server *held
	status callbridgeapi.Directory
	// listed wait for the next listing.
	listed []chan error
	// names are of those who exist by the last listing, which has this number.
	names   []string
	listing int
	// changed is closed when server or listing have changed.
	changed chan struct{}
}

// held is a directory with those who use it. Replaced, it is closed after the
// last of them.
type held struct {
	*directory.Directory
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

// directoryFault names the condition that the LDAP server cannot be asked.
const directoryFault = "callbridge.directory"

// errNoDirectory: there is none to ask.
var errNoDirectory = errors.New("there is no directory")

func newPeople(root string, deps Deps, log *slog.Logger) *people {
	yet := problem.New(problem.DirectoryUnknownYet)
	return &people{
		deps: directory.Deps{Names: deps.Names, Files: folder(root), Log: deps.Log}, log: log,
		reporter: newReporter(directoryFault, deps.Events, log), asked: make(chan struct{}, 1), changed: make(chan struct{}),
		why: yet, status: callbridgeapi.Directory{Configured: true, Trouble: problem.Text(yet)},
	}
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

// take has conf be the configuration.
func (p *people) take(conf config.Directory) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if conf == p.conf && p.why == nil {
		return
	}
	p.conf, p.why = conf, nil
	if p.server != nil {
		p.server.replaced = true
		p.closeUnused(p.server)
		p.server = nil
	}
	p.names = nil
	defer p.tell()
	p.status = callbridgeapi.Directory{Configured: conf.Address != ""}
	p.reporter.mended()
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
		p.status.Trouble, p.status.TroubleAt = problem.Text(err), time.Now()
		return
	}
	p.server = &held{Directory: d}
	p.wake()
}

// known says whether the settings were known once.
func (p *people) known() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.why == nil
}

// unknown notes why the settings are not known, unless they were once.
func (p *people) unknown(err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.why == nil {
		return
	}
	p.why = err
	p.status = callbridgeapi.Directory{Configured: true, Trouble: problem.Text(err), TroubleAt: time.Now()}
}

// tell has those who look be told of a change. It is called with mu held.
func (p *people) tell() {
	close(p.changed)
	p.changed = make(chan struct{})
}

// look returns whether there is a directory to ask, and who exists by which
// listing. changed is closed when that is not so any more.
func (p *people) look() (there bool, names []string, listing int, changed <-chan struct{}) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.server != nil, p.names, p.listing, p.changed
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
	ctx, cancel := context.WithTimeout(ctx, checkTime)
	defer cancel()
	return d.Check(ctx, user, password)
}

// run lists the users now and then, until ctx ends.
func (p *people) run(ctx context.Context) {
	defer p.take(config.Directory{})
	for {
		wait := p.list(ctx)
		p.mu.Lock()
		p.status.Next = time.Time{}
		if p.server != nil {
			p.status.Next = time.Now().Add(wait)
		}
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return
		case <-p.asked:
		case <-time.After(wait):
		}
	}
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
	users, err := d.Users(ctx)
	p.mu.Lock()
	defer p.mu.Unlock()
	if d != p.server || ctx.Err() != nil && err != nil {
		return err
	}
	now := time.Now()
	if err != nil {
		text := problem.Text(err)
		p.log.Warn("directory not listed", "err", err)
		p.status.Trouble, p.status.TroubleAt = text, now
		p.reporter.failed(&eventlogapi.Fault{Key: directoryFault, Message: fmt.Sprintf("LDAP server %s cannot be asked", p.status.Server), Hint: text})
		return err
	}
	p.log.Info("directory listed", "server", p.status.Server, "users", len(users))
	p.status.Users, p.status.Synced, p.status.Trouble, p.status.TroubleAt = len(users), now, "", time.Time{}
	p.reporter.mended()
	names := make([]string, len(users))
	for i, u := range users {
		names[i] = u.Name
	}
	p.names = names
	p.listing++
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
