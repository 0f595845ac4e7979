package eventlogapi

import "strings"

// LeaderChange is the event that another node leads the cluster, by addresses.
type LeaderChange struct{ Node, Before string }

// LeaderChangeText is what the messages of all such events, and of no others,
// have in them.
const LeaderChangeText = " leads the cluster now, after "

const leaderChangePrefix = "XMPP node "

// Message is the event's.
func (c LeaderChange) Message() string {
	return leaderChangePrefix + c.Node + LeaderChangeText + c.Before
}

// ParseLeaderChange reads the message of an event; ok says that it is such a one.
func ParseLeaderChange(message string) (c LeaderChange, ok bool) {
	rest, ok := strings.CutPrefix(message, leaderChangePrefix)
	if !ok {
		return c, false
	}
	c.Node, c.Before, ok = strings.Cut(rest, LeaderChangeText)
	return c, ok && c.Node != "" && c.Before != ""
}
