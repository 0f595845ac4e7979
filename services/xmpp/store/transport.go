package store

//lint:file-ignore SA1019 the deprecated fields are free for the identity, as Raft does not read them any more

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/hashicorp/raft"
)

// errIdentity refuses what is meant for the node that had this address before.
var errIdentity = errors.New("no node of that identity at this address")

// errBehind refuses a candidate that Campaign made of a node that knows less.
var errBehind = errors.New("candidate's log is older")

// wire is the raft.Transport as Raft sees it. It adds what Raft lacks:
//
//   - Messages name the identity that they are for, in a field that Raft keeps
//     for old versions only. A node that was reset has its old address and an
//     empty disk: were it to vote in the place of the one that it was, entries
//     that a majority had could be outvoted.
//   - Elections can be started from outside (campaign), and one that was lost
//     ends at once rather than with its timeout.
//   - Contacts: when each peer last answered, and how long its log is.
//   - Entries count when they are on this node's disk too: see raftLog.onDisk.
//
// Its methods are for Raft and, where they say so, for the store.
type wire struct {
	raft.Transport
	self raft.ServerID
	rpcs chan raft.RPC
	stop chan struct{}
	done chan struct{}
	// electorate is the number of voters and whether this node is one.
	electorate func() (voters int, self bool)
	// last is the index and term of the log's end.
	last func() (index, term uint64)
	// onDisk waits until the log's entry at index is on the disk.
	onDisk func(index uint64) error
	// lost has room for one signal that an election was lost, and stand for
	// one that a candidate was refused who knows less than this node.
	lost, stand chan struct{}

	mu     sync.Mutex
	peers  map[raft.ServerID]contact
	ballot *ballot
}

// contact is what a leader last heard of a peer.
type contact struct {
	at   time.Time
	last uint64
}

// ballot counts the votes of one election that campaign started.
type ballot struct {
	term             uint64
	granted, refused int
	// decided is closed when it is won or lost.
	decided chan struct{}
	over    bool
	won     bool
}

// recount is how long an election that one voter has refused may wait for the
// others: one that is cut off does not answer at all.
const recount = 60 * time.Millisecond

// stock is how many connections to a node a transport may have.
const stock = 3

func newWire(t raft.Transport, self raft.ServerID, electorate func() (int, bool), last func() (index, term uint64), onDisk func(uint64) error) *wire {
	w := &wire{
		Transport: t, self: self, electorate: electorate, last: last, onDisk: onDisk,
		rpcs: make(chan raft.RPC), stop: make(chan struct{}), done: make(chan struct{}),
		lost: make(chan struct{}, 1), stand: make(chan struct{}, 1), peers: map[raft.ServerID]contact{},
	}
	go w.forward()
	return w
}

// end stops forwarding and closes the transport below. For the store, after
// Raft has been told to shut down: its goroutines may wait for an answer.
func (w *wire) end() {
	close(w.stop)
	<-w.done
	if c, ok := w.Transport.(raft.WithClose); ok {
		c.Close()
	}
}

// forward hands on what is for this node.
func (w *wire) forward() {
	defer close(w.done)
	in := w.Transport.Consumer()
	for {
		select {
		case <-w.stop:
			return
		case rpc, ok := <-in:
			if !ok {
				return
			}
			if err := w.refuse(rpc); err != nil {
				rpc.Respond(nil, err)
				continue
			}
			select {
			case w.rpcs <- rpc:
			case <-w.stop:
				return
			}
		}
	}
}

// refuse returns why a message is not for this node.
func (w *wire) refuse(rpc raft.RPC) error {
	var to []byte
	switch c := rpc.Command.(type) {
	case *raft.AppendEntriesRequest:
		to = c.Leader
	case *raft.RequestVoteRequest:
		to = c.Candidate
	case *raft.InstallSnapshotRequest:
		to = c.Leader
	case *raft.TimeoutNowRequest:
		// One that cannot vote would stay a candidate for good.
		if _, voter := w.electorate(); !voter {
			return fmt.Errorf("start election: %w", raft.ErrNotVoter)
		}
		return nil
	default:
		return nil
	}
	if string(to) != string(w.self) {
		return errIdentity
	}
	if c, ok := rpc.Command.(*raft.AppendEntriesRequest); ok {
		// What this node has of them already it would confirm at once.
		if err := w.settled(c); err != nil {
			return err
		}
	}
	if c, ok := rpc.Command.(*raft.RequestVoteRequest); ok && c.LeadershipTransfer {
		if index, term := w.last(); c.LastLogTerm < term || c.LastLogTerm == term && c.LastLogIndex < index {
			signal(w.stand)
			return errBehind
		}
	}
	return nil
}

// signal never waits; c has room for one.
func signal(c chan<- struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// Consumer implements raft.Transport.
func (w *wire) Consumer() <-chan raft.RPC { return w.rpcs }

// SetHeartbeatHandler implements raft.Transport.
func (w *wire) SetHeartbeatHandler(f func(raft.RPC)) {
	w.Transport.SetHeartbeatHandler(func(rpc raft.RPC) {
		if err := w.refuse(rpc); err != nil {
			rpc.Respond(nil, err)
			return
		}
		f(rpc)
	})
}

// AppendEntries implements raft.Transport. Heartbeats come this way, whatever
// the pipeline does.
func (w *wire) AppendEntries(id raft.ServerID, target raft.ServerAddress, args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) error {
	a := *args
	a.Leader = []byte(id)
	begin := time.Now()
	err := w.Transport.AppendEntries(id, target, &a, resp)
	if err == nil {
		err = w.settled(args)
	}
	if err == nil {
		w.mu.Lock()
		w.peers[id] = contact{time.Now(), resp.LastLog}
		w.mu.Unlock()
	} else if !isHeartbeat(args) {
		w.hold(id, begin)
	}
	return err
}

// isHeartbeat tells the message that Raft sends beside those that replicate.
func isHeartbeat(args *raft.AppendEntriesRequest) bool {
	return len(args.Entries) == 0 && args.PrevLogEntry == 0 && args.LeaderCommitIndex == 0
}

// hold keeps the news of a failure from Raft until the peer has answered a
// heartbeat again: Raft waits longer after each failure in a row, up to 10 s,
// and a node that comes back would have to wait for that to catch up.
func (w *wire) hold(id raft.ServerID, begin time.Time) {
	tick := time.NewTicker(holdEvery)
	defer tick.Stop()
	for time.Since(begin) < holdMax {
		select {
		case <-w.stop:
			return
		case <-tick.C:
		}
		w.mu.Lock()
		back := w.peers[id].at.After(begin)
		w.mu.Unlock()
		if back {
			return
		}
	}
}

const (
	holdEvery = 10 * time.Millisecond
	holdMax   = time.Minute
)

// AppendEntriesPipeline implements raft.Transport.
func (w *wire) AppendEntriesPipeline(id raft.ServerID, target raft.ServerAddress) (raft.AppendPipeline, error) {
	p, err := w.Transport.AppendEntriesPipeline(id, target)
	if err != nil {
		return nil, err
	}
	settled := &pipeline{AppendPipeline: p, to: []byte(id), wire: w, answers: make(chan raft.AppendFuture), stop: make(chan struct{}), done: make(chan struct{})}
	go settled.run()
	return settled, nil
}

// settled waits until the entries of a message are on this node's disk.
func (w *wire) settled(args *raft.AppendEntriesRequest) error {
	if len(args.Entries) == 0 {
		return nil
	}
	return w.onDisk(args.Entries[len(args.Entries)-1].Index)
}

type pipeline struct {
	raft.AppendPipeline
	to      []byte
	wire    *wire
	answers chan raft.AppendFuture
	stop    chan struct{}
	done    chan struct{}
}

// AppendEntries implements raft.AppendPipeline.
func (p *pipeline) AppendEntries(args *raft.AppendEntriesRequest, resp *raft.AppendEntriesResponse) (raft.AppendFuture, error) {
	a := *args
	a.Leader = p.to
	return p.AppendPipeline.AppendEntries(&a, resp)
}

// run hands on the answers whose entries are on this node's disk. It takes them
// from below whether Raft still wants them or not: Raft stops at the first that
// is a refusal, and may be sending the next meanwhile, which waits until those
// before it are taken. It would wait for good, and the store's end with it.
func (p *pipeline) run() {
	defer close(p.done)
	var ready []raft.AppendFuture
	counted := true
	for {
		var answers chan raft.AppendFuture
		var next raft.AppendFuture
		if len(ready) > 0 {
			answers, next = p.answers, ready[0]
		}
		select {
		case f := <-p.AppendPipeline.Consumer():
			// After an error none is counted any more: the store ends.
			if counted = counted && p.wire.settled(f.Request()) == nil; counted {
				ready = append(ready, f)
			}
		case answers <- next:
			ready = ready[1:]
		case <-p.stop:
			return
		}
	}
}

// Consumer implements raft.AppendPipeline.
func (p *pipeline) Consumer() <-chan raft.AppendFuture { return p.answers }

// Close implements raft.AppendPipeline. Raft closes it once.
func (p *pipeline) Close() error {
	err := p.AppendPipeline.Close()
	close(p.stop)
	<-p.done
	return err
}

// InstallSnapshot implements raft.Transport.
func (w *wire) InstallSnapshot(id raft.ServerID, target raft.ServerAddress, args *raft.InstallSnapshotRequest, resp *raft.InstallSnapshotResponse, data io.Reader) error {
	a := *args
	a.Leader = []byte(id)
	return w.Transport.InstallSnapshot(id, target, &a, resp, data)
}

// RequestPreVote implements raft.WithPreVote.
func (w *wire) RequestPreVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestPreVoteRequest, resp *raft.RequestPreVoteResponse) error {
	t, ok := w.Transport.(raft.WithPreVote)
	if !ok {
		return errors.New("transport has no pre-vote")
	}
	return t.RequestPreVote(id, target, args, resp)
}

// RequestVote implements raft.Transport. Raft sits out the election timeout
// when an election is lost; told of a later term it is a follower at once, and
// may try again.
func (w *wire) RequestVote(id raft.ServerID, target raft.ServerAddress, args *raft.RequestVoteRequest, resp *raft.RequestVoteResponse) error {
	a := *args
	a.Candidate = []byte(id)
	begin := time.Now()
	err := w.Transport.RequestVote(id, target, &a, resp)
	if !args.LeadershipTransfer {
		return err
	}
	behind := func() bool { return err != nil && strings.Contains(err.Error(), errBehind.Error()) }
	// A node that was started anew has broken the connections that the
	// transport has in stock.
	for n := 0; n < stock && err != nil && !behind() && time.Since(begin) < recount; n++ {
		err = w.Transport.RequestVote(id, target, &a, resp)
	}
	if err == nil && resp.Term > args.Term {
		// Another election was held, and may have been in vain.
		signal(w.lost)
		return nil
	}
	granted := err == nil && resp.Granted
	b := w.count(args.Term, granted)
	if granted || err != nil && !behind() && !w.lostAlready(b) || w.await(b) {
		return err
	}
	*resp = raft.RequestVoteResponse{RPCHeader: a.RPCHeader, Term: args.Term + 1}
	if !behind() {
		// Otherwise the one that knows more stands itself.
		signal(w.lost)
	}
	return nil
}

func (w *wire) lostAlready(b *ballot) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return b.over && !b.won
}

// count adds a vote to the election of that term.
func (w *wire) count(term uint64, granted bool) *ballot {
	voters, _ := w.electorate()
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.ballot == nil || w.ballot.term != term {
		// The candidate's own vote is counted in granted.
		w.ballot = &ballot{term: term, granted: 1, decided: make(chan struct{})}
	}
	b := w.ballot
	if granted {
		b.granted++
	} else {
		b.refused++
	}
	quorum := voters/2 + 1
	b.won = b.granted >= quorum
	if !b.over && (b.won || b.refused > voters-quorum) {
		b.over = true
		close(b.decided)
	}
	return b
}

// await says whether the election is won, after a voter has refused.
func (w *wire) await(b *ballot) bool {
	timer := time.NewTimer(recount)
	defer timer.Stop()
	select {
	case <-b.decided:
	case <-timer.C:
	case <-w.stop:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return b.won
}

// campaign has Raft start an election, as a leader does that hands over. For
// the store, whose stop it is: then Raft may not be listening any more.
func (w *wire) campaign(stop <-chan struct{}) error {
	answer := make(chan raft.RPCResponse, 1)
	rpc := raft.RPC{RespChan: answer, Command: &raft.TimeoutNowRequest{RPCHeader: raft.RPCHeader{
		ProtocolVersion: raft.ProtocolVersionMax, ID: []byte(w.self), Addr: w.EncodePeer(w.self, w.LocalAddr()),
	}}}
	select {
	case w.rpcs <- rpc:
		return nil
	case <-stop:
		return ErrClosed
	}
}

// heard returns what was last heard of a peer. For the store.
func (w *wire) heard(id raft.ServerID) contact {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.peers[id]
}
