package router

import (
	"time"

	"parley/services/xmpp/link"
)

const (
	// sweepEvery is how often those that have ended are looked through, and
	// sweepAllEvery all that the store has.
	sweepEvery    = 10 * time.Second
	sweepAllEvery = 10 * time.Minute
	// numbersEnded is how long the number of a session that has ended is
	// kept, and numbersKept that of one that is not known: a relay that was
	// cut off may come back and send again what it does not know to be done.
	numbersEnded = 30 * time.Second
	numbersKept  = 15 * time.Minute
)

// numbers are of sessions that have ended in this leadership, in that order.
type numbers struct {
	list []endedSession
	// swept is the time since all were looked through.
	swept time.Duration
}

type endedSession struct {
	id link.SessionID
	at time.Time
}

func (n *numbers) add(id link.SessionID) { n.list = append(n.list, endedSession{id, time.Now()}) }

// sweep has the store forget numbers that nobody will use.
func (r *Router) sweep() {
	now, n := time.Now(), 0
	for ; n < len(r.ended.list) && now.Sub(r.ended.list[n].at) >= numbersEnded; n++ {
		// It may have been attached again.
		if id := r.ended.list[n].id; r.sessions[id] == nil {
			r.acks.end(id)
		}
	}
	r.ended.list = r.ended.list[n:]
	if r.settled && r.ended.swept >= sweepAllEvery {
		r.sweepAll()
	}
}

// sweepAll finds those too that ended under another leader.
func (r *Router) sweepAll() {
	r.ended.swept = 0
	for id, f := range r.absent.over {
		if time.Since(f.at) > numbersKept {
			delete(r.absent.over, id)
		}
	}
	marks, err := r.store.Sessions()
	if err != nil {
		r.log.Error("numbers of sessions not readable", "err", err)
		return
	}
	for _, m := range marks {
		if r.sessions[m.ID] == nil && time.Since(m.Stamp) > numbersKept {
			r.acks.end(m.ID)
		}
	}
}
