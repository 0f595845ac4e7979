package webadmin

import (
	"crypto/sha256"
	"encoding/json"
	"encoding/xml"
	"net/http"
	"strings"
	"time"

	"github.com/google/uuid"

	"parley/services/database/databaseapi"
	"parley/services/eventlog/eventlogapi"
	"parley/services/files"
)

// statusAnswer is /system/status. What counts calls is 0: there are none.
type statusAnswer struct {
	XMLName         xml.Name `xml:"status" json:"-"`
	SoftwareVersion string   `xml:"softwareVersion" json:"softwareVersion"`
	UptimeSeconds   int64    `xml:"uptimeSeconds" json:"uptimeSeconds"`
	CDRTime         string   `xml:"cdrTime" json:"cdrTime"`
	Activated       bool     `xml:"activated" json:"activated"`
	ClusterEnabled  bool     `xml:"clusterEnabled" json:"clusterEnabled"`

	CDRCorrelatorIndex   int `xml:"cdrCorrelatorIndex" json:"cdrCorrelatorIndex"`
	CallLegsActive       int `xml:"callLegsActive" json:"callLegsActive"`
	CallLegsMaxActive    int `xml:"callLegsMaxActive" json:"callLegsMaxActive"`
	CallLegsCompleted    int `xml:"callLegsCompleted" json:"callLegsCompleted"`
	AudioBitRateOutgoing int `xml:"audioBitRateOutgoing" json:"audioBitRateOutgoing"`
	AudioBitRateIncoming int `xml:"audioBitRateIncoming" json:"audioBitRateIncoming"`
	VideoBitRateOutgoing int `xml:"videoBitRateOutgoing" json:"videoBitRateOutgoing"`
	VideoBitRateIncoming int `xml:"videoBitRateIncoming" json:"videoBitRateIncoming"`

	// XMPPConnection is the state of this node's Call Bridge, with the
	// reason where it failed.
	XMPPConnection       string `xml:"xmppConnection" json:"xmppConnection"`
	XMPPConnectionReason string `xml:"xmppConnectionReason,omitempty" json:"xmppConnectionReason,omitempty"`
}

// xmppAnswer is /system/xmpp, the server and its cluster.
type xmppAnswer struct {
	XMLName         xml.Name     `xml:"xmpp" json:"-"`
	Running         bool         `xml:"running" json:"running"`
	Trouble         string       `xml:"trouble,omitempty" json:"trouble,omitempty"`
	ClientSessions  int          `xml:"clientSessions" json:"clientSessions"`
	CallBridges     int          `xml:"callBridges" json:"callBridges"`
	Accounts        int          `xml:"accounts" json:"accounts"`
	MessagesWaiting int          `xml:"messagesWaiting" json:"messagesWaiting"`
	Clustered       bool         `xml:"clustered" json:"clustered"`
	State           string       `xml:"state,omitempty" json:"state,omitempty"`
	LeaderKnown     bool         `xml:"leaderKnown" json:"leaderKnown"`
	Margin          int          `xml:"margin" json:"margin"`
	Nodes           []nodeAnswer `xml:"nodes>node" json:"nodes"`
}

type nodeAnswer struct {
	Address   string  `xml:"address,attr" json:"address"`
	Self      bool    `xml:"self" json:"self"`
	Leader    bool    `xml:"leader" json:"leader"`
	Learner   bool    `xml:"learner" json:"learner"`
	Reachable bool    `xml:"reachable" json:"reachable"`
	Lag       uint64  `xml:"lag" json:"lag"`
	Clock     float64 `xml:"clockSecondsAhead" json:"clockSecondsAhead"`

	ClientSessions int      `xml:"clientSessions" json:"clientSessions"`
	CallBridges    []string `xml:"callBridges>name" json:"callBridges"`
}

// databaseAnswer is /system/database, the Call Bridges' data. Trouble, why it
// takes no changes, the original did not have.
type databaseAnswer struct {
	XMLName xml.Name `xml:"database" json:"-"`
	// Clustered is "enabled", "client" of a node that uses a cluster without a
	// copy, or "disabled".
	Clustered string               `xml:"clustered" json:"clustered"`
	Trouble   string               `xml:"trouble,omitempty" json:"trouble,omitempty"`
	Nodes     []databaseNodeAnswer `xml:"cluster>node" json:"cluster"`
}

type databaseNodeAnswer struct {
	Hostname string `xml:"hostname" json:"hostname"`
	Up       bool   `xml:"up" json:"up"`
	// Behind is how many changes it has yet to take, 0 in sync, -1 unknown, as
	// it is without a primary.
	Behind int64 `xml:"syncBehind" json:"syncBehind"`
	Master bool  `xml:"master" json:"master"`
}

// linkAnswer is /system/configuration/xmpp.
type linkAnswer struct {
	XMLName    xml.Name `xml:"xmpp" json:"-"`
	UniqueName string   `xml:"uniqueName" json:"uniqueName"`
	Domain     string   `xml:"domain" json:"domain"`
	Server     string   `xml:"serverAddressOverride" json:"serverAddressOverride"`
}

// alarmsAnswer is /system/alarms.
type alarmsAnswer struct {
	XMLName xml.Name      `xml:"alarms" json:"-"`
	Total   int           `xml:"total,attr" json:"total"`
	Alarms  []alarmAnswer `xml:"alarm" json:"alarms"`
}

type alarmAnswer struct {
	ID            string `xml:"id,attr" json:"id"`
	Type          string `xml:"type" json:"type"`
	ActiveSeconds int64  `xml:"activeTimeSeconds" json:"activeTimeSeconds"`
	Message       string `xml:"message" json:"message"`
	Hint          string `xml:"hint,omitempty" json:"hint,omitempty"`
}

// xmppFault is the key of the Call Bridge's fault, which the original's API
// has a type for. Others have their key for a type.
const xmppFault = "callbridge.xmpp"

func alarmType(f eventlogapi.Fault) string {
	if f.Key == xmppFault {
		return "xmppRegistrationFailure"
	}
	return f.Key
}

// idOf is the UUID that stands for a name of a kind, the same on each node.
func idOf(kind, name string) string {
	return uuid.NewHash(sha256.New(), uuid.NameSpaceURL, []byte("parley:"+kind+":"+name), 8).String()
}

func (s *Server) apiStatus(r *http.Request, _ files.Who) (any, error) {
	ctx, cancel := brief(r)
	defer cancel()
	sys, err := s.deps.Init.Status(ctx)
	if err != nil {
		return nil, err
	}
	now := s.deps.Now()
	a := &statusAnswer{
		SoftwareVersion: sys.Version, UptimeSeconds: int64(max(0, now.Sub(sys.Booted)) / time.Second),
		CDRTime: now.UTC().Format(time.RFC3339), Activated: true,
	}
	// A monitor that asks how this node is must get an answer when a part of
	// it is not there.
	if x, err := s.deps.XMPP.Status(ctx); err == nil {
		a.ClusterEnabled = x.Clustered
	}
	b, err := s.deps.CallBridge.Status(ctx)
	a.XMPPConnection, a.XMPPConnectionReason = string(b.State), string(b.Reason)
	if err != nil {
		a.XMPPConnection, a.XMPPConnectionReason = "unknown", s.explain(err)
	}
	return a, nil
}

func (s *Server) apiXMPP(r *http.Request, _ files.Who) (any, error) {
	ctx, cancel := brief(r)
	defer cancel()
	x, err := s.deps.XMPP.Status(ctx)
	if err != nil {
		return nil, err
	}
	c, err := s.deps.XMPP.Cluster(ctx)
	if err != nil {
		return nil, err
	}
	a := &xmppAnswer{
		Running: x.Running, Trouble: x.Trouble, ClientSessions: x.Sessions, CallBridges: x.Components, Accounts: x.Accounts,
		MessagesWaiting: x.Pending, Clustered: c.Member, LeaderKnown: c.Leader, Margin: c.Margin, Nodes: []nodeAnswer{},
	}
	if c.Member {
		a.State = c.State
	}
	for _, n := range c.Nodes {
		a.Nodes = append(a.Nodes, nodeAnswer{n.Address, n.Self, n.Leader, n.Learner, n.Self || n.Reachable, n.Lag, n.Clock.Seconds(), n.Sessions, append([]string{}, n.CallBridges...)})
	}
	return a, nil
}

// clustered is what the original calls the modes.
var clustered = map[databaseapi.Mode]string{databaseapi.Alone: "disabled", databaseapi.Member: "enabled", databaseapi.Connected: "client"}

func (s *Server) apiDatabase(r *http.Request, _ files.Who) (any, error) {
	ctx, cancel := brief(r)
	defer cancel()
	d, err := s.deps.Database.Status(ctx)
	if err != nil {
		return nil, err
	}
	a := &databaseAnswer{Clustered: clustered[d.Mode], Trouble: d.Trouble, Nodes: []databaseNodeAnswer{}}
	for _, n := range d.Nodes {
		behind := int64(-1)
		if n.Connected && d.InUse != "" {
			behind = int64(n.Behind)
		}
		a.Nodes = append(a.Nodes, databaseNodeAnswer{Hostname: n.Address, Up: n.Connected, Behind: behind, Master: n.Primary})
	}
	return a, nil
}

func (s *Server) apiAlarms(r *http.Request, _ files.Who) (any, error) {
	ctx, cancel := brief(r)
	defer cancel()
	faults, err := s.deps.Events.Faults(ctx)
	if err != nil {
		return nil, err
	}
	from, to, err := window(r, len(faults))
	if err != nil {
		return nil, err
	}
	a := &alarmsAnswer{Total: len(faults), Alarms: []alarmAnswer{}}
	for _, f := range faults[from:to] {
		a.Alarms = append(a.Alarms, alarmAnswer{
			ID: idOf("alarm", f.Key), Type: alarmType(f), Message: f.Message, Hint: f.Hint,
			ActiveSeconds: int64(max(0, s.deps.Now().Sub(f.Since)) / time.Second),
		})
	}
	return a, nil
}

// encode writes an answer as the request accepts it; nil is an empty body.
func encode(w http.ResponseWriter, r *http.Request, status int, answer any) {
	if answer == nil {
		w.WriteHeader(status)
		return
	}
	if strings.Contains(r.Header.Get("Accept"), "application/json") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(answer)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(`<?xml version="1.0"?>` + "\n"))
	_ = xml.NewEncoder(w).Encode(answer)
}

// MarshalXML writes failureDetails with one element, as the original does.
func (f *failure) MarshalXML(e *xml.Encoder, _ xml.StartElement) error {
	outer := xml.StartElement{Name: xml.Name{Local: "failureDetails"}}
	inner := xml.StartElement{Name: xml.Name{Local: f.tag}}
	if f.parameter != "" {
		inner.Attr = append(inner.Attr, xml.Attr{Name: xml.Name{Local: "parameter"}, Value: f.parameter})
	}
	if f.detail != "" {
		inner.Attr = append(inner.Attr, xml.Attr{Name: xml.Name{Local: "error"}, Value: f.detail})
	}
	for _, t := range []xml.Token{outer, inner, inner.End(), outer.End()} {
		if err := e.EncodeToken(t); err != nil {
			return err
		}
	}
	return nil
}

// MarshalJSON is the same for JSON.
func (f *failure) MarshalJSON() ([]byte, error) {
	attributes := map[string]string{}
	if f.parameter != "" {
		attributes["parameter"] = f.parameter
	}
	if f.detail != "" {
		attributes["error"] = f.detail
	}
	return json.Marshal(map[string]any{"failureDetails": map[string]any{f.tag: attributes}})
}
