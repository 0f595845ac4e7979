package callbridge

import (
	"context"
	"fmt"
	"net/netip"
	"strings"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
)

// status is what there is to tell; Bridge.mu guards it.
type status struct {
	state   callbridgeapi.State
	since   time.Time
	conf    config.BridgeLink
	server  string
	address netip.AddrPort
	// failure is the last one, nil for none.
	failure        *failure
	failedAt, next time.Time
	// components check passwords, and own says that this is one of them; at
	// registered it became so.
	components int
	own        bool
	registered time.Time
}

func (s *status) change(to callbridgeapi.State) {
	if s.state != to {
		s.state, s.since = to, time.Now()
		s.components, s.own = 0, false
	}
}

// Status implements callbridgeapi.API.
func (b *Bridge) Status(context.Context) (callbridgeapi.Status, error) {
	ailing := b.people.ailing()
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status.tell(time.Now(), ailing), nil
}

// tell is the status as it reads now; ailing is the LDAP server that cannot be
// asked, "" for none.
func (s *status) tell(now time.Time, ailing string) callbridgeapi.Status {
	out := callbridgeapi.Status{
		State: s.state, Since: s.since, Name: s.conf.Name, Domain: s.conf.Domain, Server: s.server, Address: s.address,
		AuthenticationRow: s.authentication(now, ailing),
	}
	if out.State == "" {
		out.State = callbridgeapi.Off
	}
	if f := s.failure; f != nil && (s.state != callbridgeapi.Connected || now.Sub(s.since) < lasting) {
		out.Reason, out.Detail, out.Hint, out.FailedAt = f.reason, f.detail, f.hint, s.failedAt
	}
	switch {
	case s.state == callbridgeapi.Connected:
		out.XMPPRow = fmt.Sprintf("connected to %s (secure) for %s", s.server, duration(now.Sub(s.since)))
	case s.failure != nil && s.server == "":
		out.XMPPRow = fmt.Sprintf("failed to connect due to %s (%s ago)", s.failure.reason, duration(now.Sub(s.failedAt)))
	case s.failure != nil:
		out.XMPPRow = fmt.Sprintf("failed to connect to %s due to %s (%s ago)", s.server, s.failure.reason, duration(now.Sub(s.failedAt)))
	case s.state == callbridgeapi.Connecting:
		out.XMPPRow = "connecting"
	case s.conf.Name != "" && s.conf.Domain != "" && out.State == callbridgeapi.Off:
		out.XMPPRow = "disabled; type 'callbridge enable'"
	default:
		out.XMPPRow = "not configured"
	}
	if s.state == callbridgeapi.Failed {
		out.Next = s.next
	}
	return out
}

// authentication is the row of it.
func (s *status) authentication(now time.Time, ailing string) string {
	components := fmt.Sprintf("%d authentication components", s.components)
	if s.components == 1 {
		components = "1 authentication component"
	}
	switch {
	case s.components == 0:
		return "no authentication components found"
	case s.own && ailing != "":
		return fmt.Sprintf("LDAP server %s cannot be asked; see 'callbridge directory' (%s)", ailing, components)
	case s.own:
		return fmt.Sprintf("registered for %s (%s)", duration(now.Sub(s.registered)), components)
	}
	return components + " found"
}

// duration is as the original has it: "1 minute, 2 seconds".
func duration(d time.Duration) string {
	total := int64(max(0, d) / time.Second)
	var parts []string
	for _, u := range []struct {
		name    string
		seconds int64
	}{{"day", 86400}, {"hour", 3600}, {"minute", 60}, {"second", 1}} {
		n := total / u.seconds
		total %= u.seconds
		if len(parts) == 0 && n == 0 && u.seconds > 1 {
			continue
		}
		if n != 1 {
			u.name += "s"
		}
		parts = append(parts, fmt.Sprintf("%d %s", n, u.name))
	}
	return strings.Join(parts, ", ")
}
