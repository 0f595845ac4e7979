package network

import (
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/config"
	"parley/services/problem"
)

func TestCardAddedLaterGetsTheNextName(t *testing.T) {
	b := newBench(t)
	b.start()
	setCards(t, b.sysfs,
		card{"eth2", macC, "pci0000:00/0000:00:02.0", "0"},
		card{"b", macB, "pci0000:00/0000:00:04.0", "0"},
		card{"a", macA, "pci0000:00/0000:00:03.0", "0"})
	b.kernel.mu.Lock()
	b.kernel.links = append(b.kernel.links, Link{Index: 4, Name: "eth2", MAC: macC, MTU: 1500})
	b.kernel.mu.Unlock()
	b.kernel.carrier(4, true)
	b.await("interface c", func() bool { return b.addresses("c") != "no such interface" })
	d, _ := b.store.Load()
	if got := d.Interfaces["c"].MAC; got != macC {
		t.Errorf("c is pinned to %q; want %s", got, macC)
	}
	if err := b.change(set("c", fixed(t, "10.0.3.5/24", ""))); err != nil {
		t.Errorf("configure c: %v", problem.Text(err))
	}
}

func TestCardThatIsGoneHindersNoOtherChange(t *testing.T) {
	b := newBench(t)
	b.start()
	if err := b.change(set("b", fixed(t, "10.0.1.5/24", ""))); err != nil {
		t.Fatal(err)
	}
	b.stop()
	setCards(t, b.sysfs, card{"eth1", macA, "pci0000:00/0000:00:03.0", "0"})
	b.start()
	if err := b.change(func(d *config.Document) { d.Hostname = "cb1" }); err != nil {
		t.Errorf("change of the host name: %v", problem.Text(err))
	}
	if err := b.change(set("b", fixed(t, "10.0.1.6/24", ""))); problem.CodeOf(err) != problem.InterfaceAbsent {
		t.Errorf("change of the absent b = %v; want %s", err, problem.InterfaceAbsent)
	}
}

func TestCardThatIsProbedLateKeepsItsName(t *testing.T) {
	b := newBench(t)
	b.start()
	b.stop()
	// Only a new card is there at first; those known come while the service
	// makes up its mind.
	first := card{"eth2", macC, "pci0000:00/0000:00:02.0", "0"}
	before := fakeSysfs(t, first)
	after := fakeSysfs(t, first, card{"b", macB, "pci0000:00/0000:00:04.0", "0"}, card{"a", macA, "pci0000:00/0000:00:03.0", "0"})
	b.sysfs = filepath.Join(t.TempDir(), "sys")
	next := b.sysfs + ".next"
	if err := errors.Join(os.Symlink(before, b.sysfs), os.Symlink(after, next)); err != nil {
		t.Fatal(err)
	}
	added := make(chan error)
	go func() {
		time.Sleep(2 * settleCheck)
		added <- os.Rename(next, b.sysfs)
	}()
	b.start()
	if err := <-added; err != nil {
		t.Fatal(err)
	}
	b.kernel.carrier(3, true)
	b.await("all names", func() bool {
		d, err := b.store.Load()
		return err == nil && cmp.Equal(pinsOf(d), map[string]string{"a": macA, "b": macB, "c": macC})
	})
}

func TestCloneGetsItsNamesAnew(t *testing.T) {
	b := newBench(t)
	if err := b.store.Update(func(d *config.Document) error {
		set("a", fixed(t, "10.0.0.5/24", "10.0.0.1"))(d)
		setPins(d, map[string]string{"a": macC, "b": macD})
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	b.start()
	if got := b.addresses("a"); got != "10.0.0.5/24" {
		t.Errorf("a has %q; want the address configured", got)
	}
	if d, _ := b.store.Load(); !cmp.Equal(pinsOf(d), map[string]string{"a": macA, "b": macB}) {
		t.Errorf("pins are %v", pinsOf(d))
	}
}
