package pid1

import (
	"fmt"
	"runtime/debug"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// fatalWait is how many seconds a fatal error stays on the screen.
const fatalWait = 10

// guard wraps every goroutine of init: a panic that ended PID 1 would be a
// kernel panic, with the state partition mounted and the reason scrolled off.
func (i *Init) guard(f func()) {
	defer func() {
		if r := recover(); r != nil {
			i.fatal(fmt.Sprintf("internal error: %v", r), string(debug.Stack()))
		}
	}()
	f()
}

// fatal says why the system cannot go on, saves what can be saved, and
// restarts the machine. It returns only where the kernel refuses.
func (i *Init) fatal(why, detail string) {
	i.once.Do(func() {
		fmt.Fprint(i.phases.out, screen(why, detail))
		i.log.Error("fatal", "why", why, "detail", detail)
		within(syncWait, func() {
			i.kernel.Sync()
			if i.mounted.Load() {
				_ = i.kernel.Mount("", i.cfg.Paths.State, "", unix.MS_REMOUNT|unix.MS_RDONLY, "")
			}
		})
		i.countdown()
		if err := i.kernel.Restart(); err != nil {
			fmt.Fprintf(i.phases.out, "Restart failed: %v. Switch the machine off.\r\n", err)
		}
	})
}

func (i *Init) countDown() {
	for n := fatalWait; n > 0; n-- {
		fmt.Fprintf(i.phases.out, "\rRestarting in %2d s ", n)
		time.Sleep(time.Second)
	}
	fmt.Fprint(i.phases.out, "\r\n")
}

func screen(why, detail string) string {
	lines := strings.Split(strings.TrimSpace(detail), "\n")
	const most = 16
	if len(lines) > most {
		lines = lines[:most]
	}
	text := "\x1b[2J\x1b[H" + `Parley has met an error that it cannot go on from.

  ` + why + `

What was saved is safe. The machine restarts by itself; if this comes back,
note the lines below and switch the machine off.

  ` + strings.Join(lines, "\n  ") + "\n\n"
	return strings.ReplaceAll(text, "\n", "\r\n")
}
