// Package qemu runs appliances in QEMU: for `make run`, and for the tests that
// boot the real image. A VM's serial ports and monitor are sockets of this
// process, so a test can type, read, press the power button, or pull the plug.
// The package knows nothing of what runs inside; it builds no images.
package qemu

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"sync"
	"syscall"
	"time"
)

var (
	// ErrStopped: the VM is no longer running.
	ErrStopped = errors.New("the virtual machine has stopped")
	// ErrNotInstalled: a Debian package that QEMU needs is missing; the
	// message names it.
	ErrNotInstalled = errors.New("not installed")
)

// DefaultLifetime bounds a VM whose Config names no other.
const DefaultLifetime = 10 * time.Minute

// VM is a running virtual machine. Its methods may be called from any
// goroutine.
type VM struct {
	serials  []*Console
	monitor  *monitor
	cmd      *exec.Cmd
	began    processors // when QEMU was started
	dir      string
	forwards map[uint16]string

	done    chan struct{} // closed when QEMU has ended
	exitErr error         // valid after done
	cleanup sync.Once
}

// Start powers a VM on and returns as soon as its firmware runs. The VM ends
// with ctx, after cfg.Lifetime, or by itself; whoever starts one calls Kill in
// the end, which also releases what it held.
func Start(ctx context.Context, cfg Config) (_ *VM, err error) {
	cfg = cfg.withDefaults()
	if err := cfg.check(); err != nil {
		return nil, err
	}
	// Not below the caller's folder: a Unix socket's path ends at 107 bytes.
	dir, err := os.MkdirTemp("", "parley-vm-")
	if err != nil {
		return nil, fmt.Errorf("start virtual machine: %w", err)
	}
	vm := &VM{dir: dir, done: make(chan struct{}), forwards: make(map[uint16]string)}
	defer func() {
		if err != nil {
			vm.release()
		}
	}()
	if err := cfg.assignPorts(vm.forwards); err != nil {
		return nil, err
	}
	vars, err := cfg.firmwareVariables(dir)
	if err != nil {
		return nil, err
	}

	// QEMU connects to listeners that are already there, so that no byte of
	// the guest's first output is lost.
	ports := make([]net.Listener, cfg.Serials)
	names := endpoints{variables: vars, monitor: filepath.Join(dir, "monitor")}
	for i := range ports {
		path := filepath.Join(dir, "serial"+strconv.Itoa(i))
		if ports[i], err = net.Listen("unix", path); err != nil {
			return nil, fmt.Errorf("serial port: %w", err)
		}
		defer ports[i].Close()
		names.serials = append(names.serials, "socket,path="+path)
	}
	control, err := net.Listen("unix", names.monitor)
	if err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	defer control.Close()

	lifetime, cancel := context.WithTimeout(ctx, cfg.Lifetime)
	if err := vm.launch(lifetime, cancel, cfg.arguments(names)); err != nil {
		cancel()
		return nil, err
	}
	for i, l := range ports {
		conn, err := vm.accept(l)
		if err != nil {
			return nil, err
		}
		c, err := NewConsole(conn, serialLog(cfg.Log, i))
		if err != nil {
			return nil, err
		}
		vm.serials = append(vm.serials, c)
	}
	conn, err := vm.accept(control)
	if err != nil {
		return nil, err
	}
	if vm.monitor, err = newMonitor(ctx, conn); err != nil {
		return nil, vm.because(err)
	}
	return vm, nil
}

// launch starts QEMU and a goroutine that waits for its end.
func (vm *VM) launch(ctx context.Context, cancel context.CancelFunc, args []string) error {
	stderr := new(tail)
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.Stdout, cmd.Stderr = stderr, stderr
	// QEMU must not outlive this process however that ends.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	vm.cmd = cmd
	started := make(chan error, 1)
	go func() {
		defer cancel()
		// The signal comes when the thread that started QEMU ends, so that
		// thread stays here until QEMU is gone.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		vm.began = readProcessors()
		err := cmd.Start()
		started <- err
		if err != nil {
			return
		}
		err = cmd.Wait()
		switch {
		case ctx.Err() != nil:
			vm.exitErr = fmt.Errorf("virtual machine: %w", context.Cause(ctx))
		case err != nil:
			vm.exitErr = fmt.Errorf("%s: %w: %s", program, err, stderr.String())
		}
		close(vm.done)
	}()
	if err := <-started; err != nil {
		if errors.Is(err, exec.ErrNotFound) {
			return fmt.Errorf("%s is %w; apt-get install qemu-system-x86", program, ErrNotInstalled)
		}
		return fmt.Errorf("start virtual machine: %w", err)
	}
	return nil
}

// accept waits for QEMU to connect, or to end because it disliked an argument.
func (vm *VM) accept(l net.Listener) (net.Conn, error) {
	type result struct {
		conn net.Conn
		err  error
	}
	got := make(chan result, 1)
	go func() {
		conn, err := l.Accept()
		got <- result{conn, err}
	}()
	select {
	case r := <-got:
		if r.err != nil {
			return nil, fmt.Errorf("connect to virtual machine: %w", r.err)
		}
		return r.conn, nil
	case <-vm.done:
		l.Close()
		if r := <-got; r.conn != nil {
			r.conn.Close()
		}
		if vm.exitErr != nil {
			return nil, vm.exitErr
		}
		return nil, ErrStopped
	}
}

// because adds to err why QEMU ended, when that is behind it: QEMU connects its
// sockets before it looks at all of its arguments.
func (vm *VM) because(err error) error {
	select {
	case <-vm.done:
		return errors.Join(vm.exitErr, err)
	case <-time.After(time.Second):
		return err
	}
}

// Console is the first serial port.
func (vm *VM) Console() *Console { return vm.serials[0] }

// Serial is the serial port ttyS<i>.
func (vm *VM) Serial(i int) *Console { return vm.serials[i] }

// Address is where a port of the guest's first network card, listed in a
// forward, is reached on this machine; empty when it is not forwarded.
func (vm *VM) Address(guestPort uint16) string { return vm.forwards[guestPort] }

// Done is closed when the VM has ended.
func (vm *VM) Done() <-chan struct{} { return vm.done }

// Wait returns when the guest has powered itself off (nil), was killed, or
// failed.
func (vm *VM) Wait(ctx context.Context) error {
	select {
	case <-vm.done:
		return vm.exitErr
	case <-ctx.Done():
		return fmt.Errorf("wait for the virtual machine to end: %w", ctx.Err())
	}
}

// Kill is a power cut: QEMU gets SIGKILL and nothing is flushed. On a VM that
// has ended it only releases what is left. A VM that is killed is no failure.
func (vm *VM) Kill() error {
	select {
	case <-vm.done:
	default:
		if err := vm.cmd.Process.Kill(); err != nil && !errors.Is(err, os.ErrProcessDone) {
			return fmt.Errorf("kill virtual machine: %w", err)
		}
		<-vm.done
	}
	vm.release()
	return nil
}

func (vm *VM) release() {
	vm.cleanup.Do(func() {
		if vm.cmd != nil && vm.cmd.Process != nil {
			_ = vm.cmd.Process.Kill()
			<-vm.done
		}
		for _, c := range vm.serials {
			c.Close()
		}
		if vm.monitor != nil {
			vm.monitor.close()
		}
		os.RemoveAll(vm.dir)
	})
}

// serialLog is the file that port i's output goes to.
func serialLog(base string, i int) string {
	if base == "" || i == 0 {
		return base
	}
	return fmt.Sprintf("%s.%d", base, i)
}
