package qemu

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"
)

// monitor speaks QMP, QEMU's control protocol: a JSON object a line each way,
// events between the answers.
type monitor struct {
	mu   sync.Mutex // held from a command to its answer
	conn net.Conn
	in   *bufio.Reader
}

const monitorTimeout = 30 * time.Second

func newMonitor(ctx context.Context, conn net.Conn) (*monitor, error) {
	m := &monitor{conn: conn, in: bufio.NewReader(conn)}
	if err := conn.SetDeadline(deadline(ctx)); err != nil {
		return nil, fmt.Errorf("monitor: %w", err)
	}
	if _, err := m.in.ReadBytes('\n'); err != nil {
		return nil, fmt.Errorf("monitor greeting: %w", err)
	}
	if err := m.execute(ctx, "qmp_capabilities", nil); err != nil {
		return nil, err
	}
	return m, nil
}

func (m *monitor) close() { m.conn.Close() }

func deadline(ctx context.Context) time.Time {
	limit := time.Now().Add(monitorTimeout)
	if d, ok := ctx.Deadline(); ok && d.Before(limit) {
		return d
	}
	return limit
}

func (m *monitor) execute(ctx context.Context, command string, arguments map[string]any) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	request, err := json.Marshal(struct {
		Execute   string         `json:"execute"`
		Arguments map[string]any `json:"arguments,omitempty"`
	}{command, arguments})
	if err != nil {
		return fmt.Errorf("monitor %s: %w", command, err)
	}
	if err := m.conn.SetDeadline(deadline(ctx)); err != nil {
		return fmt.Errorf("monitor %s: %w", command, err)
	}
	if _, err := m.conn.Write(append(request, '\n')); err != nil {
		return fmt.Errorf("monitor %s: %w", command, err)
	}
	for {
		line, err := m.in.ReadBytes('\n')
		if err != nil {
			return fmt.Errorf("monitor %s: %w", command, err)
		}
		var answer struct {
			Return json.RawMessage `json:"return"`
			Error  *struct {
				Desc string `json:"desc"`
			} `json:"error"`
		}
		if err := json.Unmarshal(line, &answer); err != nil {
			return fmt.Errorf("monitor %s: answer: %w", command, err)
		}
		switch {
		case answer.Error != nil:
			return fmt.Errorf("monitor %s: %w", command, errors.New(answer.Error.Desc))
		case answer.Return != nil:
			return nil
		}
	}
}

// PowerButton presses the ACPI power button.
func (vm *VM) PowerButton(ctx context.Context) error {
	return vm.monitor.execute(ctx, "system_powerdown", nil)
}

// Reset presses the reset button: the machine starts again at once.
func (vm *VM) Reset(ctx context.Context) error {
	return vm.monitor.execute(ctx, "system_reset", nil)
}

// Freeze stops the machine where it is. It does not notice, but for its clock,
// which is behind by as long from then on.
func (vm *VM) Freeze(ctx context.Context) error {
	return vm.monitor.execute(ctx, "stop", nil)
}

// Thaw has a frozen machine go on.
func (vm *VM) Thaw(ctx context.Context) error {
	return vm.monitor.execute(ctx, "cont", nil)
}

// SendKeys presses keys on the VM's keyboard, one argument after the other;
// keys joined by - are held together: "ctrl-alt-delete", "a", "ret".
func (vm *VM) SendKeys(ctx context.Context, keys ...string) error {
	for _, combination := range keys {
		var codes []map[string]any
		for code := range strings.SplitSeq(combination, "-") {
			codes = append(codes, map[string]any{"type": "qcode", "data": code})
		}
		if err := vm.monitor.execute(ctx, "send-key", map[string]any{"keys": codes}); err != nil {
			return err
		}
	}
	return nil
}

// SetLink plugs the cable of network card i in or out.
func (vm *VM) SetLink(ctx context.Context, i int, up bool) error {
	return vm.monitor.execute(ctx, "set_link", map[string]any{"name": fmt.Sprintf("net%d", i), "up": up})
}

// Screenshot writes what the VM's screen shows to file, as PNG.
func (vm *VM) Screenshot(ctx context.Context, file string) error {
	return vm.monitor.execute(ctx, "screendump", map[string]any{"filename": file, "format": "png"})
}
