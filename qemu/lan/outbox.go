package lan

import (
	"container/heap"
	"sync"
	"time"
)

// queueLimit is how many frames wait for a cable before more are dropped.
const queueLimit = 4096

// outbox holds the frames for one cable until they are due. Frames of equal
// time leave in the order in which they came.
type outbox struct {
	wake chan struct{} // holds one token: something changed

	mu     sync.Mutex
	queue  frameQueue
	count  uint64
	closed bool
}

type queuedFrame struct {
	due   time.Time
	count uint64
	frame []byte
}

func newOutbox() *outbox { return &outbox{wake: make(chan struct{}, 1)} }

// put retains the frame, which nobody changes any more.
func (o *outbox) put(frame []byte, due time.Time) {
	o.mu.Lock()
	if !o.closed && len(o.queue) < queueLimit {
		o.count++
		heap.Push(&o.queue, queuedFrame{due, o.count, frame})
	}
	o.mu.Unlock()
	o.poke()
}

func (o *outbox) close() {
	o.mu.Lock()
	o.closed = true
	o.mu.Unlock()
	o.poke()
}

func (o *outbox) poke() {
	select {
	case o.wake <- struct{}{}:
	default:
	}
}

// run writes frames as they become due, until close or an error.
func (o *outbox) run(write func([]byte) error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		o.mu.Lock()
		if o.closed {
			o.mu.Unlock()
			return nil
		}
		var frame []byte
		wait := time.Hour
		if len(o.queue) > 0 {
			if wait = time.Until(o.queue[0].due); wait <= 0 {
				frame = heap.Pop(&o.queue).(queuedFrame).frame
			}
		}
		o.mu.Unlock()
		if frame != nil {
			if err := write(frame); err != nil {
				return err
			}
			continue
		}
		timer.Reset(wait)
		select {
		case <-o.wake:
		case <-timer.C:
		}
	}
}

type frameQueue []queuedFrame

func (q frameQueue) Len() int { return len(q) }

func (q frameQueue) Less(i, j int) bool {
	if !q[i].due.Equal(q[j].due) {
		return q[i].due.Before(q[j].due)
	}
	return q[i].count < q[j].count
}

func (q frameQueue) Swap(i, j int) { q[i], q[j] = q[j], q[i] }

func (q *frameQueue) Push(x any) { *q = append(*q, x.(queuedFrame)) }

func (q *frameQueue) Pop() any {
	last := len(*q) - 1
	f := (*q)[last]
	(*q)[last] = queuedFrame{}
	*q = (*q)[:last]
	return f
}
