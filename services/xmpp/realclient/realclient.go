// Package realclient drives XMPP clients and components that we did not write
// (libraries of Debian: slixmpp, aioxmpp) from tests, one process each. It
// is for tests only, and knows nothing of the server beyond its address.
package realclient

import (
	"bufio"
	"context"
	_ "embed" // the drivers
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

//go:embed slixmpp_driver.py
var slixmpp []byte

//go:embed aioxmpp_driver.py
var aioxmpp []byte

// Library is one that a client is made of.
type Library string

// The libraries.
const (
	Slixmpp Library = "slixmpp"
	Aioxmpp Library = "aioxmpp"
)

// Config says who logs in, and where.
type Config struct {
	Library  Library
	JID      string
	Password string
	// Address that is dialled, "127.0.0.1:5222".
	Host string
	Port int
	// Others are more addresses of the service ("127.0.0.1:5223", clients
	// only). A client that has some, or Reconnect, comes back when its
	// connection breaks, to the next address that answers, and resumes its
	// session there if it can. Of the rest only slixmpp stays away.
	Others    []string
	Reconnect bool
	// NoResume keeps it from asking for resumption (slixmpp only).
	NoResume bool
	// CA is the file of the authority that the server's certificate is
	// verified against.
	CA        string
	DirectTLS bool
	// Component makes it a component of the domain JID (slixmpp only).
	Component bool
	// Mechanism forces a SASL mechanism (slixmpp only).
	Mechanism string
}

// Event is something that the client saw. Of its connection: connected is a new
// session, resumed an old one on a new connection, disconnected a connection
// that is gone, failed one that did not come about.
type Event struct {
	Event     string `json:"event"`
	JID       string `json:"jid"`
	From      string `json:"from"`
	Body      string `json:"body"`
	ID        string `json:"id"`
	Type      string `json:"type"`
	Delayed   bool   `json:"delayed"`
	Reason    string `json:"reason"`
	Condition string `json:"condition"`
	Mechanism string `json:"mechanism"`
	// Address that it is connected to, where it is known ("connected",
	// "resumed").
	Address string            `json:"address"`
	Items   map[string]string `json:"items"`
	Count   int               `json:"count"`
	// At is when it happened, in nanoseconds of Unix time.
	At int64 `json:"at"`
}

// Client is a running one. Its methods are for the test's goroutine.
type Client struct {
	t     *testing.T
	name  string
	stdin io.WriteCloser
	cmd   *exec.Cmd

	mu     sync.Mutex
	events []Event
	news   chan struct{}
	ended  bool
	stderr strings.Builder
}

// Start runs a client until the test ends.
func Start(t *testing.T, cfg Config) *Client {
	t.Helper()
	script := filepath.Join(t.TempDir(), string(cfg.Library)+"_driver.py")
	source := slixmpp
	if cfg.Library == Aioxmpp {
		source = aioxmpp
	}
	if err := os.WriteFile(script, source, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{script, "--jid", cfg.JID, "--host", cfg.Host, "--port", strconv.Itoa(cfg.Port), "--ca", cfg.CA}
	for _, address := range cfg.Others {
		args = append(args, "--other", address)
	}
	if cfg.Reconnect {
		args = append(args, "--reconnect")
	}
	if cfg.DirectTLS {
		args = append(args, "--direct-tls")
	}
	if cfg.Component {
		args = append(args, "--component")
	}
	if cfg.NoResume {
		args = append(args, "--no-resume")
	}
	if cfg.Mechanism != "" {
		args = append(args, "--mechanism", cfg.Mechanism)
	}
	// Debian's libraries are those of Debian's Python.
	cmd := exec.CommandContext(context.Background(), "/usr/bin/python3", args...)
	c := &Client{t: t, name: cfg.JID, cmd: cmd, news: make(chan struct{}, 1)}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	c.stdin = stdin
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", cfg.Library, err)
	}
	fmt.Fprintln(stdin, cfg.Password)
	var readers sync.WaitGroup
	readers.Go(func() { c.read(stdout) })
	readers.Go(func() { c.keep(stderr) })
	t.Cleanup(func() {
		stdin.Close()
		quit := time.AfterFunc(5*time.Second, func() { cmd.Process.Kill() })
		readers.Wait()
		cmd.Wait()
		quit.Stop()
		if t.Failed() {
			t.Logf("%s: events %+v\nstandard error:\n%s", c.name, c.events, c.stderr.String())
		}
	})
	return c
}

func (c *Client) read(r io.Reader) {
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var e Event
		if err := json.Unmarshal(lines.Bytes(), &e); err != nil {
			e = Event{Event: "garbage", Body: lines.Text()}
		}
		c.tell(func() { c.events = append(c.events, e) })
	}
	c.tell(func() { c.ended = true })
}

func (c *Client) tell(change func()) {
	c.mu.Lock()
	change()
	c.mu.Unlock()
	select {
	case c.news <- struct{}{}:
	default:
	}
}

func (c *Client) keep(r io.Reader) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		c.mu.Lock()
		c.stderr.WriteString(lines.Text() + "\n")
		c.mu.Unlock()
	}
}

// Do sends a command: send TO BODY ID, subscribe TO, ping TO, roster, drop,
// quit. drop breaks the connection without a word. steady TO PREFIX MILLISECONDS
// sends "PREFIX-0", "PREFIX-1" … at that interval until halt PREFIX, which tells
// how many in an event halted.
func (c *Client) Do(words ...string) {
	c.t.Helper()
	line, err := json.Marshal(words)
	if err != nil {
		c.t.Fatal(err)
	}
	if _, err := c.stdin.Write(append(line, '\n')); err != nil {
		c.t.Fatalf("%s: %v: %v", c.name, words, err)
	}
}

// limit is how long a real client may take on a loaded machine.
const limit = 90 * time.Second

// Await returns the first event, of all since the start, that match accepts.
func (c *Client) Await(what string, match func(Event) bool) Event {
	c.t.Helper()
	return c.AwaitSince(0, what, match)
}

// AwaitSince is Await for events after the first n.
func (c *Client) AwaitSince(n int, what string, match func(Event) bool) Event {
	c.t.Helper()
	deadline := time.After(limit)
	seen := n
	for {
		c.mu.Lock()
		events, ended := c.events, c.ended
		c.mu.Unlock()
		for ; seen < len(events); seen++ {
			if match(events[seen]) {
				return events[seen]
			}
		}
		if ended {
			c.t.Fatalf("%s ended without %s", c.name, what)
		}
		select {
		case <-c.news:
		case <-deadline:
			c.t.Fatalf("%s: no %s", c.name, what)
		}
	}
}

// AwaitKind is Await for the first event of a kind.
func (c *Client) AwaitKind(kind string) Event {
	c.t.Helper()
	return c.Await(kind, func(e Event) bool { return e.Event == kind })
}

// Count says how many events match so far.
func (c *Client) Count(match func(Event) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	n := 0
	for _, e := range c.events {
		if match(e) {
			n++
		}
	}
	return n
}

// Kill ends the process without a word to the server.
func (c *Client) Kill() { c.cmd.Process.Kill() }

// Seen is how many events there are so far, for AwaitSince.
func (c *Client) Seen() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.events)
}

// Events are those so far that match.
func (c *Client) Events(match func(Event) bool) (es []Event) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, e := range c.events {
		if match(e) {
			es = append(es, e)
		}
	}
	return es
}

// IDs are those of all events of a kind so far.
func (c *Client) IDs(kind string) []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	var ids []string
	for _, e := range c.events {
		if e.Event == kind {
			ids = append(ids, e.ID)
		}
	}
	return ids
}

// AwaitOnline waits until the server has taken the client's presence, so that
// what is sent to the bare JID from now on comes to this client.
func (c *Client) AwaitOnline() {
	c.t.Helper()
	me := c.AwaitKind("connected").JID
	c.Await("its own presence", func(e Event) bool { return e.Event == "presence" && e.Type == "available" && e.From == me })
}
