package node

import (
	"context"
	"log/slog"
	"time"

	"parley/init/initapi"
	"parley/services/callbridge/callbridgeapi"
	"parley/services/callbridge/settings"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/eventlog"
	"parley/services/eventlog/watch"
	"parley/services/files"
	"parley/services/network/networkapi"
	"parley/services/webadmin/webadminapi"
	"parley/services/xmpp/xmppapi"
)

// EventLog is the event log service of any node, which looks at the others
// over their control sockets. board is the file that faults outlive its process
// in, or "".
func EventLog(paths config.Paths, group int, board string, log *slog.Logger) *eventlog.Server {
	web := webadminapi.NewClient(paths.Socket("webadmin"))
	network, bridge := networkapi.NewClient(paths.Socket("network")), callbridgeapi.NewClient(paths.Socket("callbridge"))
	watcher := watch.New(watch.Deps{
		Config: inForce{directorySettings(paths)},
		XMPP:   xmppapi.NewClient(paths.Socket("xmpp")),
		Init:   initapi.NewClient(paths.Socket("init")),

		Database: databaseapi.NewClient(paths.Socket("database")),
		Services: []watch.Service{
			{Key: "network.service", Name: "Network", Ask: func(ctx context.Context) (string, error) {
				_, err := network.Interfaces(ctx)
				return "", err
			}},
			{Key: "callbridge.service", Name: "Call Bridge", Wanted: func(d config.Document) bool { return d.CallBridge.Enabled }, Ask: func(ctx context.Context) (string, error) {
				_, err := bridge.Status(ctx)
				return "", err
			}},
			{Key: "webadmin.service", Name: "Webadmin", Wanted: func(d config.Document) bool { return d.Webadmin.Enabled }, Ask: func(ctx context.Context) (string, error) {
				s, err := web.Status(ctx)
				return s.Trouble, err
			}},
		},
		Files: files.NewStore(files.Config{Dir: paths.Files()}, files.Deps{}),
		Disk:  watch.StateDisk(paths.State),
		Now:   time.Now,
	})
	return eventlog.New(
		eventlog.Config{Socket: paths.Socket("eventlog"), Group: group, Events: paths.Events(), Board: board},
		eventlog.Deps{Watch: watcher, Log: log},
	)
}

// inForce is live.json with the directory's settings that hold.
type inForce struct{ settings *settings.Store }

// Load implements the watcher's configuration.
func (c inForce) Load() (config.Document, error) { return c.settings.Document(context.Background()) }
