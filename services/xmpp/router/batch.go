package router

import "parley/services/xmpp/store"

// batch is what is committed in one go. Each job asks for its ops when it is
// planned, by the stanza alone, and changes state and sends only when it is
// run, after the commit: so all outputs keep the order of the calls, and none
// shows what may yet be lost.
type batch struct {
	ops  []store.Op
	jobs []job
	// bytes of the ops' stanzas.
	bytes int
	// closed: no more may be planned. A roster change reads and changes what
	// others read, so it is committed alone.
	closed bool
	// service: it is one call of the service's side, which is told at once
	// where the store has not answered.
	service bool
	// held is the call that did not fit in.
	held *event
}

// job is one call's part of a batch: n ops, and what to do with their results.
type job struct {
	n   int
	run func([]store.Result)
}

func (b *batch) full() bool {
	return b.closed || len(b.jobs) >= maxBatch || b.bytes >= maxBatchBytes
}

func (b *batch) add(run func([]store.Result), ops ...store.Op) {
	b.ops = append(b.ops, ops...)
	b.jobs = append(b.jobs, job{len(ops), run})
}

// do adds a job without ops.
func (b *batch) do(run func()) { b.add(func([]store.Result) { run() }) }

// alone adds a job that must not share its batch.
func (b *batch) alone(run func([]store.Result), ops ...store.Op) {
	b.add(run, ops...)
	b.closed = true
}

// reset empties it for the next one.
func (b *batch) reset() {
	clear(b.jobs)
	clear(b.ops)
	*b = batch{ops: b.ops[:0], jobs: b.jobs[:0]}
}
