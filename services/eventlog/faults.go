package eventlog

import (
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"parley/services/eventlog/eventlogapi"
	"parley/services/problem"
)

const (
	// maxFaults bounds what a service that went wrong can raise.
	maxFaults = 500
	maxTraces = 50
	maxTrace  = 24 * time.Hour
)

var (
	errNoKey      = errors.New("a fault has a key and a message")
	errManyFaults = errors.New("there are too many faults")
)

// Raise implements eventlogapi.API.
func (s *Server) Raise(_ context.Context, f eventlogapi.Fault) error {
	if f.Key == "" || f.Message == "" {
		return errNoKey
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.board.faults[f.Key]; !there && len(s.board.faults) >= maxFaults {
		return errManyFaults
	}
	before := s.board.faults[f.Key]
	s.board.post(posted{Fault: f}, time.Now())
	if s.board.faults[f.Key] != before {
		s.board.save()
	}
	return nil
}

// Drop implements eventlogapi.API.
func (s *Server) Drop(_ context.Context, key string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, there := s.board.faults[key]; there {
		delete(s.board.faults, key)
		s.board.save()
	}
	return nil
}

// Faults implements eventlogapi.API.
func (s *Server) Faults(context.Context) ([]eventlogapi.Fault, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := []eventlogapi.Fault{}
	for _, p := range s.board.sorted() {
		all = append(all, p.Fault)
	}
	return all, nil
}

// Trace implements eventlogapi.API.
func (s *Server) Trace(_ context.Context, subsystem string, d time.Duration) error {
	if !isSubsystem(subsystem) {
		return problem.New(problem.TraceSubsystem, "subsystem", subsystem)
	}
	if d > maxTrace {
		return problem.New(problem.TraceTime, "max", "24 hours")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	_, on := s.board.traces[subsystem]
	switch {
	case d <= 0 && !on:
		return nil
	case d <= 0:
		s.endTrace(subsystem, now)
		s.board.save()
		return nil
	case !on && len(s.board.traces) >= maxTraces:
		return problem.New(problem.TraceMany, "max", strconv.Itoa(maxTraces))
	case !on:
		s.add(now, []eventlogapi.Event{{Message: subsystem + " tracing now enabled"}})
	}
	s.board.traces[subsystem] = now.Add(d).UTC()
	s.board.save()
	return nil
}

func isSubsystem(s string) bool {
	const allowed = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789 -"
	return s != "" && len(s) <= 40 && strings.Trim(s, allowed) == "" && strings.TrimSpace(s) == s
}

// endTraces ends those whose time is over. s.mu is held.
func (s *Server) endTraces() {
	now, ended := time.Now(), false
	for _, subsystem := range slices.Sorted(maps.Keys(s.board.traces)) {
		if !s.board.traces[subsystem].After(now) {
			s.endTrace(subsystem, now)
			ended = true
		}
	}
	if ended {
		s.board.save()
	}
}

func (s *Server) endTrace(subsystem string, now time.Time) {
	delete(s.board.traces, subsystem)
	s.add(now, []eventlogapi.Event{{Message: subsystem + " tracing now disabled"}})
}

// Traces implements eventlogapi.API.
func (s *Server) Traces(context.Context) (map[string]time.Time, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return maps.Clone(s.board.traces), nil
}
