package qemu_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"parley/qemu"
)

func TestStartSaysWhatQEMUDislikes(t *testing.T) {
	vm, err := qemu.Start(t.Context(), qemu.Config{Args: []string{"-device", "no-such-device"}})
	if err == nil {
		t.Fatal(vm.Kill())
	}
	if !strings.Contains(err.Error(), "no-such-device") {
		t.Errorf("Start = %v; want QEMU's message", err)
	}
}

// TestLifeOfAMachine runs the firmware alone.
func TestLifeOfAMachine(t *testing.T) {
	ctx := t.Context()
	vm, err := qemu.Start(ctx, qemu.Config{Serials: 2, NICs: []qemu.NIC{{Forwards: []qemu.Forward{{Host: "127.0.0.1:0", Guest: 22}}}}})
	if err != nil {
		t.Fatal(err)
	}
	if vm.Address(22) == "" || vm.Address(23) != "" {
		t.Errorf("Address(22), Address(23) = %q, %q; want the forward and nothing", vm.Address(22), vm.Address(23))
	}
	if err := vm.SetLink(ctx, 0, false); err != nil {
		t.Error(err)
	}
	if err := vm.Serial(1).Send("x"); err != nil {
		t.Error(err)
	}
	if err := vm.Reset(ctx); err != nil {
		t.Error(err)
	}
	if err := vm.Kill(); err != nil {
		t.Error(err)
	}
	<-vm.Done()
	if err := vm.Kill(); err != nil {
		t.Errorf("a second Kill = %v; want nil", err)
	}
	if err := vm.PowerButton(ctx); err == nil {
		t.Error("PowerButton of a dead machine = nil; want an error")
	}
}

func TestMachineEndsWithItsLifetime(t *testing.T) {
	vm, err := qemu.Start(t.Context(), qemu.Config{Lifetime: 500 * time.Millisecond})
	if err == nil {
		err = vm.Wait(t.Context())
		if e := vm.Kill(); e != nil {
			t.Error(e)
		}
	}
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("the machine ended with %v; want that its time was over", err)
	}
}
