package diagnosis

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/network/networkapi"
	"parley/services/pki"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/xmppapi"
)

const (
	clientPort    = 5222
	componentPort = 5223
)

// facts are what one node was found to be; the checks judge them. What could
// not be found out has an error.
type facts struct {
	now    time.Time
	doc    config.Document
	docErr error

	status     xmppapi.Status
	statusErr  error
	cluster    xmppapi.Cluster
	clusterErr error
	bridges    []xmppapi.CallBridge
	bridgesErr error
	nics       []networkapi.Interface
	nicsErr    error
	bridge     callbridgeapi.Status
	bridgeErr  error
	// directory is the Call Bridge's LDAP server, which was asked for a user
	// just now unless it has refused the last time.
	directory    callbridgeapi.Directory
	directoryErr error
	probeErr     error
	database     databaseapi.Status
	databaseErr  error
	disk         Disk
	diskErr      error

	files pki.Source
	chain [][]byte
	// trustFile is the trust bundle's content.
	trustFile []byte
	trust     peer.Trust
	trustErr  error
	services  []service
	// knocks are this node's at the members' doors.
	knocks knocks
}

// request is what one node asks another.
type request struct {
	// Salt is for the digests of secrets, new for each request.
	Salt []byte `json:"salt"`
	// Chain is what the asking node shows others, to know whether they
	// would trust it.
	Chain [][]byte `json:"chain,omitempty"`
}

// report is the answer to it.
type report struct {
	Host     string    `json:"host"`
	Domain   string    `json:"domain"`
	Findings []Finding `json:"findings"`
	Services []service `json:"services,omitempty"`
	Chain    [][]byte  `json:"chain,omitempty"`
	// Trust is this node's trust bundle, and Distrust why it does not trust the
	// one that asks.
	Trust    string `json:"trust,omitempty"`
	Distrust string `json:"distrust,omitempty"`
	// Index is the last entry of this node's log, and Secrets are digests of the
	// registered Call Bridges' secrets, by name.
	Index   uint64            `json:"index,omitempty"`
	Secrets map[string]string `json:"secrets,omitempty"`
	// Knocks are that node's at the members' doors.
	Knocks knocks `json:"knocks,omitempty"`
	// Bridge is the unique name of this node's own Call Bridge, if it is on, and
	// Idle that of one that is off.
	Bridge string `json:"bridge,omitempty"`
	Idle   string `json:"idle,omitempty"`
	// Match is how Bridge's secret compares with those that are registered, ""
	// where that is not known, and SecretOf is whose it is, if another's.
	Match    Match  `json:"match,omitempty"`
	SecretOf string `json:"secret_of,omitempty"`
	// LDAP says that it has an LDAP server to ask.
	LDAP bool `json:"ldap,omitempty"`
}

// gather finds all facts at once, so it takes as long as the slowest.
func (d *Diagnosis) gather(ctx context.Context) *facts {
	ctx, cancel := context.WithTimeout(ctx, nodeLimit)
	defer cancel()
	f := &facts{now: d.deps.Now(), files: d.deps.Files}
	f.doc, f.docErr = d.deps.Config.Load()
	if f.docErr != nil {
		return f
	}
	f.chain = d.chain()
	f.loadTrust()
	var all sync.WaitGroup
	all.Go(func() { f.status, f.statusErr = d.deps.XMPP.Status(ctx) })
	all.Go(func() { f.bridges, f.bridgesErr = d.deps.XMPP.CallBridges(ctx) })
	all.Go(func() { f.nics, f.nicsErr = d.deps.Network.Interfaces(ctx) })
	all.Go(func() { f.disk, f.diskErr = d.deps.Disk() })
	all.Go(func() {
		f.directory, f.directoryErr = d.deps.CallBridge.Directory(ctx)
		if f.directoryErr == nil && f.directory.Configured && f.directory.Trouble == "" && f.doc.CallBridge.Enabled {
			f.probeErr = d.deps.CallBridge.ProbeDirectory(ctx)
		}
	})
	all.Go(func() { f.database, f.databaseErr = d.deps.Database.Status(ctx) })
	if f.doc.CallBridge.Enabled {
		all.Go(func() { f.bridge, f.bridgeErr = d.deps.CallBridge.Status(ctx) })
	}
	if f.doc.XMPP.Domain != "" {
		f.services = []service{componentService(f.doc.XMPP.Domain), clientService(f.doc.XMPP.Domain)}
		all.Go(func() { findAll(ctx, d.deps.Network, f.services, forwarders(f.doc.DNS, f.doc.XMPP.Domain)) })
	}
	all.Go(func() {
		if f.cluster, f.clusterErr = d.deps.XMPP.Cluster(ctx); f.clusterErr == nil {
			f.knocks = d.knock(ctx, f.cluster.Nodes)
		}
	})
	all.Wait()
	return f
}

// chain is what this node shows others, nil where it cannot.
func (d *Diagnosis) chain() [][]byte {
	doc, err := d.deps.Config.Load()
	if err != nil || doc.XMPP.Key == "" {
		return nil
	}
	c, err := pki.LoadChain(d.deps.Files, doc.XMPP.Key, doc.XMPP.Certificate, doc.XMPP.Bundle)
	if err != nil {
		return nil
	}
	return c.Certificate
}

func (f *facts) loadTrust() {
	name := f.doc.XMPP.Cluster.Trust
	if name == "" {
		return
	}
	if f.trustFile, f.trustErr = f.files.Read(name); f.trustErr == nil {
		f.trust, f.trustErr = peer.LoadTrust(f.trustFile)
	}
}

// distrust is why this node does not trust the one that shows chain, "" where
// it does or where that is no question.
func (f *facts) distrust(chain [][]byte) string {
	if len(chain) == 0 || !f.doc.XMPP.Cluster.Enabled || f.trustErr != nil || f.trustFile == nil {
		return ""
	}
	var certs []*x509.Certificate
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return "its certificate cannot be read"
		}
		certs = append(certs, c)
	}
	if f.now.Before(certs[0].NotBefore) || f.now.After(certs[0].NotAfter) {
		// Its own node tells.
		return ""
	}
	if err := f.trust.Check(certs, f.doc.XMPP.Domain, f.now); err != nil {
		return err.Error()
	}
	return ""
}

// host is an address without its port.
func host(addr string) string {
	if h, _, err := net.SplitHostPort(addr); err == nil {
		return h
	}
	return addr
}

// fqdn is the full name of this node.
func (f *facts) fqdn() string {
	name, domain := f.doc.Hostname, f.doc.XMPP.Domain
	if name == "" || domain == "" || strings.Contains(name, ".") {
		return name
	}
	return name + "." + domain
}

// own is this node's address among the members, or that of the first interface
// that it listens on; "" where it has none.
func (f *facts) own() string {
	for _, n := range f.cluster.Nodes {
		if n.Self {
			return host(n.Address)
		}
	}
	for _, name := range f.doc.XMPP.Listen {
		if a := f.address(name); a.IsValid() {
			return a.String()
		}
	}
	return ""
}

func (f *facts) address(iface string) netip.Addr {
	for _, n := range f.nics {
		if n.Name == iface && len(n.Addresses) > 0 {
			return n.Addresses[0].Addr()
		}
	}
	return netip.Addr{}
}

// members are the addresses that clients and Call Bridges may be sent to, nil
// where they are not known.
func (f *facts) members() []string {
	var all []string
	if f.clusterErr != nil || f.doc.XMPP.Cluster.Enabled && !f.cluster.Member {
		return nil
	}
	for _, n := range f.cluster.Nodes {
		if a := host(n.Address); !slices.Contains(all, a) {
			all = append(all, a)
		}
	}
	if own := f.own(); len(all) == 0 && own != "" {
		all = append(all, own)
	}
	slices.Sort(all)
	return all
}

// digests are those of the secrets with a salt: whoever has the same secrets
// has the same digests, and they are of no other use.
func (f *facts) digests(salt []byte) map[string]string {
	all := map[string]string{}
	for _, b := range f.bridges {
		mac := hmac.New(sha256.New, salt)
		mac.Write([]byte(b.Secret))
		all[b.Name] = hex.EncodeToString(mac.Sum(nil))
	}
	return all
}
