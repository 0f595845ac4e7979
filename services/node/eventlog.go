package node

import (
	"context"
	"log/slog"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/eventlog"
	"parley/services/eventlog/watch"
	"parley/services/files"
	"parley/services/network/networkapi"
	"parley/services/xmpp/xmppapi"
)

// EventLog is the event log service of any node, which looks at the others
// over their control sockets. board is the file that faults outlive its process
// in, or "".
func EventLog(paths config.Paths, group int, board string, log *slog.Logger) *eventlog.Server {
	network, bridge := networkapi.NewClient(paths.Socket("network")), callbridgeapi.NewClient(paths.Socket("callbridge"))
	watcher := watch.New(watch.Deps{
		Config: config.NewStore(paths.Live()),
		XMPP:   xmppapi.NewClient(paths.Socket("xmpp")),
		Services: []watch.Service{
			{Key: "network.service", Name: "Network", Ask: func(ctx context.Context) error {
				_, err := network.Interfaces(ctx)
				return err
			}},
			{Key: "callbridge.service", Name: "Call Bridge", Wanted: func(d config.Document) bool { return d.CallBridge.Enabled }, Ask: func(ctx context.Context) error {
				_, err := bridge.Status(ctx)
				return err
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
