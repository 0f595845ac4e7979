// Package initapi is what init offers console and sshd over its control
// socket: the state of the services, and power. In an ordinary process a twin
// stands in for init. It holds no state and decides nothing.
package initapi

import (
	"context"
	"time"
)

// API is init as others see it.
type API interface {
	Status(ctx context.Context) (Status, error)
	// Restart stops a service in order and starts it again.
	Restart(ctx context.Context, service string) error
	// Reboot and Poweroff stop everything in order; they return once the
	// stop has begun.
	Reboot(ctx context.Context) error
	Poweroff(ctx context.Context) error
}

// Status is the system at one moment.
type Status struct {
	Version string    `json:"version"`
	Kernel  string    `json:"kernel"`
	Booted  time.Time `json:"booted"`
	// Storage says where state is kept: "vda1 (ext4, 1.0 GiB)", or that
	// nothing outlives a reboot.
	Storage string `json:"storage"`
	// Volatile says that state is in memory only.
	Volatile bool      `json:"volatile"`
	Services []Service `json:"services"`
}

// Service is one supervised process.
type Service struct {
	Name    string    `json:"name"`
	Running bool      `json:"running"`
	PID     int       `json:"pid,omitempty"`
	Since   time.Time `json:"since,omitzero"`
	// Restarts counts ends that nobody asked for; LastExit is the last one's
	// reason and NextStart when it is tried again.
	Restarts  int       `json:"restarts"`
	LastExit  string    `json:"last_exit,omitempty"`
	NextStart time.Time `json:"next_start,omitzero"`
}
