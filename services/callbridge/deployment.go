package callbridge

import (
	"bytes"
	"context"
	"encoding/json"
	"net/netip"
	"slices"
	"strings"
	"time"

	"parley/services/callbridge/settings"
	"parley/services/database/databaseapi"
)

// Deployment is what the deployment's bridges share: databaseapi.API has it.
type Deployment interface {
	settings.Records
	Put(ctx context.Context, table string, records ...databaseapi.Record) error
	Delete(ctx context.Context, table string, keys ...string) error
}

const (
	// enlistEvery is how often the bridge looks whether it is listed: the
	// table may have become another one, by a join.
	enlistEvery = 10 * time.Second
	// enlistWait bounds it; the connection never waits for it.
	enlistWait = 15 * time.Second
)

// enlist keeps this bridge's record in the table until ctx ends.
func (b *Bridge) enlist(ctx context.Context) {
	if b.deps.Deployment == nil {
		return
	}
	tick := time.NewTicker(enlistEvery)
	defer tick.Stop()
	said := ""
	for {
		err := b.enlistOnce(ctx)
		if err == nil {
			said = ""
		} else if err.Error() != said && ctx.Err() == nil {
			said = err.Error()
			b.log.Warn("not listed among the Call Bridges of the deployment", "err", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-b.listed:
		}
	}
}

// enlistOnce has the table say of this node what is so. A record of another name
// with this node's address is what it was called before.
func (b *Bridge) enlistOnce(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, enlistWait)
	defer cancel()
	d, err := b.deps.Config.Load()
	if err != nil {
		return err
	}
	own := b.deps.Own()
	if len(own) == 0 {
		return nil
	}
	// Loopback comes first, where the node has others.
	address := own[len(own)-1]
	if i := slices.IndexFunc(own, func(a netip.Addr) bool { return !a.IsLoopback() }); i >= 0 {
		address = own[i]
	}
	name := d.CallBridge.XMPP.Name
	value, err := json.Marshal(databaseapi.Bridge{Host: d.Hostname, Address: address.String(), Domain: d.CallBridge.XMPP.Domain})
	if err != nil {
		return err
	}
	listed, err := b.deps.Deployment.List(ctx, databaseapi.Bridges)
	if err != nil {
		return err
	}
	there := false
	var gone []string
	for _, r := range listed {
		var other databaseapi.Bridge
		switch err := json.Unmarshal(r.Value, &other); {
		case r.Key == name && ready(d.CallBridge):
			there = bytes.Equal(r.Value, value)
			if err == nil && other.Address != address.String() {
				b.twins.seen(strings.TrimSpace(other.Host + " " + other.Address))
			}
		case err == nil && other.Address == address.String():
			gone = append(gone, r.Key)
		}
	}
	if len(gone) > 0 {
		if err := b.deps.Deployment.Delete(ctx, databaseapi.Bridges, gone...); err != nil {
			return err
		}
	}
	if there || !ready(d.CallBridge) {
		return nil
	}
	return b.deps.Deployment.Put(ctx, databaseapi.Bridges, databaseapi.Record{Key: name, Value: value})
}
