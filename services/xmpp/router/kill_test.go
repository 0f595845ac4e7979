package router

import (
	"bufio"
	"bytes"
	"context"
	"encoding/gob"
	"encoding/hex"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"parley/services/xmpp/jid"
	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
	"parley/services/xmpp/store"
)

// childEnv makes a copy of the test binary a router that is to be killed.
const childEnv = "PARLEY_ROUTER_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		fmt.Fprintln(os.Stderr, chatter(dir))
		os.Exit(1)
	}
	os.Exit(m.Run())
}

// logged is a relay's state of a session, as the parent follows it.
type logged struct {
	Name            string
	Ref             link.Ref
	Confirmed, Last uint64
	Queue           []link.Delivery
	Memo            []byte
	// Seen are the ids of the messages that came; all were acknowledged.
	Seen []string
}

// line is an edge that prints what it is told, a line a call. What is printed
// the parent knows, as the relay on another node would.
type line struct {
	r    *Router
	name string
	acks chan uint64
	// confirmed is signalled after each Confirm.
	confirmed chan uint64
}

func (l *line) print(what string, args ...any) {
	os.Stdout.WriteString(l.name + " " + what + " " + fmt.Sprintln(args...))
}

func (l *line) Confirm(_ link.Ref, seq uint64) {
	l.print("c", seq)
	l.confirmed <- seq
}

func (l *line) Deliver(_ link.Ref, d link.Delivery) {
	id := "-"
	if d.Item != 0 {
		id = ids([]string{string(d.Bytes)})[0]
	}
	l.print("d", d.N, uint64(d.Item), id)
	l.acks <- d.N
}

func (l *line) Memo(_ link.Ref, memo []byte) { l.print("m", hex.EncodeToString(memo)) }

func (l *line) End(_ link.Ref, condition string) { l.print("e", condition) }

// follow takes a line of the child.
func (s *logged) follow(t *testing.T, what string, args []string) {
	switch what {
	case "c":
		s.Confirmed, _ = strconv.ParseUint(args[0], 10, 64)
	case "d":
		n, _ := strconv.ParseUint(args[0], 10, 64)
		item, _ := strconv.ParseUint(args[1], 10, 64)
		if n != s.Last+1 {
			t.Fatalf("%s: delivery %d after %d", s.Name, n, s.Last)
		}
		s.Last = n
		s.Queue = append(s.Queue, link.Delivery{N: n, Item: link.Item(item)})
		if item != 0 {
			s.Seen = append(s.Seen, args[2])
		}
	case "m":
		s.Memo, _ = hex.DecodeString(args[0])
	case "e":
		t.Fatalf("%s ended: %s", s.Name, args)
	}
}

// state is what a new leader is told: of what is delivered the last is told
// too, as the leader before may not have come to remove it.
func (s *logged) state() link.Session {
	j, err := jid.New(s.Name, domain, "r")
	if err != nil {
		panic(err)
	}
	return link.Session{Ref: s.Ref, JID: j, Confirmed: s.Confirmed, Last: s.Last, Memo: s.Memo,
		Queue: s.Queue[max(0, len(s.Queue)-2*windowItems):]}
}

// killed are the sessions of the test: ada sends, without end, by turns to bob,
// who is there, and to cleo, who is not.
func killed() map[string]*logged {
	m := map[string]*logged{}
	for _, name := range []string{"ada", "bob"} {
		m[name] = &logged{Name: name, Ref: newRef(), Memo: here(name + "@" + domain + "/r").encode()}
	}
	return m
}

func numbered(seq uint64) *stanza.Element {
	to := []string{"bob@" + domain, "cleo@" + domain}[seq%2]
	return stanza.New(stanza.NSClient, "message", "type", "chat", "to", to, "id", strconv.FormatUint(seq, 10))
}

// chatter is a leader whose sessions are attached; then it is killed.
func chatter(dir string) error {
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
		if _, err := st.Apply(ctx, &store.AccountAdd{Name: "ada"}, &store.AccountAdd{Name: "bob"}, &store.AccountAdd{Name: "cleo"}); err != nil {
			return err
		}
	}
	var told map[string]*logged
	if err := gob.NewDecoder(os.Stdin).Decode(&told); err != nil {
		return err
	}
	r := New(Config{Domain: domain}, Deps{Store: st, Log: discard})
	go r.Run(ctx)
	lines := map[string]*line{}
	for name, s := range told {
		l := &line{r: r, name: name, acks: make(chan uint64, 1<<16), confirmed: make(chan uint64, 1<<16)}
		lines[name] = l
		r.Attach(s.state(), l)
		r.Delivered(s.Ref, s.Last)
		go func() {
			for n := range l.acks {
				r.Delivered(s.Ref, n)
			}
		}()
	}
	r.Settled()
	ada := told["ada"]
	confirmed := ada.Confirmed
	for seq := confirmed + 1; ; seq++ {
		for seq > confirmed+64 {
			confirmed = <-lines["ada"].confirmed
		}
		r.Send(ada.Ref, seq, numbered(seq))
	}
}

// TestKilledRouterLosesNothing kills leaders. Each next one is told of the
// sessions: what was confirmed comes once, in order, to who stayed.
func TestKilledRouterLosesNothing(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "xmpp")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	told := killed()
	const kills = 20
	for k := range kills {
		cmd := exec.Command(self)
		cmd.Env = append(os.Environ(), childEnv+"="+dir)
		var stderr strings.Builder
		var stdin bytes.Buffer
		if err := gob.NewEncoder(&stdin).Encode(told); err != nil {
			t.Fatal(err)
		}
		cmd.Stdin, cmd.Stderr = &stdin, &stderr
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			f := strings.Fields(lines.Text())
			told[f[0]].follow(t, f[1], f[2:])
			if n == 20+k*97 {
				cmd.Process.Signal(syscall.SIGKILL)
			}
		}
		cmd.Wait()
		if ws, ok := cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || ws.Signal() != syscall.SIGKILL {
			t.Fatalf("round %d: ended by itself: %s", k, stderr.String())
		}
	}
	w := newWorldIn(t, dir)
	bob, cleo := w.attach(told["bob"].state()), w.online("cleo", "last", 0)
	w.r.Delivered(bob.ref, bob.last)
	bob.auto = true
	seen := map[string][]string{"bob": told["bob"].Seen}
	for name, p := range map[string]*peer{"bob": bob, "cleo": cleo} {
		for begin := time.Now(); time.Since(begin) < time.Minute; {
			got := ids(p.drain())
			seen[name] = append(seen[name], got...)
			if n, err := w.store.Pending(name); n == 0 && len(got) == 0 && err == nil {
				break
			}
		}
	}
	confirmed, had := told["ada"].Confirmed, map[string]bool{}
	for name, list := range seen {
		for i, id := range list {
			if had[id] {
				t.Errorf("%s got %s twice", name, id)
			}
			if i > 0 && !before(list[i-1], id) {
				t.Errorf("%s got %s before %s", name, list[i-1], id)
			}
			had[id] = true
		}
	}
	lost := 0
	for seq := range confirmed {
		if !had[strconv.FormatUint(seq+1, 10)] {
			lost++
		}
	}
	if lost > 0 || confirmed == 0 {
		t.Errorf("%d of %d confirmed messages are lost", lost, confirmed)
	}
	t.Logf("%d kills: %d confirmed; bob has %d, cleo %d", kills, confirmed, len(seen["bob"]), len(seen["cleo"]))
}

func before(a, b string) bool {
	x, _ := strconv.Atoi(a)
	y, _ := strconv.Atoi(b)
	return x < y
}
