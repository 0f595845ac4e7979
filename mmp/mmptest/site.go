package mmptest

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"parley/services/config"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// Site is a few nodes that can reach each other, each with a twin of the XMPP
// service.
type Site struct {
	mu    sync.Mutex
	nodes map[string]*XMPP
	// databases are by IPv4 address.
	databases map[string]*Database
	// down are cut off, since when.
	down map[string]time.Time
}

// NewSite returns a site without nodes.
func NewSite() *Site {
	return &Site{nodes: map[string]*XMPP{}, databases: map[string]*Database{}, down: map[string]time.Time{}}
}

// Add puts a node at an IPv4 address; the others know it by name, too.
func (s *Site) Add(name, address string, cfg *config.Store) *XMPP {
	s.mu.Lock()
	defer s.mu.Unlock()
	x := &XMPP{Config: cfg, Version: "1.0", site: s, name: name, address: address + ":5222", data: &data{}}
	s.nodes[x.address] = x
	return x
}

// Down cuts a node off from all others.
func (s *Site) Down(x *XMPP) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down[x.address] = Now().Add(-62 * time.Second)
}

// Up takes Down back.
func (s *Site) Up(x *XMPP) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.down, x.address)
}

// find returns the node that is meant by an address or name, or nil.
func (s *Site) find(node string) *XMPP {
	for _, x := range s.nodes {
		if node == x.address || node+":5222" == x.address || node == x.name || strings.HasPrefix(node, x.name+".") {
			return x
		}
	}
	return nil
}

// data is what is replicated: all members of a cluster have the same one.
type data struct {
	bridges []xmppapi.CallBridge
	// users are passwords by name; "" is the directory's.
	users map[string]string
	// left are not in the directory any more.
	left    map[string]bool
	changed int
	// members are addresses; none means that there is no cluster.
	members []string
	leader  string
}

// alone is a copy for one node that is in no cluster.
func (d *data) alone() *data {
	return &data{bridges: slices.Clone(d.bridges), users: maps.Clone(d.users), left: maps.Clone(d.left), changed: d.changed}
}

func (x *XMPP) member() bool { return slices.Contains(x.data.members, x.address) }

// reaches says whether the member at address has x's data and answers x.
func (x *XMPP) reaches(address string) bool {
	if address == x.address {
		return true
	}
	other := x.site.nodes[address]
	_, cut := x.site.down[x.address]
	_, gone := x.site.down[address]
	return other != nil && other.data == x.data && !cut && !gone
}

// margin is how many more members may fail, less than 0 without a majority.
func (x *XMPP) margin() int {
	there := 0
	for _, m := range x.data.members {
		if x.reaches(m) {
			there++
		}
	}
	return max(-1, there-len(x.data.members)/2-1)
}

// elect makes the first member that can be reached the leader where the old
// one can't be.
func (x *XMPP) elect() string {
	d := x.data
	if x.margin() < 0 {
		return ""
	}
	if !slices.Contains(d.members, d.leader) || !x.reaches(d.leader) {
		d.leader = d.members[slices.IndexFunc(d.members, x.reaches)]
	}
	return d.leader
}

// Cluster implements xmppapi.API.
func (x *XMPP) Cluster(context.Context) (xmppapi.Cluster, error) {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	if x.Says != nil {
		return *x.Says, nil
	}
	c := xmppapi.Cluster{Member: x.member(), Activity: x.activity, State: "FOLLOWER", StateChange: Now(), Margin: -1}
	if !c.Member {
		return c, nil
	}
	leader := x.elect()
	c.Leader, c.Margin = leader != "", x.margin()
	switch leader {
	case "":
		c.State = "CANDIDATE"
	case x.address:
		c.State = "LEADER"
	}
	var self xmppapi.Node
	for _, m := range x.data.members {
		n := xmppapi.Node{Address: m, Self: m == x.address, Leader: m == leader, Reachable: x.reaches(m), Since: Now().Add(-time.Hour)}
		if n.Reachable {
			other := x.site.nodes[m]
			n.LastIndex, n.Version, n.Clock = uint64(x.data.changed), other.Version, other.Clock-x.Clock
		} else if since, ok := x.site.down[m]; ok {
			n.Since = since
		}
		if n.Self {
			self = n
		} else {
			c.Nodes = append(c.Nodes, n)
		}
	}
	c.Nodes = append(c.Nodes, self)
	return c, nil
}

// writable is why nothing can be changed, or nil. It counts the change.
func (x *XMPP) writable() error {
	if x.member() && x.margin() < 0 {
		return problem.New(problem.ClusterNoMajority)
	}
	x.data.changed++
	return nil
}

// ClusterInitialize implements xmppapi.API.
func (x *XMPP) ClusterInitialize(_ context.Context, again bool) error {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	switch {
	case x.member() && (!again || x.margin() >= 0):
		return problem.New(problem.ClusterMember)
	case !x.taken.Cluster.Enabled:
		return problem.New(problem.ClusterOff)
	case x.taken.Enabled:
		return problem.New(problem.ClusterXMPPEnabled, "command", "xmpp cluster initialize")
	}
	x.data = x.data.alone()
	x.data.members, x.data.leader = []string{x.address}, x.address
	x.data.changed++
	return nil
}

// ClusterJoin implements xmppapi.API.
func (x *XMPP) ClusterJoin(ctx context.Context, node string, discard bool) error {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	other, err := x.mayJoin(node, discard)
	if err != nil {
		return err
	}
	defer func() { x.activity = "" }()
	for _, s := range x.JoinSteps {
		x.activity = s.Activity
		x.site.mu.Unlock()
		select {
		case <-ctx.Done():
			err = ctx.Err()
		case <-time.After(s.Takes):
		}
		x.site.mu.Lock()
		if err != nil && !x.TooLate {
			return err
		}
	}
	x.data = other.data
	if !x.member() {
		x.data.members = append(x.data.members, x.address)
	}
	x.data.changed++
	return err
}

// mayJoin returns the node whose cluster is to be joined.
func (x *XMPP) mayJoin(node string, discard bool) (*XMPP, error) {
	switch {
	case x.member():
		return nil, problem.New(problem.ClusterMember)
	case !x.taken.Cluster.Enabled:
		return nil, problem.New(problem.ClusterOff)
	case !x.taken.Enabled:
		return nil, problem.New(problem.ClusterXMPPDisabled, "command", "xmpp cluster join "+node)
	}
	other := x.site.find(node)
	if other == nil && strings.Trim(node, "0123456789.") != "" {
		return nil, problem.New(problem.ClusterName, "node", node, "detail", "no such host")
	}
	_, cut := x.site.down[x.address]
	if other == nil || cut || !x.site.down[other.address].IsZero() {
		return nil, problem.New(problem.ClusterRoute, "node", node, "detail", "no route to host")
	}
	// Whether a member that shares nothing with x any more counts as x's
	// cluster is not asked: it replaces the old entry.
	switch apart := (other.Clock - x.Clock).Abs(); {
	case other == x:
		return nil, problem.New(problem.ClusterSelf, "node", node)
	case other.Distrusts != "":
		return nil, problem.New(problem.ClusterTLS, "node", node, "detail", other.Distrusts)
	case !other.member():
		return nil, problem.New(problem.ClusterNone, "node", node)
	case other.taken.Domain != x.taken.Domain:
		return nil, problem.New(problem.ClusterDomain, "node", node, "theirs", other.taken.Domain, "ours", x.taken.Domain)
	case apart > 30*time.Second:
		return nil, problem.New(problem.ClusterClock, "node", node, "seconds", strconv.Itoa(int(apart/time.Second)))
	case other.Version != x.Version:
		return nil, problem.New(problem.ClusterVersion, "node", node, "theirs", other.Version, "ours", x.Version)
	case other.margin() < 0:
		return nil, problem.New(problem.ClusterNoMajority)
	}
	for _, b := range x.data.bridges {
		switch i := other.bridge(b.Name); {
		case i < 0:
			return nil, problem.New(problem.ClusterBridge, "names", b.Name, "first", b.Name)
		case other.data.bridges[i].Secret != b.Secret:
			return nil, problem.New(problem.ClusterSecret, "names", b.Name, "first", b.Name)
		}
	}
	if n := len(x.data.users); n > 0 && !discard {
		return nil, problem.New(problem.ClusterOwn, "accounts", strconv.Itoa(n))
	}
	return other, nil
}

// ClusterLeave implements xmppapi.API.
func (x *XMPP) ClusterLeave(context.Context) error {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	return x.remove(x.address)
}

// ClusterRemove implements xmppapi.API.
func (x *XMPP) ClusterRemove(_ context.Context, node string, living bool) error {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	if other := x.site.find(node); other != nil {
		node = other.address
	}
	if !living && slices.Contains(x.data.members, node) && x.reaches(node) {
		return problem.New(problem.ClusterLiving, "node", strings.TrimSuffix(node, ":5222"))
	}
	return x.remove(node)
}

// remove takes a member out. One that can be reached knows at once, and keeps
// a copy.
func (x *XMPP) remove(address string) error {
	d := x.data
	at := slices.Index(d.members, address)
	switch {
	case !x.member():
		return problem.New(problem.ClusterNotMember)
	case at < 0:
		return problem.New(problem.ClusterNode, "node", address, "members", strings.Join(d.members, ", "))
	}
	if err := x.needed(address); err != nil {
		return err
	}
	if err := x.writable(); err != nil {
		return err
	}
	if x.reaches(address) {
		x.site.nodes[address].data = d.alone()
	}
	d.members = slices.Delete(slices.Clone(d.members), at, at+1)
	return nil
}

// needed is why a cluster that has a majority could not do without a member, or
// nil.
func (x *XMPP) needed(address string) error {
	var lost []string
	for _, m := range x.data.members {
		if m != address && !x.reaches(m) {
			lost = append(lost, strings.TrimSuffix(m, ":5222"))
		}
	}
	if rest := len(x.data.members) - 1; x.margin() < 0 || len(lost) == 0 || rest-len(lost) > rest/2 {
		return nil
	}
	return problem.New(problem.ClusterNeeded, "node", strings.TrimSuffix(address, ":5222"), "lost", strings.Join(lost, ", "), "first", lost[0])
}

// Reset implements xmppapi.API.
func (x *XMPP) Reset(context.Context) (stillMember string, err error) {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	if x.member() && len(x.data.members) > 1 {
		switch err := x.remove(x.address); {
		case problem.CodeOf(err) == problem.ClusterNeeded:
			return "", err
		case err != nil:
			stillMember = x.address
		}
	}
	x.data = &data{}
	return stillMember, nil
}

// Examine implements xmppapi.Examiner.
func (x *XMPP) Examine(ctx context.Context, in json.RawMessage) ([]xmppapi.Examined, error) {
	x.site.mu.Lock()
	var others []*XMPP
	out := []xmppapi.Examined{}
	for _, m := range x.data.members {
		if m != x.address && x.member() {
			others, out = append(others, nil), append(out, xmppapi.Examined{Address: m, Failure: "no route to host"})
			if x.reaches(m) {
				others[len(others)-1] = x.site.nodes[m]
			}
		}
	}
	x.site.mu.Unlock()
	for i, o := range others {
		if o == nil {
			continue
		}
		var err error
		if out[i].Out, err = o.Examiner(ctx, in); err != nil {
			return nil, err
		}
		out[i].Failure = ""
	}
	return out, nil
}

// Dial connects to a port of a node: both are open where XMPP is enabled, and
// the first alone in a cluster.
func (x *XMPP) Dial(_ context.Context, addr string) error {
	x.site.mu.Lock()
	defer x.site.mu.Unlock()
	host, port, _ := strings.Cut(addr, ":")
	other := x.site.nodes[host+":5222"]
	if other == nil || !x.reaches(other.address) {
		return errors.New("no route to host")
	}
	if !other.taken.Enabled && (port != "5222" || !other.member()) {
		return syscall.ECONNREFUSED
	}
	return nil
}
