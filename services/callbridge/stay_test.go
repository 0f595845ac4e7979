package callbridge

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/xmpp/stream"
)

// pair is two servers of a cluster, the first of better priority, in a bubble
// whose bridge is connected to the second since the first is down.
type pair struct {
	*bubble
	better, worse *fake
	at            [2]netip.AddrPort
}

func inPair(t *testing.T, f func(t *testing.T, p *pair)) {
	t.Helper()
	inBubble(t, "", func(t *testing.T, b *bubble) {
		p := &pair{bubble: b, better: &fake{}, worse: &fake{}}
		p.better.others, p.worse.others = []*fake{p.worse}, []*fake{p.better}
		_, p.at[0] = b.mesh.server("10.0.0.1:5223", p.better)
		_, p.at[1] = b.mesh.server("10.0.0.2:5223", p.worse)
		b.zone.set(p.records()...)
		p.down()
		b.begin()
		p.on("cb2", 0)
		f(t, p)
	})
}

func (p *pair) records() []string {
	return []string{srv(0, "cb1."+domain, p.at[0]), a("cb1."+domain, p.at[0]), srv(10, "cb2."+domain, p.at[1]), a("cb2."+domain, p.at[1])}
}

// up and down are the better server's comings and goings.
func (p *pair) up()   { p.mesh.server(p.at[0].String(), p.better) }
func (p *pair) down() { p.mesh.gone(p.at[0]) }

// on checks that the bridge has been connected to a server for so long.
func (p *pair) on(name string, since time.Duration) {
	p.t.Helper()
	p.want(callbridgeapi.Connected, fmt.Sprintf("connected to %s.%s (secure) for %s", name, domain, duration(since)))
}

// connections are the events of connections that were made, by server.
func (p *pair) connections() (names []string) {
	p.t.Helper()
	for _, m := range p.log.messages() {
		rest, ok := strings.CutPrefix(m, "XMPP component connection established to ")
		if !ok {
			p.t.Errorf("event %q; want none but of connections made", m)
		}
		name, _, _ := strings.Cut(rest, ".")
		names = append(names, name)
	}
	return names
}

// most is how late a move may be after its patience: it is seen at one look and
// made at another.
const most = 2 * (lookEvery + lookEvery/16)

func TestMovesBack(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		pass(time.Hour)
		p.on("cb2", time.Hour)
		p.up()
		pass(firstPatience - time.Second)
		p.on("cb2", time.Hour+firstPatience-time.Second)
		pass(most + time.Second)
		s := p.now()
		if s.Server != "cb1."+domain || s.State != callbridgeapi.Connected {
			t.Fatalf("status %+v; want the better server %v after it came", s, firstPatience+most)
		}
		if d := cmp.Diff([]string{"cb2", "cb1"}, p.connections()); d != "" {
			t.Errorf("connections (-want +got):\n%s", d)
		}
		if f := p.log.fault(); f.Key != "" {
			t.Errorf("fault %+v; want none", f)
		}
		since := s.Since
		pass(time.Hour)
		if s := p.now(); s.Since != since || s.Server != "cb1."+domain {
			t.Errorf("status %+v; want the connection of %v to stay", s, since)
		}
		// What it is moved to may be lost as any other.
		p.down()
		pass(time.Second)
		p.on("cb2", time.Second)
	})
}

// TestInterruptedServerIsNotMovedTo: one that has not answered each time.
func TestInterruptedServerIsNotMovedTo(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		for range 10 {
			p.up()
			pass(firstPatience - time.Second)
			p.down()
			pass(most)
		}
		if d := cmp.Diff([]string{"cb2"}, p.connections()); d != "" {
			t.Errorf("connections (-want +got):\n%s", d)
		}
	})
}

// TestRefusingServerIsNotMovedTo: the connection that there is does not suffer
// from what the better server says.
func TestRefusingServerIsNotMovedTo(t *testing.T) {
	inPair(t, func(t *testing.T, p *pair) {
		p.better.now(func() { p.better.refuses = stream.NotAuthorized })
		p.up()
		pass(20 * time.Minute)
		p.on("cb2", 20*time.Minute)
		p.better.now(func() { p.better.refuses = "" })
		pass(firstPatience + most)
		if s := p.now(); s.Server != "cb1."+domain {
			t.Errorf("status %+v; want the better server, which lets it in now", s)
		}
	})
}

// TestMovesOffAServerThatIsNotNamed: the DNS has another one now.
func TestMovesOffAServerThatIsNotNamed(t *testing.T) {
	for _, tt := range []struct {
		name    string
		records func(p *pair) []string
		want    string
	}{
		{"not listed", func(p *pair) []string { return []string{srv(20, "cb3."+domain, p.at[0]), a("cb3."+domain, p.at[0])} }, "cb3"},
		{"another address", func(p *pair) []string { return []string{srv(10, "cb2."+domain, p.at[1]), a("cb2."+domain, p.at[0])} }, "cb2"},
		{"no records at all", func(*pair) []string { return nil }, ""},
		{"equal priority", func(p *pair) []string {
			return []string{srv(10, "cb1."+domain, p.at[0]), a("cb1."+domain, p.at[0]), srv(10, "cb2."+domain, p.at[1]), a("cb2."+domain, p.at[1])}
		}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inPair(t, func(t *testing.T, p *pair) {
				p.up()
				p.zone.set(tt.records(p)...)
				pass(firstPatience + most)
				want := []string{"cb2"}
				if tt.want != "" {
					want = append(want, tt.want)
				}
				if d := cmp.Diff(want, p.connections()); d != "" {
					t.Errorf("connections (-want +got):\n%s", d)
				}
			})
		})
	}
}

// TestNeverFlaps: however the better server comes and goes, there are few
// moves.
func TestNeverFlaps(t *testing.T) {
	for seed := range uint64(2) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			inPair(t, func(t *testing.T, p *pair) {
				// These are not asked for signs of life, three times a second for hours.
				p.better.now(func() { p.better.plain = true })
				rnd := rand.New(rand.NewPCG(seed, 1))
				end := time.Now().Add(2 * time.Hour)
				for time.Now().Before(end) {
					p.up()
					pass(time.Duration(rnd.Int64N(int64(firstPatience<<(2*seed)))) + firstPatience)
					p.down()
					pass(time.Duration(rnd.Int64N(int64(time.Minute))))
				}
				moves := 0
				for _, m := range p.log.messages() {
					if strings.HasPrefix(m, "XMPP component connection established to cb1.") {
						moves++
					}
				}
				if moves == 0 || moves > 7 {
					t.Errorf("%d moves in 2 hours; want some, and 7 at most", moves)
				}
			})
		})
	}
}

// TestGivenServerIsTheOnlyOne: nothing is looked for.
func TestGivenServerIsTheOnlyOne(t *testing.T) {
	inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
		b.mesh.server("10.0.0.1:5223", &fake{})
		b.begin()
		pass(time.Hour)
		if n := len(b.mesh.calls()); n != 1 || b.zone.asked != 0 {
			t.Errorf("%d connections, %d look-ups; want the one connection", n, b.zone.asked)
		}
	})
}
