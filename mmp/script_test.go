package mmp

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"parley/mmp/mmptest"
	"parley/services/account"
	"parley/services/eventlog/eventlogapi"
)

// TestTranscripts plays what is in testdata. There,
//
//	put FILE...     puts files as SFTP would
//	nodes NAME=ADDRESS...
//	                makes several nodes that reach each other; in what is played
//	                the prompt says which one a line is for
//	down NAME, up NAME
//	                cuts a node off from the others, and takes that back
//	log TEXT...     has a service log these
//	event LEVEL MESSAGE [HINT]
//	                is an event that a service logs
//	fault KEY MESSAGE [HINT], mended KEY
//	                is a fault condition that a service raises, and its end
//	listed NAME...  is the directory's list of who exists
//	late NODE       has a node's Call Bridge read the LDAP server's settings only
//	                after it was asked once more
//	silent          has the event log not answer
//	play FILE       runs the lines after prompts in FILE, with the lines
//	                "(typed) …" as what is typed at prompts, and writes the whole
//	                as it really went to standard output
//
// A first word "user:NAME:ROLE" of play is who plays; without, it is the admin
// at the machine itself.
func TestTranscripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir:           "testdata",
		UpdateScripts: os.Getenv("UPDATE") != "",
		Setup: func(env *testscript.Env) error {
			dir := filepath.Join(env.WorkDir, "state")
			if err := os.Mkdir(dir, 0o750); err != nil {
				return err
			}
			env.Values["t"] = env.T()
			env.Values["node"] = newNode(env.T().(testing.TB), dir)
			env.Values["nodes"] = map[string]*testNode{}
			return nil
		},
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"put":  put,
			"play": play,
			"cert": cert,
			"log":  logLines,
			"event": func(ts *testscript.TestScript, _ bool, args []string) {
				args = append(args, "")
				ts.Check(ts.Value("node").(*testNode).events.Log(context.Background(), eventlogapi.Event{Level: eventlogapi.Level(args[0]), Message: args[1], Hint: args[2]}))
			},
			"fault": func(ts *testscript.TestScript, _ bool, args []string) {
				args = append(args, "")
				ts.Check(ts.Value("node").(*testNode).events.Raise(context.Background(), eventlogapi.Fault{Key: args[0], Message: args[1], Hint: args[2]}))
			},
			"mended": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Check(ts.Value("node").(*testNode).events.Drop(context.Background(), args[0]))
			},
			"listed": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Value("node").(*testNode).xmpp.Listed(args...)
			},
			"silent": func(ts *testscript.TestScript, _ bool, _ []string) {
				ts.Value("node").(*testNode).events.Silent = true
			},
			"nodes": func(ts *testscript.TestScript, _ bool, args []string) {
				site, all := mmptest.NewSite(), map[string]*testNode{}
				for _, a := range args {
					name, address, _ := strings.Cut(a, "=")
					dir := ts.MkAbs(name)
					ts.Check(os.Mkdir(dir, 0o750))
					all[name] = newNodeAt(ts.Value("t").(testing.TB), dir, site, name, address)
					if status, out := all[name].exec("hostname " + name); status != 0 {
						ts.Fatalf("%s", out)
					}
				}
				maps.Copy(ts.Value("nodes").(map[string]*testNode), all)
			},
			"down": func(ts *testscript.TestScript, _ bool, args []string) {
				n := ts.Value("nodes").(map[string]*testNode)[args[0]]
				n.site.Down(n.xmpp)
			},
			"late": func(ts *testscript.TestScript, _ bool, args []string) {
				ts.Value("nodes").(map[string]*testNode)[args[0]].bridge.Late()
			},
			"up": func(ts *testscript.TestScript, _ bool, args []string) {
				n := ts.Value("nodes").(map[string]*testNode)[args[0]]
				n.site.Up(n.xmpp)
			},
		},
	})
}

// playing are the nodes of a script.
func playing(ts *testscript.TestScript) []*testNode {
	return append(slices.Collect(maps.Values(ts.Value("nodes").(map[string]*testNode))), ts.Value("node").(*testNode))
}

func put(ts *testscript.TestScript, _ bool, args []string) {
	for _, n := range playing(ts) {
		for _, name := range args {
			n.put(name, ts.ReadFile(name))
		}
	}
}

func logLines(ts *testscript.TestScript, _ bool, args []string) {
	n := ts.Value("node").(*testNode)
	for _, a := range args {
		n.Journal.Logger(slog.LevelInfo).With("component", "xmpp").Info(a)
	}
}

var (
	promptLine = regexp.MustCompile(`^(\S+)> (.*)$`)
	typedLine  = regexp.MustCompile(`^\(typed\) ?(.*)$`)
	// masks are what differs from run to run.
	masks = []struct {
		re *regexp.Regexp
		by string
	}{
		{regexp.MustCompile(`\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z`), "2026-11-22T20:47:58.000Z"},
		{regexp.MustCompile(`Serial number( +): [0-9a-f]{20,}`), "Serial number$1: …"},
		{regexp.MustCompile(`SHA256:[A-Za-z0-9+/]{43}`), "SHA256:…"},
		{regexp.MustCompile(`\b[0-9a-fA-F]{2}(:[0-9a-fA-F]{2}){15,31}\b`), "…"},
	}
)

func play(ts *testscript.TestScript, _ bool, args []string) {
	nodes := ts.Value("nodes").(map[string]*testNode)
	user, source := admin, Local
	if who, ok := strings.CutPrefix(args[0], "user:"); ok {
		name, role, _ := strings.Cut(who, ":")
		user, source = account.User{Name: name, Role: account.Role(role)}, "10.0.0.9:63290"
		args = args[1:]
	}
	lines := strings.Split(strings.TrimSuffix(ts.ReadFile(args[0]), "\n"), "\n")
	for i, l := range lines {
		m := promptLine.FindStringSubmatch(l)
		if m == nil {
			continue
		}
		n := nodes[m[1]]
		if n == nil {
			n = ts.Value("node").(*testNode)
		}
		var typed []string
		for _, l := range lines[i+1:] {
			if promptLine.MatchString(l) {
				break
			}
			if a := typedLine.FindStringSubmatch(l); a != nil {
				typed = append(typed, a[1])
			}
		}
		fmt.Fprintf(ts.Stdout(), "%s%s\n", n.prompt(), m[2])
		var out bytes.Buffer
		in := &typist{lines: typed, echo: &out}
		status := n.Exec(context.Background(), user, source, m[2], in, &out, &out)
		if failed := strings.Contains(out.String(), "FAILURE: "); (status != 0) != failed || status > 1 {
			ts.Fatalf("%s: exit status %d with\n%s", m[2], status, out.String())
		}
		text := out.String()
		for _, m := range masks {
			text = m.re.ReplaceAllString(text, m.by)
		}
		fmt.Fprint(ts.Stdout(), text)
	}
}

// typist answers prompts from lines and writes them into the transcript.
type typist struct {
	lines []string
	left  string
	echo  *bytes.Buffer
}

func (t *typist) Read(p []byte) (int, error) {
	if t.left == "" {
		if len(t.lines) == 0 {
			return 0, os.ErrClosed
		}
		fmt.Fprintf(t.echo, "(typed) %s\n", t.lines[0])
		t.left, t.lines = t.lines[0]+"\n", t.lines[1:]
	}
	n := copy(p, t.left)
	t.left = t.left[n:]
	return n, nil
}
