package config

import "path/filepath"

// Paths says where a node keeps what: State survives a reboot, Run does not.
type Paths struct {
	State string
	Run   string
}

// AppliancePaths are those of the image.
func AppliancePaths() Paths { return Paths{State: "/state", Run: "/run/parley"} }

// FolderPaths are those of a node that is an ordinary process.
func FolderPaths(state string) Paths { return Paths{State: state, Run: filepath.Join(state, "run")} }

// Live is the configuration document.
func (p Paths) Live() string { return filepath.Join(p.State, "live.json") }

// Accounts holds the appliance's own accounts.
func (p Paths) Accounts() string { return filepath.Join(p.State, "accounts.json") }

// Files is the SFTP root.
func (p Paths) Files() string { return filepath.Join(p.State, "files") }

// SSH holds the host keys.
func (p Paths) SSH() string { return filepath.Join(p.State, "ssh") }

// XMPP is the replicated store's folder.
func (p Paths) XMPP() string { return filepath.Join(p.State, "xmpp") }

// Database is the folder of the Call Bridges' replicated store.
func (p Paths) Database() string { return filepath.Join(p.State, "database") }

// CallBridge is the folder of what the Call Bridge keeps.
func (p Paths) CallBridge() string { return filepath.Join(p.State, "callbridge") }

// Log holds syslog, audit and, in a folder of its own, the event log.
func (p Paths) Log() string { return filepath.Join(p.State, "log") }

// Events is the event log.
func (p Paths) Events() string { return filepath.Join(p.Log(), "events", "events") }

// Socket is the control socket of a service: init, network, xmpp, eventlog,
// callbridge, database or webadmin.
func (p Paths) Socket(service string) string { return filepath.Join(p.Run, service+".sock") }
