package router

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"parley/services/xmpp/store"
)

// TestFleets runs random histories of nodes, links and leaders: each message
// confirmed comes once to a client that resumes and acknowledges, in the order
// of its sender.
func TestFleets(t *testing.T) {
	seeds := uint64(24)
	for seed := range seeds {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			t.Parallel()
			rnd := rand.New(rand.NewPCG(seed, 7))
			fl := newFleet(t, 3, "ada", "bob", "cleo", "dan")
			pick := func() *node { return fl.nodes[rnd.IntN(len(fl.nodes))] }
			senders := []*device{fl.open(pick(), "ada", "s"), fl.open(pick(), "bob", "s")}
			receivers := []*device{fl.open(pick(), "cleo", "r"), fl.open(pick(), "dan", "r1"), fl.open(pick(), "dan", "r2")}
			for _, d := range receivers {
				d.shared = d.jid.Local() == "dan"
				d.send("<presence/>")
			}
			fl.sync()
			count := 0
			burst := func(n int) {
				for range n {
					count++
					i := rnd.IntN(len(senders))
					to := []string{"cleo@example.com", "dan@example.com"}[rnd.IntN(2)]
					senders[i].send(fmt.Sprintf("<message type='chat' to='%s' id='s%d-%d'/>", to, i, count))
					if rnd.IntN(8) == 0 {
						senders[i].send(fmt.Sprintf("<message type='headline' to='%s' id='x%d'/>", receivers[rnd.IntN(3)].jid, count))
					}
				}
			}
			for i := range 150 {
				burst(rnd.IntN(8))
				n := rnd.IntN(100)
				fl.trace(i, n)
				switch {
				case n < 30:
					receivers[rnd.IntN(len(receivers))].acknowledge()
				case n < 45:
					fl.devices[rnd.IntN(len(fl.devices))].drop()
				case n < 75:
					if d := fl.devices[rnd.IntN(len(fl.devices))]; d.node == nil || rnd.IntN(4) == 0 {
						d.comeBack(pick())
					}
				case n < 80:
					// A link breaks and is there again, under the same leader, which
					// needs none itself.
					nd := pick()
					if nd == fl.home {
						continue
					}
					nd.cut(rnd.IntN(3) > 0)
					burst(3)
					fl.sync()
					nd.attach()
				case n < 85:
					// A follower dies; its clients go to others, at once or, where
					// their sessions are in the keeper's hands, later.
					nd := pick()
					var homeless []*device
					for _, d := range fl.devices {
						if d.node == nd || d.node == nil {
							homeless = append(homeless, d)
						}
					}
					w, to := nd.wire, fl.keeper(nd)
					nd.kill(nil, 0)
					told := rnd.IntN(3) > 0
					if told {
						fl.r.Lost(w, to)
						fl.sync()
					}
					burst(3)
					nd.attach()
					for _, d := range homeless {
						if !told || to == nil || rnd.IntN(2) == 0 {
							d.comeBack(pick())
						}
					}
				case n < 95:
					// The leader dies, perhaps with something committed that
					// it could not confirm; its own sessions are mirrored.
					if rnd.IntN(2) == 0 {
						fl.f.set(nil, store.ErrOutcome)
						burst(3)
						if rnd.IntN(2) == 0 && slices.ContainsFunc(senders, func(d *device) bool { return d.node != nil }) {
							fl.f.waitApplies(1)
						}
					}
					led := fl.home
					fl.stop()
					fl.f.set(nil, nil)
					if rnd.IntN(2) == 0 {
						mirror := fl.nodes[(slices.Index(fl.nodes, led)+1)%len(fl.nodes)]
						led.kill(mirror, uint64(rnd.IntN(6)))
					}
					fl.elect(pick())
					burst(2)
					if rnd.IntN(2) == 0 {
						d := fl.devices[rnd.IntN(len(fl.devices))]
						d.drop()
					}
					fl.settle(rnd)
				default:
					fl.sync()
				}
				if t.Failed() {
					return
				}
			}
			fl.finish("cleo", "dan")
		})
	}
}
