package peer

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"log/slog"
	"net"
	"testing"
	"time"
)

func childOf(t *testing.T, id string, of *node) child {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(shared().key)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	return child{ID: id, Cert: string(shared().pem()), Key: string(key), Member: of.id, MemberAddr: of.addr}
}

// runChild is a node until it is killed. It prints its address.
func runChild(text string) {
	var c child
	must := func(err error) {
		if err != nil {
			panic(err)
		}
	}
	must(json.Unmarshal([]byte(text), &c))
	cert, err := tls.X509KeyPair([]byte(c.Cert), []byte(c.Key))
	must(err)
	trust, err := LoadTrust([]byte(c.Cert))
	must(err)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(err)
	n := New(Config{}, Deps{
		Identity: func() (Identity, error) { return Identity{Certificate: &cert, Trust: trust, Domain: testDomain}, nil },
		Self:     func() Hello { return Hello{ID: c.ID, Address: l.Addr().String()} },
		Log:      slog.New(slog.DiscardHandler),
	})
	n.SetMembers([]Member{{c.Member, c.MemberAddr}})
	go n.Run(context.Background())
	fmt.Println(l.Addr())
	time.AfterFunc(time.Minute, func() { panic("the test does not end") })
	for {
		conn, err := l.Accept()
		must(err)
		go func() {
			s := tls.Server(conn, n.ServerTLS())
			if s.Handshake() == nil {
				n.Serve(s)
			}
		}()
	}
}
