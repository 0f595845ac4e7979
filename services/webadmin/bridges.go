package webadmin

import (
	"encoding/xml"
	"net/http"
	"strings"

	"parley/services/files"
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
	return bridgeAnswer{ID: idOf("callbridge", b.Name), Name: b.Name, Connected: b.Connected}
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

// bridgeParameters are those of a request. The original's address and sipDomain
// are for calls between Call Bridges, and there are none here: nobody would
// read them, so they are not taken.
func bridgeParameters(r *http.Request) (name, secret string, err error) {
	if r.ParseForm() != nil {
		return "", "", &failure{tag: "parameterError", detail: "the body is not application/x-www-form-urlencoded"}
	}
	for parameter, values := range r.PostForm {
		switch parameter {
		case "name", "sharedSecret":
		case "address", "sipDomain":
			if strings.Join(values, "") != "" {
				return "", "", &failure{tag: "parameterError", parameter: parameter, detail: "it is for calls between Call Bridges, which there are none of here; leave it out"}
			}
		default:
			return "", "", &failure{tag: "parameterError", parameter: parameter, detail: "there is no such parameter"}
		}
	}
	return strings.ToLower(strings.TrimSpace(r.PostForm.Get("name"))), strings.TrimSpace(r.PostForm.Get("sharedSecret")), nil
}

// addAPIBridge registers a Call Bridge, with a new secret where none is given.
// The secret is not in the answer: 'xmpp callbridge list' shows it.
func (s *Server) addAPIBridge(r *http.Request, who files.Who) (any, error) {
	name, secret, err := bridgeParameters(r)
	if err != nil {
		return nil, err
	}
	if name == "" {
		return nil, &failure{tag: "parameterError", parameter: "name", detail: "it is missing"}
	}
	command := "xmpp callbridge add "
	if secret != "" {
		command = "xmpp callbridge add-secret "
	}
	if err := s.audit(who, command+name); err != nil {
		return nil, err
	}
	ctx, cancel := brief(r)
	defer cancel()
	b, err := s.deps.XMPP.AddCallBridge(ctx, name, secret)
	if err != nil {
		return nil, bridgeFailure(err)
	}
	return &created{apiPath + "callBridges/" + idOf("callbridge", b.Name)}, nil
}

// setAPIBridge takes what is so already. A Call Bridge is known by its name, and
// a new secret would end the connection that there is: both are a new one.
func (s *Server) setAPIBridge(r *http.Request, _ files.Who) (any, error) {
	b, err := s.bridgeOfPath(r)
	if err != nil {
		return nil, err
	}
	name, secret, err := bridgeParameters(r)
	switch {
	case err != nil:
		return nil, err
	case name != "" && name != b.Name:
		return nil, &failure{tag: "parameterError", parameter: "name", detail: "a Call Bridge keeps its name; make another, and delete this one"}
	case secret != "":
		return nil, &failure{tag: "parameterError", parameter: "sharedSecret", detail: "a Call Bridge keeps its secret; delete it, and make it again"}
	}
	return nil, nil
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
	ctx, cancel := brief(r)
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
