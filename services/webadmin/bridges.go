package webadmin

import (
	"context"
	"encoding/xml"
	"fmt"
	"net/http"
	"strings"

	"parley/services/files"
	"parley/services/journal"
	"parley/services/problem"
	"parley/services/xmpp/xmppapi"
)

// bridgesAnswer is /callBridges, those that are registered at the XMPP server.
type bridgesAnswer struct {
	XMLName xml.Name       `xml:"callBridges" json:"-"`
	Total   int            `xml:"total,attr" json:"total"`
	Bridges []bridgeAnswer `xml:"callBridge" json:"callBridges"`
}

type bridgeAnswer struct {
	XMLName   xml.Name `xml:"callBridge" json:"-"`
	ID        string   `xml:"id,attr" json:"id"`
	Name      string   `xml:"name" json:"name"`
	Address   string   `xml:"address,omitempty" json:"address,omitempty"`
	SIPDomain string   `xml:"sipDomain,omitempty" json:"sipDomain,omitempty"`
	Connected bool     `xml:"connected" json:"connected"`
}

// bridges are the registered Call Bridges as the API tells of them, which is
// without their secrets.
func (s *Server) bridges(r *http.Request) ([]bridgeAnswer, error) {
	ctx, cancel := brief(r)
	defer cancel()
	list, err := s.deps.XMPP.CallBridges(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]bridgeAnswer, len(list))
	for i, b := range list {
		out[i] = bridgeOf(b)
	}
	return out, nil
}

func bridgeOf(b xmppapi.CallBridge) bridgeAnswer {
	return bridgeAnswer{
		ID: idOf("callbridge", b.Name), Name: b.Name, Connected: b.Connected,
		Address: b.Description.Address, SIPDomain: b.Description.SIPDomain,
	}
}

func (s *Server) apiBridges(r *http.Request, _ files.Who) (any, error) {
	list, err := s.bridges(r)
	if err != nil {
		return nil, err
	}
	if filter := r.FormValue("filter"); filter != "" {
		kept := list[:0]
		for _, b := range list {
			if strings.Contains(strings.ToLower(b.Name), strings.ToLower(filter)) {
				kept = append(kept, b)
			}
		}
		list = kept
	}
	from, to, err := window(r, len(list))
	if err != nil {
		return nil, err
	}
	return &bridgesAnswer{Total: len(list), Bridges: list[from:to]}, nil
}

func (s *Server) apiBridge(r *http.Request, _ files.Who) (any, error) {
	b, err := s.bridgeOfPath(r)
	if err != nil {
		return nil, err
	}
	return b, nil
}

// bridgeOfPath is the one whose ID is in the path.
func (s *Server) bridgeOfPath(r *http.Request) (*bridgeAnswer, error) {
	list, err := s.bridges(r)
	if err != nil {
		return nil, err
	}
	for _, b := range list {
		if b.ID == r.PathValue("id") {
			return &b, nil
		}
	}
	return nil, errNoBridge()
}

// created is the answer to a POST: nothing but where the new one is.
type created struct{ location string }

// bridgeParameters are those of a request.
type bridgeParameters struct {
	name, secret string
	// address and sipDomain are what the original has for calls between Call
	// Bridges, nil where they are not given. They are kept, and have no effect.
	address, sipDomain *string
}

func readBridge(r *http.Request) (p bridgeParameters, err error) {
	if err := readParameters(r); err != nil {
		return p, err
	}
	for parameter, values := range r.PostForm {
		value := strings.TrimSpace(values[0])
		switch parameter {
		case "name":
			p.name = strings.ToLower(value)
		case "sharedSecret":
			p.secret = value
		case "address":
			p.address = &value
		case "sipDomain":
			p.sipDomain = &value
		default:
			return p, noParameter(parameter)
		}
		if len(value) > maxDescription || value != journal.Clean(value) {
			return p, &failure{tag: "parameterError", parameter: parameter, detail: fmt.Sprintf("it is longer than %d bytes, or has characters that cannot be printed", maxDescription)}
		}
	}
	return p, nil
}

// maxDescription bounds each parameter.
const maxDescription = 255

// describe keeps what p has of address and sipDomain, where that is new.
func (s *Server) describe(ctx context.Context, who files.Who, name string, now xmppapi.Description, p bridgeParameters) error {
	d := now
	if p.address != nil {
		d.Address = *p.address
	}
	if p.sipDomain != nil {
		d.SIPDomain = *p.sipDomain
	}
	if d == now {
		return nil
	}
	// There is no command for it.
	if err := s.audit(who, fmt.Sprintf("API callBridges/%s address=%q sipDomain=%q", name, d.Address, d.SIPDomain)); err != nil {
		return err
	}
	return bridgeFailure(s.deps.XMPP.DescribeCallBridge(ctx, name, d))
}

// addAPIBridge registers a Call Bridge, with a new secret where none is given.
// The secret is not in the answer: 'xmpp callbridge list' shows it.
func (s *Server) addAPIBridge(r *http.Request, who files.Who) (any, error) {
	p, err := readBridge(r)
	if err != nil {
		return nil, err
	}
	if p.name == "" {
		return nil, &failure{tag: "parameterError", parameter: "name", detail: "it is missing"}
	}
	command := "xmpp callbridge add "
	if p.secret != "" {
		command = "xmpp callbridge add-secret "
	}
	if err := s.audit(who, command+p.name); err != nil {
		return nil, err
	}
	ctx, cancel := patient(r)
	defer cancel()
	b, err := s.deps.XMPP.AddCallBridge(ctx, p.name, p.secret)
	if err != nil {
		return nil, bridgeFailure(err)
	}
	if err := s.describe(ctx, who, b.Name, xmppapi.Description{}, p); err != nil {
		return nil, err
	}
	return &created{apiPath + "callBridges/" + idOf("callbridge", b.Name)}, nil
}

// setAPIBridge changes what has no effect, and takes what is so already. A Call
// Bridge is known by its name, and a new secret would end the connection that
// there is: both are a new one.
func (s *Server) setAPIBridge(r *http.Request, who files.Who) (any, error) {
	b, err := s.bridgeOfPath(r)
	if err != nil {
		return nil, err
	}
	p, err := readBridge(r)
	switch {
	case err != nil:
		return nil, err
	case p.name != "" && p.name != b.Name:
		return nil, &failure{tag: "parameterError", parameter: "name", detail: "a Call Bridge keeps its name; make another, and delete this one"}
	case p.secret != "":
		return nil, &failure{tag: "parameterError", parameter: "sharedSecret", detail: "a Call Bridge keeps its secret; delete it, and make it again"}
	}
	ctx, cancel := patient(r)
	defer cancel()
	return nil, s.describe(ctx, who, b.Name, xmppapi.Description{Address: b.Address, SIPDomain: b.SIPDomain}, p)
}

// deleteAPIBridge ends the connection as well.
func (s *Server) deleteAPIBridge(r *http.Request, who files.Who) (any, error) {
	b, err := s.bridgeOfPath(r)
	if err != nil {
		return nil, err
	}
	if err := s.audit(who, "xmpp callbridge del "+b.Name); err != nil {
		return nil, err
	}
	ctx, cancel := patient(r)
	defer cancel()
	return nil, bridgeFailure(s.deps.XMPP.DelCallBridge(ctx, b.Name))
}

// bridgeFailure has the original's tags for what it has tags for.
func bridgeFailure(err error) error {
	switch problem.CodeOf(err) {
	case problem.BridgeExists:
		return &failure{tag: "duplicateCallBridgeName"}
	case problem.BridgeUnknown:
		return errNoBridge()
	case problem.BridgeName:
		return &failure{tag: "parameterError", parameter: "name", detail: problem.Text(err)}
	case problem.BridgeSecret:
		return &failure{tag: "parameterError", parameter: "sharedSecret", detail: problem.Text(err)}
	}
	return err
}

func errNoBridge() error { return &failure{tag: "callBridgeDoesNotExist"} }
