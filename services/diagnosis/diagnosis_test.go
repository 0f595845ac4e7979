package diagnosis_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"

	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/diagnosis"
	"parley/services/xmpp/xmppapi"
)

// fingerprint is what differs in each run.
var fingerprint = regexp.MustCompile(`\(SHA-256 [0-9A-F:]+…\)`)

// troubles are the findings that are not OK, as lines. That it looks twice takes
// no time.
func troubles(t *testing.T, n *node) []string {
	var lines []string
	d := n.diagnosis()
	synctest.Test(t, func(t *testing.T) {
		for _, f := range d.Run(t.Context()) {
			if f.Level != diagnosis.OK {
				lines = append(lines, fingerprint.ReplaceAllString(f.Text(), "(…)"))
			}
		}
	})
	return lines
}

func TestNoMistake(t *testing.T) {
	w := newWorld(t, makeCerts(t))
	for _, n := range w.nodes {
		findings := n.diagnosis().Run(t.Context())
		for _, f := range findings {
			if f.Level != diagnosis.OK {
				t.Errorf("on %s: %s", n.addr, f.Text())
			}
		}
		if len(findings) < 20 {
			t.Errorf("on %s: %d findings only", n.addr, len(findings))
		}
	}
	t.Run("with a directory", func(t *testing.T) {
		w.withDirectory()
		var all strings.Builder
		for _, f := range w.nodes[0].diagnosis().Run(t.Context()) {
			all.WriteString(f.Text() + "\n")
		}
		for _, want := range []string{
			"OK    directory: ldap.tptac9.com:389 answers, 2 users, listed 3 minutes ago\n",
			"OK    directory users: 2 accounts, whose passwords 3 Call Bridges check, and 1 no longer in the directory\n",
		} {
			if !strings.Contains(all.String(), want) {
				t.Errorf("no %q in\n%s", want, all.String())
			}
		}
	})
}

// TestDatabaseOfItsOwn is nothing to speak of; a shared one is.
func TestDatabaseOfItsOwn(t *testing.T) {
	n := newWorld(t, makeCerts(t)).nodes[0]
	told := func() bool {
		return slices.ContainsFunc(n.diagnosis().Run(t.Context()), func(f diagnosis.Finding) bool { return f.What == "database" })
	}
	if !told() {
		t.Error("nothing is told of a shared database")
	}
	n.database = databaseapi.Status{Mode: databaseapi.Alone}
	if told() {
		t.Error("something is told of a node's own database")
	}
}

// TestMistakes: each mistake is found, named, and has what mends it. UPDATE=1
// writes what is found.
func TestMistakes(t *testing.T) {
	golden := filepath.Join("testdata", "mistakes.txt")
	certs := makeCerts(t)
	got := map[string][]string{}
	var all strings.Builder
	for _, m := range mistakes {
		w := newWorld(t, certs)
		m.make(w, w.nodes[0])
		got[m.name] = troubles(t, w.nodes[0])
		fmt.Fprintf(&all, "== %s\n%s\n", m.name, strings.Join(got[m.name], "\n"))
	}
	if len(got) != len(mistakes) {
		t.Errorf("%d names for %d mistakes", len(got), len(mistakes))
	}
	if os.Getenv("UPDATE") != "" {
		if err := os.WriteFile(golden, []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	data, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	want := map[string][]string{}
	for part := range strings.SplitSeq(strings.TrimPrefix(string(data), "== "), "\n== ") {
		name, lines, _ := strings.Cut(strings.TrimSuffix(part, "\n"), "\n")
		want[name] = strings.Split(lines, "\n")
	}
	for _, name := range slices.Sorted(maps.Keys(got)) {
		if len(got[name]) == 0 {
			t.Errorf("%s: not found", name)
		}
		for _, line := range got[name] {
			if !strings.Contains(line, "; ") {
				t.Errorf("%s: %q names nothing that mends it", name, line)
			}
		}
		if d := cmp.Diff(want[name], got[name]); d != "" {
			t.Errorf("%s (-want +got):\n%s", name, d)
		}
	}
	for name := range want {
		if got[name] == nil {
			t.Errorf("testdata has %q, which is no mistake of the table", name)
		}
	}
}

// TestBehindIsNoMistake: a member that has not heard of a change yet has other
// Call Bridges for a moment.
func TestBehindIsNoMistake(t *testing.T) {
	w := newWorld(t, makeCerts(t))
	n := w.nodes[1]
	n.secrets = w.bridges[:2]
	n.doc.CallBridge, w.nodes[2].doc.CallBridge = config.CallBridge{}, config.CallBridge{}
	if got := troubles(t, w.nodes[0]); len(got) == 0 {
		t.Error("with the same entries it is a mistake, and is not found")
	}
	w.nodes[0].status = func(s *xmppapi.Status) { s.LastIndex = 7 }
	n.status = func(s *xmppapi.Status) { s.LastIndex = 6 }
	for _, line := range troubles(t, w.nodes[0]) {
		t.Errorf("a member that is behind: %s", line)
	}
}
