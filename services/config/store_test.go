package config

import (
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLoadOfNothingIsDefault(t *testing.T) {
	got, err := NewStore(filepath.Join(t.TempDir(), "live.json")).Load()
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(Default(), got, cmp.Comparer(equalAddr), cmp.Comparer(equalPrefix)); diff != "" {
		t.Errorf("Load of nothing (-want +got):\n%s", diff)
	}
}

func equalAddr(a, b netip.Addr) bool     { return a == b }
func equalPrefix(a, b netip.Prefix) bool { return a == b }

func TestUpdatesOfManyAreOneAfterTheOther(t *testing.T) {
	path := filepath.Join(t.TempDir(), "live.json")
	const writers, each = 8, 10
	var wg sync.WaitGroup
	for w := range writers {
		wg.Go(func() {
			s := NewStore(path)
			for i := range each {
				err := s.Update(func(d *Document) error {
					d.DNS.Records = append(d.DNS.Records, fmt.Sprint(w, "-", i))
					return nil
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	d, err := NewStore(path).Load()
	if err != nil || len(d.DNS.Records) != writers*each {
		t.Errorf("after %d updates the document has %d records, %v", writers*each, len(d.DNS.Records), err)
	}
}

func TestRefusedChangeLeavesNothing(t *testing.T) {
	refused := errors.New("refused")
	fail := func() error { return refused }
	good := func() error { return nil }
	change := func(d *Document) error { d.Hostname = "cb1"; return nil }
	for _, tt := range []struct {
		name   string
		change func(*Document) error
		take   func() error
		want   string
		err    error
	}{
		{"accepted", change, good, "cb1", nil},
		{"refused by the service", change, fail, "parley", refused},
		{"refused by the change", func(d *Document) error { d.Hostname = "x"; return refused }, good, "parley", refused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := NewStore(filepath.Join(t.TempDir(), "live.json"))
			err := s.Transact(tt.change, tt.take)
			d, loadErr := s.Load()
			if !errors.Is(err, tt.err) || d.Hostname != tt.want || loadErr != nil {
				t.Errorf("Transact = %v, hostname %q, %v; want %v, %q", err, d.Hostname, loadErr, tt.err, tt.want)
			}
		})
	}
}

func TestLoadNamesTheFileThatIsBroken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "live.json")
	if err := os.WriteFile(path, []byte(`{"hostnam":1}`), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := NewStore(path).Load()
	if err == nil || !strings.Contains(err.Error(), path) {
		t.Errorf("Load = %v; want an error that names %s", err, path)
	}
}

func TestSecretNeverPrints(t *testing.T) {
	s := Secret("kvgP1SRzWVabhiPVAb1")
	for _, got := range []string{fmt.Sprint(s), fmt.Sprintf("%v %s %+v %#v %q", s, s, s, s, s), s.LogValue().String()} {
		if strings.Contains(got, "kvgP") {
			t.Errorf("a secret printed as %q", got)
		}
	}
}
