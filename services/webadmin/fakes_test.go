package webadmin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/init/initapi"
	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/eventlog/eventlogapi"
	"parley/services/network/networkapi"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// The fakes answer from fields that tests set before a request, and remember
// what was asked of them. With gone they do not answer.

func answer(gone bool, service string) error {
	if gone {
		return problem.New(problem.NotReachable, "service", service)
	}
	return nil
}

// electing is how long the XMPP server and the database wait for a leader.
const electing = 8 * time.Second

// leaderless is what comes of a change without a leader: the service's own
// answer for who waits for it, and for others that it does not answer.
func leaderless(ctx context.Context, service string, code problem.Code) error {
	if end, ok := ctx.Deadline(); ok && time.Until(end) < electing {
		return problem.New(problem.NotReachable, "service", service)
	}
	return problem.New(code)
}

type fakeInit struct {
	initapi.API
	gone   bool
	status initapi.Status
}

func (f *fakeInit) Status(context.Context) (initapi.Status, error) {
	return f.status, answer(f.gone, "init")
}

type fakeXMPP struct {
	xmppapi.API
	gone    bool
	status  xmppapi.Status
	cluster xmppapi.Cluster
	bridges []xmppapi.CallBridge
	users   map[string]string
	// leaderless has changes wait for a leader in vain.
	leaderless bool
	// directory are the users whose passwords the directory has; left are not in
	// it any more.
	directory, left []string
}

func (f *fakeXMPP) Status(context.Context) (xmppapi.Status, error) {
	return f.status, answer(f.gone, "xmpp")
}

func (f *fakeXMPP) Cluster(context.Context) (xmppapi.Cluster, error) {
	return f.cluster, answer(f.gone, "xmpp")
}

func (f *fakeXMPP) CallBridges(context.Context) ([]xmppapi.CallBridge, error) {
	return slices.Clone(f.bridges), answer(f.gone, "xmpp")
}

func (f *fakeXMPP) AddCallBridge(ctx context.Context, name, secret string) (xmppapi.CallBridge, error) {
	if f.leaderless {
		return xmppapi.CallBridge{}, leaderless(ctx, "xmpp", problem.NoLeader)
	}
	b := xmppapi.CallBridge{Name: name, Secret: secret}
	switch {
	case slices.ContainsFunc(f.bridges, func(b xmppapi.CallBridge) bool { return b.Name == name }):
		return b, problem.New(problem.BridgeExists, "name", name)
	case strings.Contains(name, "."):
		return b, problem.New(problem.BridgeName, "name", name)
	case secret != "" && len(secret) < 8:
		return b, problem.New(problem.BridgeSecret, "name", name)
	}
	f.bridges = append(f.bridges, b)
	return b, answer(f.gone, "xmpp")
}

func (f *fakeXMPP) DescribeCallBridge(ctx context.Context, name string, d xmppapi.Description) error {
	if f.leaderless {
		return leaderless(ctx, "xmpp", problem.NoLeader)
	}
	for i := range f.bridges {
		if f.bridges[i].Name == name {
			f.bridges[i].Description = d
			return nil
		}
	}
	return problem.New(problem.BridgeUnknown, "name", name)
}

func (f *fakeXMPP) DelCallBridge(ctx context.Context, name string) error {
	if f.leaderless {
		return leaderless(ctx, "xmpp", problem.NoLeader)
	}
	f.bridges = slices.DeleteFunc(f.bridges, func(b xmppapi.CallBridge) bool { return b.Name == name })
	return answer(f.gone, "xmpp")
}

func (f *fakeXMPP) Users(context.Context) ([]xmppapi.User, error) {
	var all []xmppapi.User
	for name := range f.users {
		all = append(all, xmppapi.User{Name: name, Sessions: []string{"phone"}, Pending: 3, Directory: slices.Contains(f.directory, name), Left: slices.Contains(f.left, name)})
	}
	return all, answer(f.gone, "xmpp")
}

func (f *fakeXMPP) AddUser(ctx context.Context, u xmppapi.Credential) error {
	if f.leaderless {
		return leaderless(ctx, "xmpp", problem.NoLeader)
	}
	if _, there := f.users[u.Name]; there {
		return problem.New(problem.UserExists, "name", u.Name)
	}
	return f.SetPassword(ctx, u)
}

func (f *fakeXMPP) SetPassword(ctx context.Context, u xmppapi.Credential) error {
	if f.leaderless {
		return leaderless(ctx, "xmpp", problem.NoLeader)
	}
	if u.Password == "" {
		return problem.New(problem.UserPassword, "name", u.Name)
	}
	f.users[u.Name] = u.Password
	return answer(f.gone, "xmpp")
}

func (f *fakeXMPP) DelUser(ctx context.Context, name string) error {
	if f.leaderless {
		return leaderless(ctx, "xmpp", problem.NoLeader)
	}
	if _, there := f.users[name]; !there {
		return problem.New(problem.UserUnknown, "name", name)
	}
	delete(f.users, name)
	return nil
}

type fakeBridge struct {
	callbridgeapi.API
	gone   bool
	refuse error
	// mu guards status where a page asks by itself.
	mu      sync.Mutex
	status  callbridgeapi.Status
	steps   []callbridgeapi.Step
	store   *config.Store
	reloads int
	// directory is the LDAP server.
	directory callbridgeapi.Directory
}

func (f *fakeBridge) Status(context.Context) (callbridgeapi.Status, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.gone {
		return callbridgeapi.Status{}, answer(true, "callbridge")
	}
	return f.status, nil
}

// say changes the row of Status > General.
func (f *fakeBridge) say(row string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.status.XMPPRow = row
}

func (f *fakeBridge) Reload(context.Context) error {
	f.reloads++
	return errors.Join(f.refuse, answer(f.gone, "callbridge"))
}

func (f *fakeBridge) Test(context.Context) ([]callbridgeapi.Step, error) {
	return f.steps, answer(f.gone, "callbridge")
}

func (f *fakeBridge) Directory(context.Context) (callbridgeapi.Directory, error) {
	return f.directory, answer(f.gone, "callbridge")
}

func (f *fakeBridge) TestDirectory(context.Context) ([]callbridgeapi.Step, error) {
	return f.steps, errors.Join(f.refuse, answer(f.gone, "callbridge"))
}

func (f *fakeBridge) SyncDirectory(context.Context) (callbridgeapi.Directory, error) {
	f.directory.Synced = start
	return f.directory, errors.Join(f.refuse, answer(f.gone, "callbridge"))
}

type fakeEvents struct {
	eventlogapi.API
	gone   bool
	events []eventlogapi.Event
	faults []eventlogapi.Fault
	asked  eventlogapi.Query
	traces map[string]time.Time
}

func (f *fakeEvents) Trace(_ context.Context, subsystem string, d time.Duration) error {
	if delete(f.traces, subsystem); d > 0 {
		f.traces[subsystem] = start.Add(d)
	}
	return answer(f.gone, "eventlog")
}

func (f *fakeEvents) Traces(context.Context) (map[string]time.Time, error) {
	return f.traces, answer(f.gone, "eventlog")
}

// Events returns the newest first, as the event log does.
func (f *fakeEvents) Events(_ context.Context, q eventlogapi.Query) ([]eventlogapi.Event, error) {
	f.asked = q
	var out []eventlogapi.Event
	for _, e := range slices.Backward(f.events) {
		if (len(q.Levels) == 0 || slices.Contains(q.Levels, e.Level)) && len(out) < q.Limit {
			out = append(out, e)
		}
	}
	return out, answer(f.gone, "eventlog")
}

func (f *fakeEvents) Faults(context.Context) ([]eventlogapi.Fault, error) {
	return f.faults, answer(f.gone, "eventlog")
}

func (f *fakeEvents) Clear(_ context.Context, by string) (int, error) {
	n := len(f.events)
	f.events = []eventlogapi.Event{{ID: 1, Time: start, Level: eventlogapi.Info, Message: fmt.Sprintf("%d log messages cleared by %q", n, by)}}
	return n, answer(f.gone, "eventlog")
}

type fakeDatabase struct {
	databaseapi.API
	gone   bool
	status databaseapi.Status
	// leaderless has changes wait for a primary in vain.
	leaderless bool
	// settings are the directory's, nil where live.json has them.
	settings []databaseapi.Record
}

func (f *fakeDatabase) Status(context.Context) (databaseapi.Status, error) {
	return f.status, answer(f.gone, "database")
}

func (f *fakeDatabase) List(context.Context, string) ([]databaseapi.Record, error) {
	return f.settings, answer(f.gone, "database")
}

func (f *fakeDatabase) Swap(ctx context.Context, table string, old json.RawMessage, r databaseapi.Record) error {
	if f.leaderless {
		return leaderless(ctx, "database", problem.DatabaseNoLeader)
	}
	if len(f.settings) > 0 && !bytes.Equal(old, f.settings[0].Value) {
		return problem.New(problem.RecordChanged, "table", table)
	}
	f.settings = []databaseapi.Record{r}
	return answer(f.gone, "database")
}

type fakeNetwork struct{ gone bool }

func (f *fakeNetwork) Interfaces(context.Context) ([]networkapi.Interface, error) {
	return nil, answer(f.gone, "network")
}

// fakeAudit keeps the lines, or takes none.
type fakeAudit struct {
	mu     sync.Mutex
	broken bool
	lines  []string
}

func (f *fakeAudit) Audit(user, _, command, verdict string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.broken {
		return errors.New("no space left on device")
	}
	f.lines = append(f.lines, user+": "+command+": "+verdict)
	return nil
}

// take returns the lines since it was last called.
func (f *fakeAudit) take() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	lines := f.lines
	f.lines = nil
	return lines
}

// clock stands still until it is moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) move(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// start is when tests begin.
var start = time.Date(2026, 11, 22, 20, 0, 0, 0, time.UTC)
