package pid1

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/config"
	"parley/services/problem"
)

// running is an init that has booted.
type running struct {
	*Init
	m    *machine
	done chan error
}

// boot runs init on m until all services have been started, or returns at
// once if it will not get as far.
func boot(t *testing.T, m *machine) *running {
	t.Helper()
	r := &running{Init: New(m.config(), m.deps()), m: m, done: make(chan error, 1)}
	go func() { r.done <- r.Run(t.Context()) }()
	return r
}

func (r *running) up(t *testing.T) *running {
	t.Helper()
	eventually(t, "the services are started", func() bool {
		return r.m.Process("console-ttyS0") != nil && len(r.phases.list()) == 4
	})
	return r
}

// wait returns what Run returned.
func (r *running) wait(t *testing.T) error {
	t.Helper()
	select {
	case err := <-r.done:
		return err
	case <-time.After(30 * time.Second):
		t.Fatal("Run does not return")
		return nil
	}
}

func TestBootAndPowerOff(t *testing.T) {
	m := newMachine(t)
	disk(m, "1")
	r := boot(t, m).up(t)
	s, err := api{r.Init}.Status(t.Context())
	if err != nil || s.Storage != "vda1 (ext4, 1.0 GiB)" || s.Volatile || s.Version != "1.2" || len(s.Services) != 9 {
		t.Errorf("Status = %+v, %v; want nine services and a disk", s, err)
	}
	if err := (api{r.Init}).Poweroff(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := (api{r.Init}).Reboot(t.Context()); problem.CodeOf(err) != problem.Stopping {
		t.Errorf("Reboot while stopping = %v; want Stopping", err)
	}
	if err := r.wait(t); err != nil {
		t.Errorf("Run = %v; want nil", err)
	}
	want := []string{
		"mount proc proc /proc", "mount sysfs sysfs /sys", "mount devtmpfs devtmpfs /dev",
		"mount devpts devpts /dev/pts", "mount tmpfs tmpfs /dev/shm", "mount tmpfs tmpfs /run", "mount tmpfs tmpfs /tmp",
		"mount cgroup2 cgroup2 /sys/fs/cgroup", "mount pstore pstore /sys/fs/pstore", "mount efivarfs efivarfs /sys/firmware/efi/efivars",
		"remount  ro=true", "mount ext4 /dev/vda1 /state",
		"killall", "sync", "umount /state", "sync", "poweroff",
	}
	if diff := cmp.Diff(want, m.done("mount", "remount", "umount", "killall", "sync", "poweroff", "restart")); diff != "" {
		t.Errorf("calls (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]string{"insmod ext4.ko", "insmod virtio_blk.ko"}, sorted(m.done("insmod"))); diff != "" {
		t.Errorf("modules (-want +got):\n%s", diff)
	}
	started := []string{"start network", "start xmpp", "start sshd", "start console-tty1", "start console-ttyS0", "start eventlog", "start database", "start callbridge", "start webadmin"}
	stopped := []string{"term webadmin", "term callbridge", "term database", "term eventlog", "term console-ttyS0", "term console-tty1", "term sshd", "term xmpp", "term network"}
	if diff := cmp.Diff(append(started, stopped...), m.Log()); diff != "" {
		t.Errorf("services (-want +got):\n%s", diff)
	}
	if got := m.done("hostname"); !slices.Equal(got, []string{"hostname parley"}) {
		t.Errorf("host name set %v; want parley", got)
	}
}

func sorted(s []string) []string {
	slices.Sort(s)
	return s
}

func TestHostnameOfTheConfiguration(t *testing.T) {
	m := newMachine(t)
	if err := config.NewStore(filepath.Join(m.root, "state/live.json")).Update(func(d *config.Document) error {
		d.Hostname = "cb1"
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	r := boot(t, m).up(t)
	r.ask(power{why: "test"})
	if err := r.wait(t); err != nil {
		t.Fatal(err)
	}
	if got := m.done("hostname"); !slices.Equal(got, []string{"hostname cb1"}) {
		t.Errorf("host name set %v; want cb1", got)
	}
}
