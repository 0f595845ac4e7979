package main

import (
	"errors"
	"strings"
	"syscall"
	"testing"

	"parley/qemu"
)

func TestForwards(t *testing.T) {
	env := func(value string) func(string) string {
		return func(name string) string {
			if name == "PARLEY_SSH_PORT" {
				return value
			}
			return ""
		}
	}
	for value, want := range map[string]string{"": "127.0.0.1:2222", "12222": "127.0.0.1:12222"} {
		got, err := forwardsFrom(env(value))
		if err != nil || len(got) != len(services) || got[0] != (qemu.Forward{Host: want, Guest: 22}) {
			t.Errorf("forwardsFrom(%q) = %v, %v; want SSH at %s first", value, got, err, want)
		}
	}
	for _, value := range []string{"abc", "0", "65536"} {
		if _, err := forwardsFrom(env(value)); err == nil || !strings.Contains(err.Error(), "PARLEY_SSH_PORT="+value) {
			t.Errorf("forwardsFrom(%q) = %v; want the variable named", value, err)
		}
	}
}

func TestExplainNamesTheVariable(t *testing.T) {
	for guest, want := range map[uint16]string{5222: "PARLEY_XMPP_PORT=15222 make run", 445: "PARLEY_WEBADMIN_PORT=18445 make run"} {
		err := explain(&qemu.PortInUseError{Address: "127.0.0.1:1", Guest: guest, Err: syscall.EADDRINUSE})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("explain of guest port %d = %v; want %q", guest, err, want)
		}
	}
	if other := errors.New("other"); explain(other) != other {
		t.Error("explain changed another error")
	}
}
