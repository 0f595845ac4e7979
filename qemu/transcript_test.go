package qemu_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

// A transcript is what an operator types and sees, as an article prints it:
//
//	# text                 for the reader; so are blank lines
//	cb1> command           typed on that appliance over SSH, followed by what it
//	                       prints, all of it
//	(typed) text           typed at the prompt before, which ends with the same
//	                       text where it echoes
//	$ command              typed on the operator's machine; only it has to succeed
//	$ sftp admin@ADDRESS   with the lines "sftp> …" after it
//
// Where output differs from run to run there is a placeholder: <time>, <date>,
// <moment>, <number>, <version>, <words>; and <secret of cb1>, which is bound where it first stands
// and is the same from then on. A line "..." stands for any number of lines.
type transcript []step

type step struct {
	line    int
	node    string // "" is the operator's machine
	command string
	output  []string // with the lines that are typed
}

var (
	promptLine  = regexp.MustCompile(`^(\w+)> (.*)$`)
	placeholder = regexp.MustCompile(`<(\w+)([^>]*)>`)
	// kinds are the placeholders' first words.
	kinds = map[string]string{
		"time":    `\d{4}-[A-Z][a-z]{2}-\d\d \d\d:\d\d:\d\d`,
		"date":    `\d{4}-\d\d-\d\d`,
		"moment":  `\d\d:\d\d:\d\d\.\d{3}`,
		"number":  `\d+`,
		"version": `\S+`,
		"words":   `\S.*`,
		"secret":  `[A-Za-z0-9]{19}`,
	}
	// A table has three columns and more; how wide they are is up to their
	// contents.
	table   = regexp.MustCompile(`\S {2,}\S.*\S {2,}\S`)
	spaces  = regexp.MustCompile(` {2,}`)
	escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[A-Za-z]")
)

func parseTranscript(text string) (transcript, error) {
	var steps transcript
	line := 0
	for l := range strings.Lines(text) {
		line++
		l = strings.TrimRight(l, " \r\n")
		command, own := strings.CutPrefix(l, "$ ")
		m := promptLine.FindStringSubmatch(l)
		switch {
		case l == "" || strings.HasPrefix(l, "# "):
		case own:
			steps = append(steps, step{line: line, command: command})
		case m != nil && m[1] != "sftp":
			steps = append(steps, step{line: line, node: m[1], command: m[2]})
		case len(steps) == 0:
			return nil, fmt.Errorf("line %d: output before any command: %s", line, l)
		default:
			last := &steps[len(steps)-1]
			last.output = append(last.output, l)
		}
	}
	return steps, nil
}

// typedText is what stands after "(typed) ".
func typedText(line string) (string, bool) {
	if line == "(typed)" {
		return "", true
	}
	return strings.CutPrefix(line, "(typed) ")
}

// bindings are the placeholders with a name that were met.
type bindings map[string]string

// fill puts in what is bound.
func (b bindings) fill(line string) string {
	return placeholder.ReplaceAllStringFunc(line, func(p string) string {
		if v, ok := b[p]; ok {
			return v
		}
		return p
	})
}

// match says whether a line is what is wanted, and binds its placeholders then.
func (b bindings) match(want, got string) bool {
	want = b.fill(want)
	if table.MatchString(want) {
		want, got = spaces.ReplaceAllString(want, " "), spaces.ReplaceAllString(got, " ")
	}
	var pattern strings.Builder
	var names []string
	at := 0
	for _, m := range placeholder.FindAllStringSubmatchIndex(want, -1) {
		kind, ok := kinds[want[m[2]:m[3]]]
		if !ok {
			continue // as it stands
		}
		pattern.WriteString(regexp.QuoteMeta(want[at:m[0]]) + "(" + kind + ")")
		names = append(names, want[m[0]:m[1]])
		at = m[1]
	}
	pattern.WriteString(regexp.QuoteMeta(want[at:]))
	found := regexp.MustCompile("^" + pattern.String() + "$").FindStringSubmatch(got)
	if found == nil {
		return false
	}
	for i, name := range names {
		if strings.Contains(name, " ") {
			b[name] = found[i+1]
		}
	}
	return true
}

// compare returns the difference, "" where there is none.
func (b bindings) compare(want, got []string) string {
	var shown []string
	rest := got
	for i, w := range want {
		if w == "..." {
			for len(rest) > 0 && (i+1 == len(want) || !b.match(want[i+1], rest[0])) {
				shown, rest = append(shown, rest[0]), rest[1:]
			}
			continue
		}
		if len(rest) > 0 && b.match(w, rest[0]) {
			shown, rest = append(shown, rest[0]), rest[1:]
			continue
		}
		shown = append(shown, b.fill(w))
	}
	return cmp.Diff(shown, got)
}

// shown are the lines that a terminal shows after the echoed command.
func shown(output string) []string {
	_, output, _ = strings.Cut(escapes.ReplaceAllString(output, ""), "\n")
	var lines []string
	for l := range strings.Lines(output) {
		if l = strings.TrimRight(l, " \r\n"); l != "" {
			lines = append(lines, l)
		}
	}
	return lines
}

// settle is how long a status may take to be what the transcript shows.
const settle = time.Minute

// settles says whether a command shows what takes a while to be so, and changes
// nothing itself.
func settles(command string) bool {
	return strings.HasSuffix(command, " status") || slices.Contains([]string{"callbridge", "callbridge directory", "xmpp user list", "eventlog 100", "alarms"}, command)
}

// overtaxed says whether a command was refused because other nodes were silent,
// or late. Here none is ever cut off where a transcript succeeds: the machine
// that all of them run on was busy for longer than a node's timeouts.
func overtaxed(output []string) bool {
	return len(output) > 0 && slices.ContainsFunc([]string{
		"FAILURE: most of the cluster's nodes cannot be reached", "FAILURE: the replicated store takes no changes at the moment",
		"FAILURE: the database takes no changes at the moment", "FAILURE: gave up while asking the leader ",
	}, func(refusal string) bool { return strings.HasPrefix(output[len(output)-1], refusal) })
}

// play types a transcript of testdata. The folder is where the operator's files
// are.
func (r *rack) play(file, dir string, b bindings) {
	r.t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", file))
	if err != nil {
		r.t.Fatal(err)
	}
	steps, err := parseTranscript(string(text))
	if err != nil {
		r.t.Fatalf("%s: %v", file, err)
	}
	began := time.Now()
	for _, s := range steps {
		where := fmt.Sprintf("%s:%d", file, s.line)
		if s.node != "" {
			r.playOnNode(where, s, b)
			continue
		}
		address, ok := strings.CutPrefix(s.command, "sftp admin@")
		if !ok {
			r.run(dir, s.command)
			continue
		}
		var batch strings.Builder
		for _, l := range s.output {
			if l, ok := strings.CutPrefix(l, "sftp> "); ok {
				batch.WriteString(l + "\n")
			}
		}
		r.node(address).sftp(dir, batch.String())
	}
	r.t.Logf("%s: %d steps in %.1f s", file, len(steps), time.Since(began).Seconds())
}

func (r *rack) playOnNode(where string, s step, b bindings) {
	r.t.Helper()
	n := r.node(s.node)
	began := time.Now()
	moved := make(map[string]bool)
	defer func() {
		if len(moved) > 0 {
			r.t.Logf("%s: leadership is not where the transcript has it: %v", where, slices.Collect(maps.Keys(moved)))
		}
	}()
	for {
		got, want := n.play(s, b), slices.DeleteFunc(slices.Clone(s.output), func(l string) bool {
			_, typed := typedText(l)
			return typed
		})
		switch s.command {
		case "xmpp cluster status":
			if leader := leaderOf(got); leader != "" && leader != leaderOf(want) {
				moved[leader] = true
				want = withLeader(want, n.address+":5222", leader)
			}
		case "database cluster status":
			if primary := primaryOf(got); primary != "" && primary != primaryOf(want) {
				moved[primary] = true
				want = withPrimary(want, primary)
			}
		}
		diff := b.compare(want, got)
		switch {
		case diff == "":
			if took := time.Since(began); took > time.Second {
				r.t.Logf("%s: %s> %s: %.1f s", where, s.node, s.command, took.Seconds())
			}
			return
		case settles(s.command) && time.Since(began) < settle:
			time.Sleep(300 * time.Millisecond)
		case overtaxed(got) && time.Since(began) < time.Minute:
			// The refused command has changed nothing, and is typed again.
			r.t.Logf("%s: %s> %s: %s", where, s.node, s.command, got[len(got)-1])
			time.Sleep(3 * time.Second)
		default:
			r.t.Fatalf("%s: %s> %s\n%s\nprinted (-want +got):\n%s", where, s.node, s.command, strings.Join(got, "\n"), diff)
		}
	}
}

// play types one command with its answers and returns what was shown.
func (n *node) play(s step, b bindings) []string {
	n.t.Helper()
	c := n.terminal()
	n.typed(c, b.fill(s.command))
	var output strings.Builder
	prompt := ""
	for _, l := range s.output {
		answer, ok := typedText(l)
		if !ok {
			prompt = l
			continue
		}
		output.WriteString(n.expect(c, b.fill(strings.TrimSuffix(prompt, " "+answer))))
		n.typed(c, b.fill(answer))
		prompt = ""
	}
	output.WriteString(n.expect(c, "\n"+n.name+"> "))
	lines := shown(strings.TrimSuffix(output.String(), n.name+"> "))
	return lines
}

func TestTranscript(t *testing.T) {
	steps, err := parseTranscript(`# The first node
$ sftp admin@10.106.81.30
sftp> get a.csr

cb1> xmpp callbridge add-secret cb1
Enter callbridge secret
(typed) <secret of cb1>
SUCCESS
`)
	want := transcript{
		{line: 2, command: "sftp admin@10.106.81.30", output: []string{"sftp> get a.csr"}},
		{line: 5, node: "cb1", command: "xmpp callbridge add-secret cb1", output: []string{"Enter callbridge secret", "(typed) <secret of cb1>", "SUCCESS"}},
	}
	if diff := cmp.Diff(want, steps, cmp.AllowUnexported(step{})); diff != "" || err != nil {
		t.Errorf("parseTranscript: %v (-want +got):\n%s", err, diff)
	}
}

func TestTranscriptComparison(t *testing.T) {
	const secret = "kvgP1SRzWVabhi01Ab1"
	for _, tt := range []struct {
		name      string
		want, got string
		equal     bool
	}{
		{"equal", "SUCCESS", "SUCCESS", true},
		{"other", "SUCCESS", "FAILURE: no", false},
		{"table", "a  <number>  0  <version>  up", "a  22         0    fa52276  up", true},
		{"no table", "Key file : a", "Key file  : a", false},
		{"missing", "a\nb", "a", false},
		{"more", "a", "a\nb", false},
		{"time", "Last: <time>", "Last: 2017-Aug-13 07:27:58", true},
		{"no time", "Last: <time>", "Last: yesterday", false},
		{"usage", "join <node>", "join <node>", true},
		{"bound", "Secret: <secret of cb2>\nagain <secret of cb2>", "Secret: " + secret + "\nagain " + secret, true},
		{"bound to another", "Secret: <secret of cb2>", "Secret: " + strings.ToUpper(secret), false},
		{"any lines", "a\n...", "a\nb\nc", true},
		{"any lines, none", "a\n...", "a", true},
		{"any lines between", "a\n...\nd", "a\nb\nc\nd", true},
		{"any lines, wrong after", "a\n...\nd", "a\nb\nc", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := bindings{}
			if strings.Contains(tt.name, "another") {
				b["<secret of cb2>"] = secret
			}
			diff := b.compare(strings.Split(tt.want, "\n"), strings.Split(tt.got, "\n"))
			if (diff == "") != tt.equal {
				t.Errorf("compare(%q, %q): difference\n%s\nwant equal: %t", tt.want, tt.got, diff, tt.equal)
			}
		})
	}
}
