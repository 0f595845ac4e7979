// Package diagnosis walks everything that an XMPP deployment can be mistaken
// in, on this node and, through the XMPP service, on each other member of its
// cluster: what is set, files, names in the DNS, ports, members, secrets, disk.
// Each check ends in one Finding, which names the command that mends it. It
// changes nothing, and asks the services by the control sockets that the
// console uses.
package diagnosis

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/files"
	"parley/services/network/networkapi"
	"parley/services/pki"
	"parley/services/xmpp/xmppapi"
)

const (
	// wholeLimit bounds Run, and nodeLimit what one node does for it.
	wholeLimit = 9 * time.Second
	nodeLimit  = 5 * time.Second
	// dialLimit bounds one connection.
	dialLimit = 2 * time.Second
	// againPause is how long a change may take to reach all members, and
	// againLimit when it is too late to look again.
	againPause = 200 * time.Millisecond
	againLimit = time.Second
)

// XMPP is what is asked of the XMPP service.
type XMPP interface {
	Status(ctx context.Context) (xmppapi.Status, error)
	Cluster(ctx context.Context) (xmppapi.Cluster, error)
	CallBridges(ctx context.Context) ([]xmppapi.CallBridge, error)
	xmppapi.Examiner
}

// Network is what is asked of the network service.
type Network interface {
	Interfaces(ctx context.Context) ([]networkapi.Interface, error)
	Lookup(ctx context.Context, kind, name string) (networkapi.Answer, error)
	ForgetDenials(ctx context.Context) error
}

// CallBridge is what is asked of this node's Call Bridge.
type CallBridge interface {
	Status(ctx context.Context) (callbridgeapi.Status, error)
	Directory(ctx context.Context) (callbridgeapi.Directory, error)
	ProbeDirectory(ctx context.Context) error
}

// Database is what is asked of the database.
type Database interface {
	Status(ctx context.Context) (databaseapi.Status, error)
}

// Deps are what the checks look at. Machine has the real ones.
type Deps struct {
	Config     *config.Store
	Files      pki.Source
	XMPP       XMPP
	Network    Network
	CallBridge CallBridge
	Database   Database
	// Dial is the function Dial outside tests.
	Dial func(ctx context.Context, addr string) error
	// Disk is how full the state disk is.
	Disk func() (Disk, error)
	// Now is time.Now outside tests.
	Now func() time.Time
}

// Machine has the edges of the node whose state and sockets are in paths.
func Machine(paths config.Paths) Deps {
	return Deps{
		Config:     config.NewStore(paths.Live()),
		Files:      files.NewStore(files.Config{Dir: paths.Files(), State: paths.State}, files.Deps{}),
		XMPP:       xmppapi.NewClient(paths.Socket("xmpp")),
		Network:    networkapi.NewClient(paths.Socket("network")),
		CallBridge: callbridgeapi.NewClient(paths.Socket("callbridge")),
		Database:   databaseapi.NewClient(paths.Socket("database")),
		Dial:       Dial,
		Disk:       func() (Disk, error) { return stateDisk(paths) },
		Now:        time.Now,
	}
}

// Dial connects to "address:port" by TCP, and hangs up.
func Dial(ctx context.Context, addr string) error {
	c, err := new(net.Dialer).DialContext(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	return c.Close()
}

// Diagnosis runs the checks. It may be used by any number of goroutines.
type Diagnosis struct{ deps Deps }

// New returns a diagnosis; it does nothing before a call.
func New(deps Deps) *Diagnosis { return &Diagnosis{deps} }

// Run does all checks, on this node and from each member of its cluster, and
// returns their findings in an order that goes from what is fundamental to what
// follows from it. It takes less than 10 s, whatever does not answer.
func (d *Diagnosis) Run(ctx context.Context) []Finding {
	ctx, cancel := context.WithTimeout(ctx, wholeLimit)
	defer cancel()
	begun := time.Now()
	found := d.once(ctx)
	for slices.ContainsFunc(found, mayPass) && time.Since(begun) < againLimit {
		select {
		case <-time.After(againPause):
		case <-ctx.Done():
			return found
		}
		found = d.once(ctx)
	}
	return found
}

// mayPass: a change was under way, which one node had and another not yet, or
// what was measured of a clock came late, from a machine that had stood still.
func mayPass(f Finding) bool {
	return strings.HasPrefix(f.Detail, detailDiffers) || f.What == whatClock
}

func (d *Diagnosis) once(ctx context.Context) []Finding {
	req := request{Salt: make([]byte, 16)}
	rand.Read(req.Salt)
	req.Chain = d.chain()
	var peers []xmppapi.Examined
	var peersErr error
	var asking sync.WaitGroup
	asking.Go(func() {
		var in []byte
		if in, peersErr = json.Marshal(req); peersErr == nil {
			peers, peersErr = d.deps.XMPP.Examine(ctx, in)
		}
	})
	f := d.gather(ctx)
	asking.Wait()
	return f.whole(req, peers, peersErr)
}

// Answer does the checks of this node for another member, whose request in is;
// the result is for that one's Run. It is what the XMPP service calls when a
// member asks.
func (d *Diagnosis) Answer(ctx context.Context, in json.RawMessage) (json.RawMessage, error) {
	var req request
	if err := json.Unmarshal(in, &req); err != nil {
		return nil, err
	}
	if len(req.Salt) < 16 {
		return nil, errSalt
	}
	return json.Marshal(d.gather(ctx).report(req))
}

// errSalt: digests of secrets with a short salt could be looked up in a table.
var errSalt = errors.New("the salt is too short")
