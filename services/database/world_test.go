package database

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"math/big"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/network/loopback"
)

// authority signs certificates, all by one key.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t}
	a.pem, _ = a.issue("database CA")
	return a
}

// issue returns a certificate of that name and its key; the first is its own.
func (a *authority) issue(name string) (cert, key string) {
	a.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	c := &x509.Certificate{
		SerialNumber: big.NewInt(time.Now().UnixNano()), Subject: pkix.Name{CommonName: name}, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	parent, by := a.cert, a.key
	if parent == nil {
		c.IsCA, c.KeyUsage = true, x509.KeyUsageCertSign
		parent, by = c, k
	}
	der, err := x509.CreateCertificate(rand.Reader, c, parent, &k.PublicKey, by)
	if err != nil {
		a.t.Fatal(err)
	}
	if a.cert == nil {
		a.key = k
		if a.cert, err = x509.ParseCertificate(der); err != nil {
			a.t.Fatal(err)
		}
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		a.t.Fatal(err)
	}
	text := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return text("CERTIFICATE", der), text("PRIVATE KEY", pkcs8)
}

// node is a database with a state folder and an address of its own.
type node struct {
	*Server
	t       testing.TB
	paths   config.Paths
	address string
	// listen, unless nil, stands in for the network.
	listen func(context.Context, []string, int) ([]net.Listener, error)
	stop   func()
}

func newAddress() string { return loopback.Address().String() }

// newNode returns one that runs, with interface and files of ca.
func newNode(t testing.TB, ca *authority) *node {
	t.Helper()
	dir, err := os.MkdirTemp("", "db")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	n := &node{t: t, paths: config.FolderPaths(dir), address: newAddress()}
	if err := os.MkdirAll(n.paths.Files(), 0o700); err != nil {
		t.Fatal(err)
	}
	d := config.Database{Interface: "a", ServerKey: "s.key", ServerCertificate: "s.cer", ClientKey: "c.key", ClientCertificate: "c.cer", CA: "ca.cer"}
	n.files(ca, ClientName)
	if err := config.NewStore(n.paths.Live()).Update(func(doc *config.Document) error { doc.Database = d; return nil }); err != nil {
		t.Fatal(err)
	}
	n.start()
	t.Cleanup(func() { n.stop() })
	return n
}

// files puts what d names, the client's by that name.
func (n *node) files(ca *authority, client string) {
	n.t.Helper()
	files := map[string]string{"ca.cer": ca.pem}
	files["s.cer"], files["s.key"] = ca.issue("db.tptac9.com")
	files["c.cer"], files["c.key"] = ca.issue(client)
	for name, content := range files {
		if err := os.WriteFile(filepath.Join(n.paths.Files(), name), []byte(content), 0o600); err != nil {
			n.t.Fatal(err)
		}
	}
}

// start runs it; stop waits for its end.
func (n *node) start() {
	n.t.Helper()
	n.Server = New(Config{Paths: n.paths, Group: -1, Version: "1.0"}, Deps{
		Config: config.NewStore(n.paths.Live()), Log: slog.New(slog.DiscardHandler),
		Address: func(string) (netip.Addr, error) { return netip.ParseAddr(n.address) },
		Listen: func(ctx context.Context, ifaces []string, port int) ([]net.Listener, error) {
			if n.listen != nil {
				return n.listen(ctx, ifaces, port)
			}
			l, err := net.Listen("tcp", net.JoinHostPort(n.address, strconv.Itoa(port)))
			return []net.Listener{l}, err
		},
	})
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	var err error
	ended := false
	n.stop = func() {
		cancel()
		if ended {
			return
		}
		if ended, err = true, <-done; err != nil {
			n.t.Errorf("Run of %s = %v", n.address, err)
		}
	}
	client := databaseapi.NewClient(n.paths.Socket("database"))
	n.await("it to answer", func() error { _, err := client.Status(n.t.Context()); return err })
}

// await repeats f until it has no error.
func (n *node) await(what string, f func() error) {
	n.t.Helper()
	deadline := time.Now().Add(60 * time.Second)
	for {
		err := f()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			n.t.Fatalf("%s: waited in vain for %s: %v", n.address, what, err)
		}
		time.Sleep(10 * time.Millisecond)
	}
}

// awaitNodes waits until n knows these as nodes, all in sync, and takes changes.
func (n *node) awaitNodes(want ...*node) {
	n.t.Helper()
	var addresses []string
	for _, w := range want {
		addresses = append(addresses, w.address)
	}
	slices.Sort(addresses)
	n.await("nodes "+strings.Join(addresses, " "), func() error {
		s, err := n.Status(n.t.Context())
		var got []string
		for _, m := range s.Nodes {
			got = append(got, m.Address)
			if m.Learner || !m.Connected || m.Behind > 0 {
				err = errors.Join(err, fmt.Errorf("%+v", m))
			}
		}
		if slices.Sort(got); !slices.Equal(got, addresses) {
			err = errors.Join(err, fmt.Errorf("nodes %v", got))
		}
		if s.Trouble != "" {
			err = errors.Join(err, errors.New(s.Trouble))
		}
		return err
	})
}

// primary is the one of ns that all of them know as such.
func primary(ns ...*node) (primary *node) {
	ns[0].await("a primary", func() error {
		var named []string
		for _, n := range ns {
			s, err := n.Status(n.t.Context())
			if err != nil {
				return err
			}
			named = append(named, s.InUse)
		}
		at := slices.IndexFunc(ns, func(n *node) bool { return n.address == named[0] })
		if len(slices.Compact(named)) != 1 || at < 0 {
			return fmt.Errorf("named are %v", named)
		}
		primary = ns[at]
		return nil
	})
	return primary
}

func (n *node) put(key, value string) {
	n.t.Helper()
	if err := n.Put(n.t.Context(), "t", databaseapi.Record{Key: key, Value: []byte(strconv.Quote(value))}); err != nil {
		n.t.Errorf("Put(%s, %s) on %s = %v", key, value, n.address, err)
	}
}

// awaitRecords waits until n has just these, "key=value".
func (n *node) awaitRecords(want ...string) {
	n.t.Helper()
	n.await("records "+strings.Join(want, " "), func() error {
		rs, err := n.List(n.t.Context(), "t")
		var got []string
		for _, r := range rs {
			v, _ := strconv.Unquote(string(r.Value))
			got = append(got, r.Key+"="+v)
		}
		if !slices.Equal(got, want) {
			err = errors.Join(err, fmt.Errorf("records %v", got))
		}
		return err
	})
}

// must fails the test for an error.
func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
