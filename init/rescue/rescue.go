// Package rescue is the dialogue on the consoles when the state disk cannot be
// used: it says what is wrong in plain words, and what can be done. It does
// nothing itself; the answer is carried out by who asked.
package rescue

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"strings"
	"sync"

	"parley/init/state"
)

// Choice is what the operator wants.
type Choice string

// Choices.
const (
	// Retry checks the disk again.
	Retry Choice = "retry"
	// Memory runs without a disk for this boot.
	Memory Choice = "memory"
	// Format erases the partition; it was confirmed.
	Format   Choice = "format"
	Reboot   Choice = "reboot"
	Poweroff Choice = "poweroff"
)

// Terminal is a console. Close makes a Read that waits return.
type Terminal interface {
	io.ReadWriteCloser
}

// Ask shows f on all terminals and returns the first choice made on any; it
// closes them. It returns false when ctx ends first. With no terminal there is
// nobody to ask, and the answer is Memory: a system that can be reached.
func Ask(ctx context.Context, terms []Terminal, f *state.Fault, guard func(func())) (Choice, bool) {
	ctx, done := context.WithCancel(ctx)
	defer done()
	choices := make(chan Choice, len(terms))
	var wg sync.WaitGroup
	alive := make(chan struct{})
	for _, t := range terms {
		wg.Add(1)
		go guard(func() {
			defer wg.Done()
			if c, ok := dialogue(t, f); ok {
				choices <- c
			}
		})
	}
	go guard(func() {
		wg.Wait()
		close(alive)
	})
	closeAll := func() {
		for _, t := range terms {
			t.Close()
		}
		<-alive
	}
	select {
	case c := <-choices:
		closeAll()
		return c, true
	case <-alive:
		closeAll()
		select {
		case c := <-choices:
			return c, true
		default:
			return Memory, true
		}
	case <-ctx.Done():
		closeAll()
		return "", false
	}
}

// dialogue is false when the terminal is gone.
func dialogue(t Terminal, f *state.Fault) (Choice, bool) {
	in := bufio.NewScanner(t)
	in.Buffer(make([]byte, 0, 256), 4096)
	ask := func(prompt string) (string, bool) {
		fmt.Fprint(t, prompt)
		if !in.Scan() {
			return "", false
		}
		return strings.Join(strings.Fields(in.Text()), " "), true
	}
	fmt.Fprint(t, screen(f))
	for {
		answer, ok := ask("rescue> ")
		if !ok {
			return "", false
		}
		switch word := strings.ToLower(answer); {
		case word == "":
		case word == "help" || word == "?":
			fmt.Fprint(t, screen(f))
		case word == "log":
			fmt.Fprint(t, log(f))
		case word == string(Format) && f.CanFormat:
			confirm := "ERASE " + f.Partition.Name
			fmt.Fprintf(t, "This erases %s for good: configuration, accounts, keys and messages.\n", f.Partition)
			said, ok := ask(fmt.Sprintf("Type %q to do it, anything else to go back: ", confirm))
			if !ok {
				return "", false
			}
			if said == confirm {
				return Format, true
			}
			fmt.Fprint(t, "Nothing was erased.\n")
		case word == string(Retry) || word == string(Memory) || word == string(Reboot) || word == string(Poweroff):
			return Choice(word), true
		default:
			fmt.Fprintf(t, "There is no %q here; type one of: %s.\n", answer, strings.Join(words(f), ", "))
		}
	}
}

func words(f *state.Fault) []string {
	all := []string{string(Retry), string(Memory)}
	if f.CanFormat {
		all = append(all, string(Format))
	}
	return append(all, "log", string(Reboot), string(Poweroff))
}

// width fits the smallest terminal.
const width = 78

func screen(f *state.Fault) string {
	var b strings.Builder
	b.WriteString("\n" + strings.Repeat("=", width) + "\n")
	b.WriteString("Parley cannot use its state disk.\n\n")
	b.WriteString(wrap(f.What))
	b.WriteString("\nWhat you can do:\n")
	row := func(word, text string) { fmt.Fprintf(&b, "  %-10s%s\n", word, text) }
	row("retry", "check the disk and mount it again")
	row("memory", "run in memory for this boot; the disk is left as it is,")
	row("", "and nothing that is changed outlives the next reboot")
	if f.CanFormat {
		row("format", "erase "+f.Partition.Name+" and start empty; asks for a confirmation")
	}
	row("log", "show what the check of the disk said")
	row("reboot", "start again")
	row("poweroff", "switch off, for instance to attach another disk")
	b.WriteString(strings.Repeat("=", width) + "\n")
	return b.String()
}

// maxLog is a screenful: e2fsck can name thousands of errors.
const maxLog = 40

func log(f *state.Fault) string {
	lines := f.Detail
	if len(lines) == 0 {
		return "The check said nothing.\n"
	}
	var b strings.Builder
	if n := len(lines) - maxLog; n > 0 {
		fmt.Fprintf(&b, "(%d lines before these)\n", n)
		lines = lines[n:]
	}
	for _, l := range lines {
		b.WriteString("  " + l + "\n")
	}
	return b.String()
}

func wrap(text string) string {
	var b strings.Builder
	n := 0
	for word := range strings.FieldsSeq(text) {
		if n > 0 && n+1+len(word) > width {
			b.WriteByte('\n')
			n = 0
		}
		if n > 0 {
			b.WriteByte(' ')
			n++
		}
		b.WriteString(word)
		n += len(word)
	}
	return b.String() + "\n"
}
