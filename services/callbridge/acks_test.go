package callbridge

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

const request = "<iq type='get' id='7' from='ada@tptac9.com/x' to='cb1.tptac9.com'><ping xmlns='urn:xmpp:ping'/></iq>"

// TestAnswersOutliveTheServer: what a server has not acknowledged is sent to
// the next one, and nothing else is.
func TestAnswersOutliveTheServer(t *testing.T) {
	for _, tt := range []struct {
		name    string
		unacked bool
		want    int
	}{
		{"not acknowledged", true, 1},
		{"acknowledged", false, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			inBubble(t, "", func(t *testing.T, b *bubble) {
				first, at := b.mesh.server("10.0.0.1:5223", &fake{words: []string{request}, unacked: tt.unacked})
				second, next := b.mesh.server("10.0.0.2:5223", &fake{})
				b.zone.set(srv(0, "cb1."+domain, at), a("cb1."+domain, at), srv(1, "cb2."+domain, next), a("cb2."+domain, next))
				b.begin()
				// By then a ping is under way too, which is of no use later.
				pass(pingEvery + time.Second)
				if n := strings.Count(first.answers(), "id='7'"); n != 1 {
					t.Fatalf("the first server got %d answers; want one", n)
				}
				b.mesh.gone(at)
				pass(time.Second)
				if got := second.answers(); strings.Count(got, "id='7'") != tt.want || strings.Contains(got, "ping-1") {
					t.Errorf("the second server got %s; want %d answers", got, tt.want)
				}
				// It has been acknowledged now.
				b.mesh.gone(next)
				third, last := b.mesh.server("10.0.0.3:5223", &fake{})
				b.zone.set(srv(0, "cb3."+domain, last), a("cb3."+domain, last))
				pass(time.Minute)
				if got := third.answers(); strings.Contains(got, "id='7'") {
					t.Errorf("the third server got %s; want no answer again", got)
				}
			})
		})
	}
}

// TestStanzasAreAcknowledged without being asked for.
func TestStanzasAreAcknowledged(t *testing.T) {
	inBubble(t, "10.0.0.1", func(t *testing.T, b *bubble) {
		f, _ := b.mesh.server("10.0.0.1:5223", &fake{})
		b.begin()
		// After <enabled/>, which these are not counted before.
		f.now(func() {
			go func(c interface{ Write([]byte) (int, error) }) { c.Write([]byte(request + request)) }(f.live[0])
		})
		synctest.Wait()
		f.now(func() {
			if f.told != "2" {
				t.Errorf("the server was told %q; want 2", f.told)
			}
		})
	})
}

func TestHeed(t *testing.T) {
	for _, tt := range []struct {
		name string
		acks acks
		xml  string
		want string
		left int
		fine bool
	}{
		{"question", acks{on: true, in: 4}, "<r xmlns='urn:xmpp:sm:3'/>", "<a xmlns='urn:xmpp:sm:3' h='4'/>", 0, true},
		{"question before there is an agreement", acks{}, "<r xmlns='urn:xmpp:sm:3'/>", "", 0, true},
		{"refusal", acks{unacked: [][]byte{nil}}, "<failed xmlns='urn:xmpp:sm:3'/>", "", 0, true},
		{"all", acks{out: 3, unacked: [][]byte{nil, nil}}, "<a xmlns='urn:xmpp:sm:3' h='5'/>", "", 0, true},
		{"some", acks{out: 3, unacked: [][]byte{nil, nil}}, "<a xmlns='urn:xmpp:sm:3' h='4'/>", "<r xmlns='urn:xmpp:sm:3'/>", 1, true},
		{"over the end of the numbers", acks{out: 1<<32 - 1, unacked: [][]byte{nil, nil}}, "<a xmlns='urn:xmpp:sm:3' h='1'/>", "", 0, true},
		{"no more", acks{out: 3, unacked: [][]byte{nil}}, "<a xmlns='urn:xmpp:sm:3' h='3'/>", "", 1, true},
		{"none", acks{out: 3}, "<a xmlns='urn:xmpp:sm:3' h='3'/>", "", 0, true},
		{"too many", acks{out: 3, unacked: [][]byte{nil}}, "<a xmlns='urn:xmpp:sm:3' h='5'/>", "", 1, false},
		{"less than before", acks{out: 3, unacked: [][]byte{nil}}, "<a xmlns='urn:xmpp:sm:3' h='2'/>", "", 1, false},
		{"no number", acks{}, "<a xmlns='urn:xmpp:sm:3'/>", "", 0, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			e, err := stream.Parse([]byte(tt.xml))
			if err != nil {
				t.Fatal(err)
			}
			got, err := tt.acks.heed(e)
			if string(got) != tt.want || (err == nil) != tt.fine || len(tt.acks.unacked) != tt.left {
				t.Errorf("heed(%s) = %q, %v, %d left; want %q, %d left", tt.xml, got, err, len(tt.acks.unacked), tt.want, tt.left)
			}
		})
	}
}

// TestUnackedIsBounded by letting go of the oldest, which are counted still.
func TestUnackedIsBounded(t *testing.T) {
	w := &wire{}
	for range maxUnacked + 5 {
		w.acks.put(nil, []byte("x"))
	}
	if n := len(w.unsent()); n != maxUnacked {
		t.Errorf("%d are kept; want %d", n, maxUnacked)
	}
	if _, err := w.acks.heed(stanza.New(stanza.NSSM, "a", "h", "1029")); err != nil || len(w.acks.unacked) != 0 {
		t.Errorf("heed = %v, %d left; want all acknowledged", err, len(w.acks.unacked))
	}
}
