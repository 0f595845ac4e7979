package mmp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"parley/mmp/mmptest"
	"parley/services/account"
	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/diagnosis"
	"parley/services/files"
	"parley/services/journal"
)

// testNode is a console over a state folder and the twins of the services.
type testNode struct {
	*Console
	paths   config.Paths
	site    *mmptest.Site
	xmpp    *mmptest.XMPP
	network *mmptest.Network
	bridge  *mmptest.CallBridge
	init    *mmptest.Init
	events  *mmptest.EventLog
	web     *mmptest.Webadmin
	data    *mmptest.Database
}

var admin = account.User{Name: "admin", Role: account.Admin}

func newNode(t testing.TB, dir string) *testNode {
	t.Helper()
	return newNodeAt(t, dir, mmptest.NewSite(), "cb1", "10.106.81.30")
}

// newNodeAt is one of several nodes that reach each other.
func newNodeAt(t testing.TB, dir string, site *mmptest.Site, name, address string) *testNode {
	t.Helper()
	paths := config.FolderPaths(dir)
	store := config.NewStore(paths.Live())
	j := journal.New(paths.Log(), func() string { return name })
	n := &testNode{
		paths: paths,
		site:  site,
		xmpp:  site.Add(name, address, store),
		network: &mmptest.Network{Config: store, Hosts: map[string]netip.Addr{
			"10.106.81.31": netip.MustParseAddr("10.106.81.31"), "cb2.tptac9.com": netip.MustParseAddr("10.106.81.31"),
		}},
		init:   &mmptest.Init{},
		events: &mmptest.EventLog{},
		web:    &mmptest.Webadmin{Config: store},
		data:   site.AddDatabase(address, store),
	}
	n.bridge = &mmptest.CallBridge{Config: store, XMPP: n.xmpp, Database: n.data}
	f := files.NewStore(files.Config{Dir: paths.Files(), State: dir}, files.Deps{Audit: j, InUse: func(name string) string {
		d, err := store.Load()
		switch x, w := d.XMPP, d.Webadmin; {
		case err != nil:
		case name == x.Key || name == x.Certificate || name == x.Bundle:
			return "xmpp certs"
		case name == x.Cluster.Trust:
			return "xmpp cluster trust"
		case name == w.Key || name == w.Certificate || name == w.Bundle:
			return "webadmin certs"
		case name != "" && slices.Contains([]string{d.Database.ServerKey, d.Database.ServerCertificate, d.Database.ClientKey, d.Database.ClientCertificate, d.Database.CA}, name):
			return "database cluster certs"
		}
		return ""
	}})
	if err := f.Prepare(); err != nil {
		t.Fatal(err)
	}
	accounts := account.NewStore(paths.Accounts(), mmptest.Now)
	if _, err := accounts.List(); err != nil {
		t.Fatal(err)
	}
	d := diagnosis.New(diagnosis.Deps{
		Config: store, Files: f, XMPP: n.xmpp, Network: n.network, CallBridge: callbridgeapi.NewClient(paths.Socket("callbridge")), Database: n.data,
		Dial: n.xmpp.Dial, Disk: func() (diagnosis.Disk, error) { return diagnosis.Disk{Size: 100 << 30, Used: 12 << 30}, nil }, Now: mmptest.Now,
	})
	n.xmpp.Examiner = d.Answer
	n.Console = New(store, Deps{
		Accounts: accounts, Files: f, Init: n.init, Network: n.network, XMPP: n.xmpp, Bridge: n.bridge, Events: n.events, Webadmin: n.web, Database: n.data,
		Diagnose: d.Run,
		Journal:  j, Syslog: journal.NewReader(filepath.Join(paths.Log(), journal.Syslog)),
		Audit: journal.NewReader(filepath.Join(paths.Log(), journal.Audit)), Now: mmptest.Now,
	})
	return n
}

// put makes a file of the SFTP root, as old as the test's time.
func (n *testNode) put(name, content string) {
	path := filepath.Join(n.paths.Files(), name)
	if err := os.WriteFile(path, []byte(content), 0o640); err != nil {
		panic(err)
	}
	if err := os.Chtimes(path, mmptest.Now(), mmptest.Now()); err != nil {
		panic(err)
	}
}

// exec runs a line as admin; input are the lines of standard input.
func (n *testNode) exec(line string, input ...string) (status int, out string) {
	var b bytes.Buffer
	in := ""
	for _, l := range input {
		in += l + "\n"
	}
	status = n.Exec(context.Background(), admin, Local, line, strings.NewReader(in), &b, &bytes.Buffer{})
	return status, b.String()
}

// must is exec of what must succeed.
func (n *testNode) must(t testing.TB, line string, input ...string) string {
	t.Helper()
	status, out := n.exec(line, input...)
	if status != 0 {
		t.Fatalf("%s = %d\n%s; want success", line, status, out)
	}
	return out
}

// fingerprint is all state but the logs.
func (n *testNode) fingerprint(t testing.TB) string {
	t.Helper()
	h := sha256.New()
	err := filepath.WalkDir(n.paths.State, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == n.paths.Log() || strings.HasSuffix(path, ".lock") {
			if d != nil && d.IsDir() && err == nil {
				return fs.SkipDir
			}
			return err
		}
		fmt.Fprintln(h, path)
		if d.IsDir() {
			return nil
		}
		data, err := os.ReadFile(path)
		h.Write(data)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return fmt.Sprintf("%x %s %s %s %s %s %s %s", h.Sum(nil), n.xmpp.Fingerprint(), n.bridge.Fingerprint(), n.network.Fingerprint(), n.init.Fingerprint(), n.events.Fingerprint(), n.web.Fingerprint(), n.data.Fingerprint())
}
