package node_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"parley/services/problem"
)

// change is a command that a cluster may not take at once: nodes that stand
// still for a moment, with the machine that they share, lose their leader.
type change struct {
	p     *program
	stdin string
	words []string
	// open: one before may have made it.
	open bool
}

// try types it. Of one that may have been made before, the refusal that says so
// is what was wanted.
func (c *change) try() (out string, err error) {
	c.p.t.Helper()
	out, status := c.p.try(c.stdin, c.words...)
	switch {
	case status == 0 || c.open && c.madeBefore(out):
		return out, nil
	case says(out, problem.ChangeUnknown):
		c.open = true
	}
	return out, fmt.Errorf("exit status %d\n%s", status, out)
}

func (c *change) madeBefore(out string) bool {
	words := strings.Join(c.words, " ")
	for _, of := range []struct{ words, object string }{{"xmpp callbridge ", "Call Bridge"}, {"xmpp user ", "chat account"}} {
		if rest, ok := strings.CutPrefix(words, of.words); ok {
			return strings.HasPrefix(rest, "add") && strings.Contains(out, "there is already a "+of.object+" ") ||
				strings.HasPrefix(rest, "del ") && strings.Contains(out, "there is no "+of.object+" ")
		}
	}
	return false
}

// says tells whether a console refused something for one of these reasons, which
// have no values.
func says(out string, codes ...problem.Code) bool {
	for _, code := range codes {
		if strings.Contains(out, problem.Text(problem.New(code))) {
			return true
		}
	}
	return false
}

// mmp is try for a command that must succeed.
func (p *program) mmp(words ...string) string {
	p.t.Helper()
	return p.mmpWith("", words...)
}

func (p *program) mmpWith(stdin string, words ...string) (out string) {
	p.t.Helper()
	begun := time.Now()
	c := change{p: p, stdin: stdin, words: words}
	await(p.t, strings.Join(words, " "), func(context.Context) (err error) {
		out, err = c.try()
		if err != nil && !says(out, problem.ChangeUnknown, problem.NoLeader, problem.DatabaseNoLeader) {
			p.t.Fatalf("%s: %v", strings.Join(words, " "), err)
		}
		return err
	})
	if took := time.Since(begun); took > time.Second {
		p.t.Logf("%s on %s took %v", strings.Join(words, " "), p.address, took)
	}
	return out
}

// register adds a Call Bridge and returns its secret.
func (p *program) register(name string) (secret string) {
	p.t.Helper()
	p.mmp("xmpp", "callbridge", "add", name)
	await(p.t, "the secret of "+name, func(context.Context) error {
		if secret = p.secrets()[name]; secret == "" {
			return errors.New("it is not listed")
		}
		return nil
	})
	return secret
}

// secrets are those that 'xmpp callbridge list' shows, by name.
func (p *program) secrets() map[string]string {
	p.t.Helper()
	all := map[string]string{}
	for part := range strings.SplitSeq(p.mmp("xmpp", "callbridge", "list"), "***\n") {
		_, name, named := strings.Cut(part, "Callbridge : ")
		_, secret, shown := strings.Cut(part, "Secret     : ")
		if named && shown {
			name, _, _ = strings.Cut(name, "\n")
			secret, _, _ = strings.Cut(secret, "\n")
			all[name] = secret
		}
	}
	return all
}

// TestChangeMadeBefore: only of a change that may have been made is a refusal no
// failure, and only the refusal that says so.
func TestChangeMadeBefore(t *testing.T) {
	there := problem.Text(problem.New(problem.BridgeExists, "name", "cb1"))
	gone := problem.Text(problem.New(problem.UserUnknown, "name", "ada"))
	for _, tt := range []struct {
		words, out string
		want       bool
	}{
		{"xmpp callbridge add cb1", there, true},
		{"xmpp callbridge add-secret cb1", there, true},
		{"xmpp callbridge del cb1", there, false},
		{"xmpp user add cb1", there, false},
		{"xmpp user del ada", gone, true},
		{"xmpp user passwd ada", gone, false},
		{"xmpp user del ada", problem.Text(problem.New(problem.NoLeader)), false},
		{"hostname cb1", there, false},
	} {
		c := change{words: strings.Fields(tt.words)}
		if got := c.madeBefore("FAILURE: " + tt.out); got != tt.want {
			t.Errorf("madeBefore of %q, refused with %q = %v; want %v", tt.words, tt.out, got, tt.want)
		}
	}
}
