package edge

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"
	"testing/synctest"

	"parley/services/xmpp/link"
	"parley/services/xmpp/stanza"
)

// TestResumptions cuts connections at random and resumes. No stanza of the
// client, and none for it, may be lost or come twice to the other's knowledge,
// and h never goes back.
func TestResumptions(t *testing.T) {
	for seed := range uint64(20) {
		t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) {
			bubbles(t, func(t *testing.T, a, b *server) {
				rnd := rand.New(rand.NewPCG(seed, 1))
				l := a.leader
				l.confirm = false
				c, id := kept(t, a, "x")
				ls := l.session(t, 0)
				var (
					unacked  []string // the client's stanzas beyond h
					h, sent  int
					received int
					made     int // deliveries
				)
				acked := func(n int) {
					if n < h || uint64(n) > ls.confirmed {
						t.Fatalf("h=%d after %d, with %d confirmed", n, h, ls.confirmed)
					}
					unacked = unacked[n-h:]
					h = n
				}
				take := func() {
					c.drain(func(e *stanza.Element) {
						switch {
						case e.Is(stanza.NSSM, "a"):
							n, _ := strconv.Atoi(e.Attr("h"))
							acked(n)
						case e.Is(stanza.NSClient, "message"):
							received++
							if got, want := e.Attr("id"), "in"+strconv.Itoa(received); got != want {
								t.Fatalf("received %s; want %s", got, want)
							}
						}
					})
				}
				for range 300 {
					switch rnd.IntN(8) {
					case 0, 1:
						if sent-int(ls.confirmed) < 50 {
							sent++
							m := message(strconv.Itoa(sent))
							unacked = append(unacked, m)
							c.send(m)
						}
					case 2:
						c.send(smAsk)
					case 3:
						synctest.Wait()
						if n := len(ls.sent) - int(ls.confirmed); n > 0 {
							l.confirmTo(ls, ls.confirmed+1+uint64(rnd.IntN(n)))
						}
					case 4, 5:
						made++
						l.deliver(ls, arrival(made), link.Item(rnd.IntN(2)))
					case 6:
						take()
						c.send(smAck(received))
					case 7:
						if rnd.IntN(3) > 0 {
							continue
						}
						// What is under way may be lost with the connection, or
						// the connection be thought to live on.
						if rnd.IntN(2) == 0 {
							take()
						}
						if rnd.IntN(2) == 0 {
							c.raw.Close()
						}
						if rnd.IntN(2) == 0 {
							synctest.Wait()
						}
						s := a
						if rnd.IntN(2) == 0 {
							s = b
						}
						var n int
						c, n = resume(t, s, id, received)
						acked(n)
						c.send(strings.Join(unacked, ""))
					}
				}
				c.send(smAsk)
				synctest.Wait()
				l.confirmTo(ls, uint64(len(ls.sent)))
				take()
				c.send(smAck(received))
				synctest.Wait()
				if h != sent || len(ls.sent) != sent {
					t.Errorf("h=%d, the leader has %d; want %d", h, len(ls.sent), sent)
				}
				if received != made || ls.delivered != uint64(made) {
					t.Errorf("received %d, delivered %d; want %d", received, ls.delivered, made)
				}
				for i, e := range ls.sent {
					if got, want := e.Attr("id"), strconv.Itoa(i+1); got != want {
						t.Fatalf("stanza %d is %s", i+1, got)
					}
				}
			})
		})
	}
}
