package module

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"

	"golang.org/x/sys/unix"
)

// ErrUnknown says that no module goes by the name or alias asked for.
var ErrUnknown = errors.New("no such module")

// Kernel takes modules. The running kernel is one; tests have another.
type Kernel interface {
	// InsertModule loads the module in file. One that is there already is
	// no error.
	InsertModule(file string) error
}

// Running is the running kernel.
type Running struct{}

// InsertModule implements Kernel by finit_module(2).
func (Running) InsertModule(file string) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := unix.FinitModule(int(f.Fd()), "", 0); err != nil && !errors.Is(err, unix.EEXIST) {
		return err
	}
	return nil
}

// Loader loads modules, each at most once, for any number of goroutines.
type Loader struct {
	index  *Index
	kernel Kernel

	mu    sync.Mutex
	tried map[string]*attempt
}

// attempt is one module on its way into the kernel.
type attempt struct {
	done chan struct{}
	err  error
}

// NewLoader returns a loader of the modules in index.
func NewLoader(index *Index, kernel Kernel) *Loader {
	return &Loader{index: index, kernel: kernel, tried: map[string]*attempt{}}
}

// Request loads what Resolve gives for a modalias, kernel request or name.
func (l *Loader) Request(request string) error {
	modules, known := l.index.Resolve(request)
	if !known {
		return fmt.Errorf("%s: %w", request, ErrUnknown)
	}
	var errs []error
	for _, m := range modules {
		errs = append(errs, l.Load(m))
	}
	return errors.Join(errs...)
}

// Load loads a module after all that it needs. What a soft dependency cannot
// give is no error.
//
// A goroutine waits for another's module only in insert, where nothing else is
// waited for: so circles of soft dependencies cannot lock up.
func (l *Loader) Load(name string) error {
	for _, m := range l.index.order(name) {
		err := l.insert(m)
		if err != nil && m == name {
			return err
		}
	}
	return nil
}

// Loaded counts the modules that went in.
func (l *Loader) Loaded() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	n := 0
	for _, a := range l.tried {
		select {
		case <-a.done:
			if a.err == nil {
				n++
			}
		default:
		}
	}
	return n
}

func (l *Loader) insert(name string) error {
	l.mu.Lock()
	a, tried := l.tried[name]
	if !tried {
		a = &attempt{done: make(chan struct{})}
		l.tried[name] = a
	}
	l.mu.Unlock()
	if tried {
		<-a.done
		return a.err
	}
	defer close(a.done)
	if err := l.kernel.InsertModule(filepath.Join(l.index.dir, l.index.deps[name][0])); err != nil {
		a.err = fmt.Errorf("load module %s: %w", name, err)
	}
	return a.err
}
