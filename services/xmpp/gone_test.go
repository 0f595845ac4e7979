package xmpp

import (
	"crypto/tls"
	"fmt"
	"strings"
	"testing"

	"parley/services/xmpp/stanza"
	"parley/services/xmpp/stream"
)

// turnedAway is what m says to a client that comes, "" where it is let in.
func turnedAway(t *testing.T, m *member) (says string, err error) {
	t.Helper()
	c, err := tls.Dial("tcp", m.addr.Load().String()+":5222", &tls.Config{InsecureSkipVerify: true, NextProtos: []string{"xmpp-client"}})
	if err != nil {
		return "", err
	}
	defer c.Close()
	s := stream.NewScanner(c, stanza.NSClient, &stream.Limits{})
	if _, err := c.Write(stream.Header{Content: stanza.NSClient, To: "example.com", Version: "1.0"}.Append(nil)); err != nil {
		return "", err
	}
	if _, err := s.Header(); err != nil {
		return "", err
	}
	e, err := s.Next()
	if err != nil || !e.Is(stanza.NSStreams, "error") {
		return "", err
	}
	for _, child := range e.Children() {
		says += child.Name.Local + " " + child.Text() + " "
	}
	return strings.Join(strings.Fields(says), " "), nil
}

// Clients of a node that is in no cluster any more are sent to one that is, or
// told that nobody is served here.
func TestTurnedAwayOutside(t *testing.T) {
	ms := newCluster(t, 2)
	says := func(m *member, want string) {
		t.Helper()
		await(t, m.addr.Load().String()+" says "+want, func() error {
			if got, err := turnedAway(t, m); err != nil || got != want {
				return fmt.Errorf("it says %q, %v", got, err)
			}
			return nil
		})
	}
	const gone = "host-gone text this server is in no cluster, and serves nobody"
	if err := ms[0].ClusterRemove(t.Context(), ms[1].addr.Load().String(), true); err != nil {
		t.Fatal(err)
	}
	says(ms[1], "see-other-host "+ms[0].addr.Load().String()+":5222")
	says(ms[0], "")
	if err := ms[0].ClusterLeave(t.Context()); err != nil {
		t.Fatal(err)
	}
	says(ms[0], gone)
	ms[1].end()
	ms[1].start()
	says(ms[1], gone)
}
