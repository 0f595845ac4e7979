package module

import (
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// workers load at the same time: much of a driver's start is waiting for its
// device.
const workers = 4

// Coldplug loads the modules of all devices below sys (/sys), and then those
// of the devices that these reveal, until there are no new ones. Failures go
// to report, from several goroutines: a driver that does not start must not
// keep the rest from it.
func (l *Loader) Coldplug(sys string, report func(error)) {
	seen := map[string]bool{}
	for {
		fresh := map[string]bool{}
		for _, a := range modaliases(sys) {
			if seen[a] {
				continue
			}
			seen[a] = true
			modules, _ := l.index.Resolve(a)
			for _, m := range modules {
				fresh[m] = true
			}
		}
		if !l.loadAll(fresh, report) {
			return
		}
	}
}

// loadAll says whether any of the modules was not tried before.
func (l *Loader) loadAll(modules map[string]bool, report func(error)) bool {
	work := make(chan string)
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for m := range work {
				if err := l.Load(m); err != nil {
					report(err)
				}
			}
		})
	}
	news := false
	for m := range modules {
		l.mu.Lock()
		_, tried := l.tried[m]
		l.mu.Unlock()
		if !tried {
			news = true
			work <- m
		}
	}
	close(work)
	wg.Wait()
	return news
}

// modaliases reads what devices say they are. Devices that have a modalias are
// on a bus, but for input devices, which are a class.
func modaliases(sys string) []string {
	var found []string
	for _, pattern := range []string{"bus/*/devices", "class/input"} {
		folders, _ := filepath.Glob(filepath.Join(sys, pattern))
		for _, folder := range folders {
			devices, err := os.ReadDir(folder)
			if err != nil {
				continue
			}
			for _, d := range devices {
				data, err := os.ReadFile(filepath.Join(folder, d.Name(), "modalias"))
				if err != nil {
					continue
				}
				if a := strings.TrimSpace(string(data)); a != "" {
					found = append(found, a)
				}
			}
		}
	}
	return found
}
