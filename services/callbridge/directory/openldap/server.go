// Package openldap is a directory server made of Debian's slapd, for tests that
// ask one as an organisation has it: entries of people, a service account, TLS
// with a certificate of openssl's. It is not for anything else.
package openldap

import (
	"bytes"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"parley/services/network/loopback"
	"parley/services/pki/opensslca"
)

// What each server holds from the start.
const (
	Base         = "dc=example,dc=com"
	Reader       = "cn=reader," + Base
	ReaderSecret = "reader-Secret1"
	// Host is the name in its certificate.
	Host = "ldap.example.com"
)

// Config says how a server differs from others.
type Config struct {
	// LDIF is added to Base and Reader.
	LDIF string
	// Lines are added to slapd.conf, before the database's.
	Lines string
	// NoTLS leaves the certificate out: no StartTLS and no LDAPS.
	NoTLS bool
	// CA signs the certificate; nil: the server has one of its own.
	CA *opensslca.CA
	// Names are the certificate's, as in "DNS:ldap.example.com"; "": Host.
	Names string
	// Address is that of a machine, or network namespace, of the server's own,
	// where it has the usual ports; "": 127.0.0.1, on ports that are free.
	Address string
}

// Server is a slapd. It lives as long as the test, or until Stop.
type Server struct {
	// Plain and Secure are the ports of ldap and ldaps.
	Plain, Secure int
	// CA is who signed the certificate.
	CA *opensslca.CA

	t       *testing.T
	address string
	dir     string
	cmd     *exec.Cmd
	log     bytes.Buffer
}

// Start starts a server, and waits until it answers.
func Start(t *testing.T, cfg Config) *Server {
	t.Helper()
	s := &Server{t: t, dir: t.TempDir(), CA: cfg.CA, address: cfg.Address, Plain: 389, Secure: 636}
	if s.address == "" {
		s.address, s.Plain, s.Secure = "127.0.0.1", loopback.Port(t), loopback.Port(t)
	}
	security := ""
	if !cfg.NoTLS {
		if s.CA == nil {
			s.CA = opensslca.New(t)
		}
		if cfg.Names == "" {
			cfg.Names = "DNS:" + Host
		}
		s.run("", "openssl", "req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Test Directory", "-addext", "subjectAltName="+cfg.Names,
			"-keyout", s.path("server.key"), "-out", s.path("server.csr"))
		s.CA.Sign(s.path("server.csr"), s.Certificate())
		security = fmt.Sprintf("TLSCertificateFile %s\nTLSCertificateKeyFile %s\n", s.Certificate(), s.path("server.key"))
	}
	if err := os.Mkdir(s.path("db"), 0o700); err != nil {
		t.Fatal(err)
	}
	s.write("slapd.conf", `modulepath /usr/lib/ldap
moduleload back_mdb
include /etc/ldap/schema/core.schema
include /etc/ldap/schema/cosine.schema
include /etc/ldap/schema/inetorgperson.schema
sizelimit unlimited
`+security+cfg.Lines+`
database mdb
suffix "`+Base+`"
directory `+s.path("db")+`
maxsize 67108864
dbnosync
index objectClass,uid eq
rootdn "cn=root,`+Base+`"
rootpw root-Secret1
access to attrs=userPassword by anonymous auth by * none
access to * by dn.exact="`+Reader+`" read by * none
`)
	s.run("dn: "+Base+`
objectClass: domain
dc: example

dn: `+Reader+`
objectClass: person
cn: reader
sn: reader
userPassword: `+ReaderSecret+"\n\n"+cfg.LDIF, "slapadd", "-q", "-f", s.path("slapd.conf"))
	s.start()
	t.Cleanup(s.Stop)
	return s
}

// Certificate is the file of the server's certificate.
func (s *Server) Certificate() string { return s.path("server.crt") }

// Restart starts a stopped server again, on the same ports.
func (s *Server) Restart() {
	s.t.Helper()
	s.start()
}

// Stop ends the server at once, and its connections.
func (s *Server) Stop() {
	if s.cmd == nil {
		return
	}
	// Killed, as a machine may be lost.
	s.cmd.Process.Kill()
	s.cmd.Wait()
	s.cmd = nil
}

// Freeze has the server stay silent, or go on.
func (s *Server) Freeze(on bool) {
	s.t.Helper()
	sig := "-CONT"
	if on {
		sig = "-STOP"
	}
	s.run("", "kill", sig, strconv.Itoa(s.cmd.Process.Pid))
}

// Modify changes entries as the root of the database, by ldapmodify.
func (s *Server) Modify(ldif string) {
	s.t.Helper()
	s.run(ldif, "ldapmodify", "-x", "-H", "ldap://"+s.address+":"+strconv.Itoa(s.Plain), "-D", "cn=root,"+Base, "-w", "root-Secret1")
}

func (s *Server) start() {
	s.t.Helper()
	urls := "ldap://" + s.address + ":" + strconv.Itoa(s.Plain)
	if s.CA != nil {
		urls += " ldaps://" + s.address + ":" + strconv.Itoa(s.Secure)
	}
	// -d 0 keeps it from going into the background.
	s.cmd = exec.Command(program("slapd"), "-h", urls, "-f", s.path("slapd.conf"), "-d", "0")
	s.cmd.Stdout, s.cmd.Stderr = &s.log, &s.log
	if err := s.cmd.Start(); err != nil {
		s.t.Fatalf("slapd: %v", err)
	}
	for end := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		c, err := net.Dial("tcp", s.address+":"+strconv.Itoa(s.Plain))
		if err == nil {
			c.Close()
			return
		}
		if time.Now().After(end) {
			s.Stop()
			s.t.Fatalf("slapd does not listen: %v\n%s", err, s.log.String())
		}
	}
}

func (s *Server) path(name string) string { return filepath.Join(s.dir, name) }

func (s *Server) write(name, text string) {
	s.t.Helper()
	if err := os.WriteFile(s.path(name), []byte(text), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

func (s *Server) run(input, name string, args ...string) {
	s.t.Helper()
	cmd := exec.Command(program(name), args...)
	cmd.Stdin = strings.NewReader(input)
	if out, err := cmd.CombinedOutput(); err != nil {
		s.t.Fatalf("%s: %v\n%s", name, err, out)
	}
}

// program finds what Debian keeps out of an ordinary user's PATH.
func program(name string) string {
	if strings.HasPrefix(name, "slap") {
		return "/usr/sbin/" + name
	}
	return name
}
