package xmpp

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"parley/services/problem"
	"parley/services/xmpp/store"
	"parley/services/xmpp/xmppapi"
)

// tableDescriptions has a Description in JSON for each Call Bridge that has one.
const tableDescriptions = "callbridge-descriptions"

func descriptions(s *store.Store) (map[string]xmppapi.Description, error) {
	records, err := s.Records(tableDescriptions)
	if err != nil {
		return nil, err
	}
	all := make(map[string]xmppapi.Description, len(records))
	for _, r := range records {
		var d xmppapi.Description
		if err := json.Unmarshal(r.Value, &d); err != nil {
			return nil, fmt.Errorf("description of Call Bridge %s: %w", r.Key, err)
		}
		all[r.Key] = d
	}
	return all, nil
}

// DescribeCallBridge implements xmppapi.API.
func (s *Server) DescribeCallBridge(ctx context.Context, name string, d xmppapi.Description) error {
	name = strings.ToLower(name)
	s.mu.RLock()
	_, ok, err := s.core.CallBridge(name)
	s.mu.RUnlock()
	if err != nil {
		return err
	}
	if !ok {
		return problem.New(problem.BridgeUnknown, "name", name)
	}
	if d == (xmppapi.Description{}) {
		return s.forgetDescription(ctx, name)
	}
	value, err := json.Marshal(d)
	if err != nil {
		return fmt.Errorf("description of Call Bridge %s: %w", name, err)
	}
	return s.apply(ctx, &store.RecordPut{Table: tableDescriptions, Records: []store.Record{{Key: name, Value: value}}})
}

func (s *Server) forgetDescription(ctx context.Context, name string) error {
	s.mu.RLock()
	all, err := descriptions(s.core.Store)
	s.mu.RUnlock()
	if _, ok := all[name]; err != nil || !ok {
		return err
	}
	return s.apply(ctx, &store.RecordDelete{Table: tableDescriptions, Keys: []string{name}})
}
