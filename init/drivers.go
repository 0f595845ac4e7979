package pid1

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"sync"

	"parley/init/module"
)

// loadModules loads the drivers of what is there, and goes on to do so for
// what comes later.
func (i *Init) loadModules(release string, spawn func(func(context.Context))) error {
	end := i.phases.begin("modules")
	index, err := module.Open(i.path(filepath.Join("lib/modules", release)))
	if err != nil {
		return err
	}
	loader := module.NewLoader(index, i.kernel)
	report := func(err error) { i.log.Warn("driver", "err", err) }
	if err := i.deps.Events.Open(); err != nil {
		return err
	}
	buttons := &buttons{sys: i.path("sys"), dev: i.path("dev"), guard: i.guard, pressed: func() {
		i.ask(power{off: true, why: "power button"})
	}}
	spawn(func(ctx context.Context) {
		defer buttons.wg.Wait()
		err := i.deps.Events.Receive(ctx, func(e Event) {
			if e["ACTION"] != "add" && e["ACTION"] != "change" {
				return
			}
			if alias := e["MODALIAS"]; alias != "" {
				if err := loader.Request(alias); err != nil && !errors.Is(err, module.ErrUnknown) {
					report(err)
				}
			}
			if e["SUBSYSTEM"] == "input" {
				buttons.scan(ctx)
			}
			select {
			case i.devices <- struct{}{}:
			default:
			}
		})
		if err != nil {
			i.log.Error("device events", "err", err)
		}
	})
	var wg sync.WaitGroup
	wg.Add(1)
	go i.guard(func() {
		defer wg.Done()
		// No device asks for the file system of the state partition.
		if err := loader.Request("fs-ext4"); err != nil && !errors.Is(err, module.ErrUnknown) {
			report(err)
		}
	})
	loader.Coldplug(i.path("sys"), report)
	wg.Wait()
	spawn(buttons.scan)
	end(fmt.Sprintf("%d loaded", loader.Loaded()))
	return nil
}
