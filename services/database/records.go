package database

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"parley/services/database/databaseapi"
	"parley/services/problem"
	"parley/services/xmpp/peer"
	"parley/services/xmpp/store"
)

// changeWait bounds a change, elections included.
const changeWait = 8 * time.Second

// applied is the leader's answer: why the change was refused, and the index that
// it has in the log.
type applied struct {
	Refused *problem.Problem `json:"refused,omitempty"`
	Index   uint64           `json:"index"`
}

// handleRecords answers changes and questions of other nodes.
func (s *Server) handleRecords(c *core, leads func(func(context.Context, peer.Hello, json.RawMessage) (any, error)) func(context.Context, peer.Hello, json.RawMessage) (any, error)) {
	ops := func(in json.RawMessage) ([]store.Op, error) {
		var data []byte
		if err := json.Unmarshal(in, &data); err != nil {
			return nil, err
		}
		all, err := store.DecodeOps(data)
		for _, op := range all {
			switch op.(type) {
			case *store.RecordPut, *store.RecordSwap, *store.RecordDelete:
			default:
				return nil, store.ErrOp
			}
		}
		return all, err
	}
	c.peers.HandleCall(callApply, leads(func(ctx context.Context, _ peer.Hello, in json.RawMessage) (any, error) {
		all, err := ops(in)
		if err != nil {
			return nil, err
		}
		return c.applyHere(ctx, all...)
	}))
	c.peers.HandleCall(callChange, func(ctx context.Context, _ peer.Hello, in json.RawMessage) (any, error) {
		all, err := ops(in)
		if err != nil {
			return nil, err
		}
		if c.record.Load().ID == "" {
			return nil, problem.New(problem.DatabaseNoLeader)
		}
		return nil, c.change(ctx, all...)
	})
	c.peers.HandleCall(callList, func(_ context.Context, _ peer.Hello, in json.RawMessage) (any, error) {
		var table string
		if err := json.Unmarshal(in, &table); err != nil {
			return nil, err
		}
		if c.record.Load().ID == "" {
			return nil, problem.New(problem.DatabaseNoLeader)
		}
		return c.list(table)
	})
}

// outcomeUnknown says that a change may have been made or not.
func outcomeUnknown(err error) bool {
	return errors.Is(err, store.ErrOutcome) || errors.Is(err, peer.ErrOutcome)
}

// applyHere does ops in this node's store, which must lead.
func (c *core) applyHere(ctx context.Context, ops ...store.Op) (a applied, err error) {
	results, index, err := c.ApplyAt(ctx, ops...)
	if err != nil {
		return a, unsettled(err)
	}
	a.Index = index
	for _, r := range results {
		if r.Err != nil && !errors.As(r.Err, &a.Refused) {
			return a, r.Err
		}
	}
	return a, nil
}

// change has the leader do ops, wherever it is, and returns when this node has
// them too. What is not known to have been done is done again: a record that is
// put or swapped twice is the same.
func (c *core) change(ctx context.Context, ops ...store.Op) error {
	ctx, cancel := context.WithTimeout(ctx, changeWait)
	defer cancel()
	for {
		changed := c.Changed()
		st := c.State()
		var a applied
		var err error
		switch {
		case st.Ready || c.mode == databaseapi.Alone:
			a, err = c.applyHere(ctx, ops...)
		case st.LeaderAddr == "" || st.LeaderID == st.ID:
			err = problem.New(problem.DatabaseNoLeader)
		default:
			err = c.peers.Call(ctx, st.LeaderAddr, callApply, store.EncodeOps(ops), &a)
		}
		switch {
		case err == nil && a.Refused != nil:
			return a.Refused
		case err == nil:
			return c.WaitApplied(ctx, a.Index)
		case !passing(err) && !outcomeUnknown(err) || c.mode == databaseapi.Alone:
			return explain(err)
		}
		tick := time.NewTimer(100 * time.Millisecond)
		select {
		case <-changed:
		case <-tick.C:
		case <-ctx.Done():
			tick.Stop()
			return problem.New(problem.DatabaseNoLeader)
		}
		tick.Stop()
	}
}

func (c *core) list(table string) ([]databaseapi.Record, error) {
	if c.incomplete() {
		return nil, problem.New(problem.DatabaseNoLeader)
	}
	stored, err := c.Records(table)
	rs := make([]databaseapi.Record, len(stored))
	for i, r := range stored {
		rs[i] = databaseapi.Record{Key: r.Key, Value: r.Value}
	}
	return rs, err
}

// incomplete says that this node joins, and does not have all yet.
func (c *core) incomplete() bool {
	st := c.State()
	return c.joining.Load() || slices.ContainsFunc(st.Members, func(m store.Member) bool { return m.ID == st.ID && !m.Voter })
}

// Put implements databaseapi.Records.
func (s *Server) Put(ctx context.Context, table string, records ...databaseapi.Record) error {
	op := &store.RecordPut{Table: table}
	for _, r := range records {
		if !json.Valid(r.Value) {
			return problem.New(problem.RecordSize, "table", table)
		}
		op.Records = append(op.Records, store.Record{Key: r.Key, Value: r.Value})
	}
	return s.do(ctx, op)
}

// Swap implements databaseapi.Records.
func (s *Server) Swap(ctx context.Context, table string, old json.RawMessage, r databaseapi.Record) error {
	if !json.Valid(r.Value) {
		return problem.New(problem.RecordSize, "table", table)
	}
	return s.do(ctx, &store.RecordSwap{Table: table, Key: r.Key, Old: old, Value: r.Value})
}

// Delete implements databaseapi.Records.
func (s *Server) Delete(ctx context.Context, table string, keys ...string) error {
	return s.do(ctx, &store.RecordDelete{Table: table, Keys: keys})
}

func (s *Server) do(ctx context.Context, op store.Op) error {
	c, p := s.current()
	if p.Mode != databaseapi.Connected {
		return c.change(ctx, op)
	}
	return c.tell(ctx, p.Servers, callChange, store.EncodeOps([]store.Op{op}))
}

// List implements databaseapi.Records.
func (s *Server) List(ctx context.Context, table string) (rs []databaseapi.Record, err error) {
	c, p := s.current()
	if p.Mode != databaseapi.Connected {
		return c.list(table)
	}
	return rs, c.ask(ctx, p.Servers, callList, table, &rs)
}
