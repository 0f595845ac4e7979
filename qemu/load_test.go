package qemu

import (
	"testing"
	"time"
)

func TestStolen(t *testing.T) {
	const s = time.Second
	for _, tt := range []struct {
		name      string
		then, now processors
		ran, want time.Duration
	}{
		{"all of it fell on the one thread that ran", processors{10 * s, 2 * s}, processors{20 * s, 6 * s}, 10 * s, 4 * s},
		{"half of it", processors{10 * s, 2 * s}, processors{20 * s, 6 * s}, 5 * s, 2 * s},
		{"not more than there was", processors{10 * s, 2 * s}, processors{11 * s, 6 * s}, 10 * s, 4 * s},
		{"nothing was stolen", processors{10 * s, 2 * s}, processors{20 * s, 2 * s}, 10 * s, 0},
		{"not known", processors{}, processors{}, 10 * s, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.now.stolen(tt.then, tt.ran); got != tt.want {
				t.Errorf("stolen = %v; want %v", got, tt.want)
			}
		})
	}
	if p := readProcessors(); p.busy <= 0 {
		t.Errorf("readProcessors() = %+v; want the time that this machine has been busy", p)
	}
}
