package mmp

import (
	"context"
	"fmt"
	"strings"

	"parley/services/account"
	"parley/services/problem"
)

// family is the commands that start with one word. Parsing, help, completion
// and permissions all come from the tables of families; there is no second
// place that knows what commands there are.
type family struct {
	name     string
	about    string
	commands []command
}

// command is one row.
type command struct {
	// usage is how the command is written: words as they are, <name> for an
	// argument, [<name>] for one that may be left out, "..." after it where
	// it may be repeated; optional and repeated ones only at the end.
	usage string
	// args are the kinds of the arguments, in the order of usage.
	args []arg
	// summary is one line without a full stop; help says the rest; example
	// is a whole command line.
	summary, help, example string
	// need is what the user's role must permit.
	need account.Permission
	// endless commands are run until Ctrl-C; they never prompt.
	endless bool
	run     func(*call) error
}

// arg is a kind of argument.
type arg struct {
	// parse checks what was typed and returns what the handler gets. Its
	// problem names the fix.
	parse func(string) (any, error)
	// complete lists what may be meant, and may be nil. before are the
	// words in front of it. A candidate that ends in ':' is not whole yet.
	complete func(c *call, before []string) []string
}

// grammar is a tree of the words and arguments of all commands.
type grammar struct {
	families []family
	root     *node
}

// node is a place in a command line between two words.
type node struct {
	words []string
	next  map[string]*node
	// arg, written as label, leads on where no word fits; rest says that it may
	// be repeated.
	arg   *arg
	label string
	then  *node
	rest  bool
	// command ends here, if not nil.
	command *command
}

// newGrammar builds the tree. A table that contradicts itself panics: it is
// part of the program, and each test and each start would find it.
func newGrammar(families []family) *grammar {
	g := &grammar{families: families, root: &node{}}
	for _, f := range families {
		for i := range f.commands {
			g.add(&f.commands[i])
		}
	}
	return g
}

func (g *grammar) add(c *command) {
	n, args := g.root, c.args
	end := func(n *node) {
		if n.command != nil {
			panic("mmp: two commands for " + c.usage)
		}
		n.command = c
	}
	for _, w := range strings.Fields(c.usage) {
		name, repeated := strings.CutSuffix(w, "...]")
		if repeated {
			name += "]"
		} else {
			name, repeated = strings.CutSuffix(w, "...")
		}
		optional := strings.HasPrefix(name, "[")
		if !optional && !strings.HasPrefix(name, "<") {
			if n.next[name] == nil {
				if n.next == nil {
					n.next = map[string]*node{}
				}
				n.words, n.next[name] = append(n.words, name), &node{}
			}
			n = n.next[name]
			continue
		}
		if len(args) == 0 {
			panic("mmp: more arguments in usage than kinds: " + c.usage)
		}
		if optional {
			end(n)
		}
		if n.then == nil {
			n.arg, n.label, n.then, n.rest = &args[0], w, &node{}, repeated
		}
		if repeated {
			n.then.arg, n.then.label, n.then.then, n.then.rest = &args[0], w, n.then, true
		}
		n, args = n.then, args[1:]
	}
	if len(args) > 0 {
		panic("mmp: fewer arguments in usage than kinds: " + c.usage)
	}
	end(n)
}

// match finds the command that words are, and the values of its arguments.
// known is how many words at the start are words of commands: what follows
// them may be anything, even a password in the wrong place.
func (g *grammar) match(words []string) (c *command, values []any, known int, err error) {
	n := g.root
	var args []*arg
	var texts []string
	for i, w := range words {
		switch {
		case n.next[w] != nil:
			n = n.next[w]
			if len(texts) == 0 {
				known = i + 1
			}
		case n.arg != nil:
			args, texts = append(args, n.arg), append(texts, w)
			n = n.then
		default:
			return nil, nil, known, g.misfit(n, words, i)
		}
	}
	// A wrong value is told before one that is missing: what may follow goes by
	// it.
	for i, a := range args {
		v, err := a.parse(texts[i])
		if err != nil {
			return nil, nil, known, err
		}
		values = append(values, v)
	}
	if n.command == nil {
		return nil, nil, known, incomplete(n, words)
	}
	return n.command, values, known, nil
}

// misfit is the problem of word i, which n has no place for.
func (g *grammar) misfit(n *node, words []string, i int) error {
	before, w := strings.Join(words[:i], " "), words[i]
	if i == 0 {
		if media[w] {
			return problem.New(problem.NotThisProduct, "command", w)
		}
		near := g.second(w)
		if near == "" {
			near = nearest(w, n.words)
		}
		if near != "" {
			return problem.New(problem.CommandNear, "command", w, "near", near)
		}
		return problem.New(problem.CommandUnknown, "command", w)
	}
	if len(n.words) == 0 {
		return problem.New(problem.WordsLeft, "word", w, "before", before)
	}
	if near := nearest(w, n.words); near != "" {
		return problem.New(problem.CommandNear, "command", before+" "+w, "near", before+" "+near)
	}
	return problem.New(problem.WordUnknown, "command", before+" "+w, "before", before, "words", strings.Join(n.words, ", "))
}

// maxUsages is how many ways to go on are written out whole.
const maxUsages = 3

// incomplete is the problem of words that end at n.
func incomplete(n *node, words []string) error {
	before := strings.Join(words, " ")
	if below := n.below(); len(below) <= maxUsages {
		usages := make([]string, len(below))
		for i, c := range below {
			usages[i] = c.usage
		}
		return problem.New(problem.UsageOne, "command", before, "usage", strings.Join(usages, ", or: "))
	}
	// A word that is the only one leads to those that are a choice.
	lead := ""
	for len(n.words) == 1 && n.arg == nil {
		lead, n = lead+n.words[0]+" ", n.next[n.words[0]]
	}
	var next []string
	if n.arg != nil {
		next = append(next, lead+n.label)
	}
	for _, w := range n.words {
		next = append(next, lead+w)
	}
	return problem.New(problem.UsageMany, "command", before, "words", strings.Join(next, ", "))
}

// second is the beginning of the commands that have w for their second word, ""
// where there are none, or of several families.
func (g *grammar) second(w string) string {
	found := ""
	for _, first := range g.root.words {
		if g.root.next[first].next[w] == nil {
			continue
		}
		if found != "" {
			return ""
		}
		found = first + " " + w
	}
	return found
}

// below lists the commands from n on, each once.
func (n *node) below() []*command {
	var all []*command
	var walk func(*node)
	walk = func(n *node) {
		if n.command != nil {
			all = append(all, n.command)
		}
		if n.then != nil && n.then != n {
			walk(n.then)
		}
		for _, w := range n.words {
			walk(n.next[w])
		}
	}
	walk(n)
	seen := map[*command]bool{}
	once := all[:0]
	for _, c := range all {
		if !seen[c] {
			once = append(once, c)
		}
		seen[c] = true
	}
	return once
}

// find returns the node after words, for help: an argument there may stand as
// anything, or be left out.
func (g *grammar) find(words []string) *node {
	n := g.root
	for _, w := range words {
		for n.next[w] == nil && n.then != nil && n.then != n && n.then.next[w] != nil {
			n = n.then
		}
		switch {
		case n.next[w] != nil:
			n = n.next[w]
		case n.then != nil:
			n = n.then
		default:
			return nil
		}
	}
	return n
}

// call is one command being run. It is for the handler's goroutine.
type call struct {
	*Console
	ctx    context.Context
	user   account.User
	source string
	values []any
	out    *answer
	ask    prompter
	// watch runs a part of a command until Ctrl-C at most; that part must
	// not prompt.
	watch func(func(context.Context))
	// end is set by a command that ends the session.
	end bool
}

// prompter asks the person, or the standard input of a program, for a line.
type prompter interface {
	line(ctx context.Context, prompt string) (string, error)
	secret(ctx context.Context, prompt string) (string, error)
}

// value returns argument i, which must have been given.
func value[T any](c *call, i int) T { return c.values[i].(T) }

// text returns argument i, or "" where it was left out.
func (c *call) text(i int) string {
	if i >= len(c.values) {
		return ""
	}
	return fmt.Sprint(c.values[i])
}

// done answers a command that has nothing to say but whether it was done.
func (c *call) done(err error) error {
	if err != nil {
		return err
	}
	return c.out.success("")
}
