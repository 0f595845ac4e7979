package qemu

import (
	"bufio"
	"encoding/json"
	"fmt"
	"net"
	"strings"
	"testing"
)

// fakeQMP answers as QEMU does, with an event before each answer, and returns
// the commands that it got.
func fakeQMP(t *testing.T, answers map[string]string) (*monitor, func() []string) {
	t.Helper()
	server, client := net.Pipe()
	var commands []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		fmt.Fprintln(server, `{"QMP": {"version": {}, "capabilities": []}}`)
		lines := bufio.NewScanner(server)
		for lines.Scan() {
			var request struct {
				Execute   string          `json:"execute"`
				Arguments json.RawMessage `json:"arguments"`
			}
			if err := json.Unmarshal(lines.Bytes(), &request); err != nil {
				return
			}
			commands = append(commands, request.Execute+string(request.Arguments))
			fmt.Fprintln(server, `{"event": "RESUME", "timestamp": {"seconds": 1}}`)
			answer, ok := answers[request.Execute]
			if !ok {
				answer = `{"return": {}}`
			}
			fmt.Fprintln(server, answer)
		}
	}()
	m, err := newMonitor(t.Context(), client)
	if err != nil {
		t.Fatal(err)
	}
	return m, func() []string {
		m.close()
		<-done
		return commands
	}
}

func TestMonitor(t *testing.T) {
	m, commands := fakeQMP(t, nil)
	vm := &VM{monitor: m}
	if err := vm.PowerButton(t.Context()); err != nil {
		t.Errorf("PowerButton = %v", err)
	}
	if err := vm.SendKeys(t.Context(), "ctrl-alt-delete", "a"); err != nil {
		t.Errorf("SendKeys = %v", err)
	}
	if err := vm.Freeze(t.Context()); err != nil {
		t.Errorf("Freeze = %v", err)
	}
	if err := vm.Thaw(t.Context()); err != nil {
		t.Errorf("Thaw = %v", err)
	}
	got := strings.Join(commands(), "\n")
	want := `qmp_capabilities
system_powerdown
send-key{"keys":[{"data":"ctrl","type":"qcode"},{"data":"alt","type":"qcode"},{"data":"delete","type":"qcode"}]}
send-key{"keys":[{"data":"a","type":"qcode"}]}
stop
cont`
	if got != want {
		t.Errorf("commands =\n%s\nwant\n%s", got, want)
	}
}

func TestMonitorError(t *testing.T) {
	m, commands := fakeQMP(t, map[string]string{"system_reset": `{"error": {"class": "GenericError", "desc": "no such thing"}}`})
	vm := &VM{monitor: m}
	if err := vm.Reset(t.Context()); err == nil || !strings.Contains(err.Error(), "system_reset: no such thing") {
		t.Errorf("Reset = %v; want QEMU's error", err)
	}
	commands()
	if err := vm.Reset(t.Context()); err == nil {
		t.Error("Reset after the monitor closed = nil; want an error")
	}
}
