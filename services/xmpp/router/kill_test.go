package router

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// childEnv makes a copy of the test binary a router that is to be killed.
const childEnv = "PARLEY_ROUTER_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		fmt.Fprintln(os.Stderr, chatter(dir, os.Getenv("PARLEY_ROUTER_FROM")))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// line is an edge that prints what it is told, a line a call: "c n" where
// message n is confirmed, "d n" where it was delivered and will be
// acknowledged.
type line struct {
	r    *Router
	id   link.SessionID
	from int
	acks chan link.Item

	mu        sync.Mutex
	confirmed uint64
}

func (l *line) Confirm(_ link.SessionID, seq uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.confirmed < seq {
		l.confirmed++
		os.Stdout.WriteString("c " + strconv.Itoa(l.from+int(l.confirmed)) + "\n")
	}
}

func (l *line) Deliver(_ link.SessionID, d link.Delivery) {
	if d.Item != 0 {
		os.Stdout.WriteString("d " + d.Stanza.Attr("id") + "\n")
		l.acks <- d.Item
	}
}

func (l *line) End(link.SessionID, string) {}

// chatter sends numbered messages to one account whose session acknowledges
// them, and to one that is away, for ever.
func chatter(dir, from string) error {
	n, err := strconv.Atoi(from)
	if err != nil {
		return err
	}
	st := store.New(store.Config{Dir: dir}, store.Deps{Log: discard})
	if err := st.Open(); err != nil {
		return err
	}
	ctx := context.Background()
	go st.Run(ctx)
	if err := st.WaitReady(ctx); err != nil {
		return err
	}
	if !st.Account("ada") {
		for _, name := range []string{"ada", "bob", "cleo"} {
			if _, err := st.Apply(ctx, &store.AccountAdd{Name: name}); err != nil {
				return err
			}
		}
	}
	r := New(Config{Domain: domain}, Deps{Store: st, Log: discard})
	go r.Run(ctx)
	open := func(id byte, name string) (*line, error) {
		l := &line{r: r, id: link.SessionID{id}, from: n, acks: make(chan link.Item, 4*windowItems)}
		j, err := jid.New(name, domain, "")
		if err == nil {
			_, err = r.Open(ctx, link.Open{ID: l.id, JID: j}, l)
		}
		return l, err
	}
	bob, err := open(1, "bob")
	if err != nil {
		return err
	}
	// His presence is confirmed too; it is no message.
	bob.confirmed = 1
	r.Send(bob.id, 1, stanza.New(stanza.NSClient, "presence"))
	go func() {
		for item := range bob.acks {
			r.Delivered(bob.id, []link.Item{item})
		}
	}()
	ada, err := open(2, "ada")
	if err != nil {
		return err
	}
	for seq := uint64(1); ; seq++ {
		to := []string{"bob@" + domain, "cleo@" + domain}[seq%2]
		r.Send(ada.id, seq, stanza.New(stanza.NSClient, "message", "type", "chat", "to", to, "id", strconv.Itoa(n+int(seq))))
	}
}

func TestKilledRouterLosesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "xmpp")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	confirmed, delivered := map[string]bool{}, map[string]int{}
	const kills = 20
	for k := range kills {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childEnv+"="+dir, fmt.Sprint("PARLEY_ROUTER_FROM=", k*10_000_000))
		var stderr strings.Builder
		cmd.Stderr = &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			switch what, id, _ := strings.Cut(lines.Text(), " "); what {
			case "c":
				confirmed[id] = true
			case "d":
				delivered[id]++
			}
			if n == 50+k*211 {
				cmd.Process.Signal(syscall.SIGKILL)
			}
		}
		cmd.Wait()
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
			t.Fatalf("round %d: ended by itself: %s", k, stderr.String())
		}
	}
	w := newWorldIn(t, dir)
	kept := 0
	for _, name := range []string{"bob", "cleo"} {
		last := w.online(name, "last", 0)
		for got := ids(last.drain()); len(got) > 0; got = ids(last.drain()) {
			for i, id := range got {
				delivered[id]++
				kept++
				if i > 0 && !before(got[i-1], id) {
					t.Errorf("%s got %s before %s", name, got[i-1], id)
				}
			}
		}
	}
	lost := 0
	for id := range confirmed {
		if delivered[id] == 0 {
			lost++
		}
	}
	if lost > 0 {
		t.Errorf("%d of %d confirmed messages are lost", lost, len(confirmed))
	}
	again := 0
	for _, n := range delivered {
		if n > 1 {
			again++
		}
	}
	t.Logf("%d kills: %d confirmed, %d left in the inboxes, %d delivered again to a new session", kills, len(confirmed), kept, again)
}

func before(a, b string) bool {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return x < y
}
