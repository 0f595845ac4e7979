package webadmin

import (
	"context"
	"strings"

	"parley/services/callbridge"
	"parley/services/config"
	"parley/services/files"
	"parley/services/problem"
)

// wrongField is a problem with one field of a form, or parameter of the API.
type wrongField struct {
	field string
	err   error
}

func (e *wrongField) Error() string { return e.field + ": " + e.err.Error() }
func (e *wrongField) Unwrap() error { return e.err }

// The fields of the form "XMPP server settings".
const (
	fieldName   = "name"
	fieldDomain = "domain"
	fieldServer = "server"
	fieldSecret = "secret"
)

// checkLink says whether a Call Bridge could connect by l, and which field is
// wrong; an empty one is that it shall not. label is how a field is called.
func checkLink(l config.BridgeLink, label func(field string) string) error {
	if l == (config.BridgeLink{}) {
		return nil
	}
	missing := func(field string) error {
		return &wrongField{field, problem.New(problem.FieldMissing, "field", label(field))}
	}
	switch {
	case l.Name == "":
		return missing(fieldName)
	case l.Domain == "":
		return missing(fieldDomain)
	}
	for _, part := range []struct {
		field string
		link  config.BridgeLink
	}{
		{fieldName, config.BridgeLink{Name: l.Name}},
		{fieldDomain, config.BridgeLink{Domain: l.Domain}},
		{fieldServer, config.BridgeLink{Server: l.Server}},
		{fieldSecret, config.BridgeLink{Name: l.Name, Secret: l.Secret}},
	} {
		if err := callbridge.CheckLink(part.link); err != nil {
			return &wrongField{part.field, err}
		}
	}
	return nil
}

// complete says that all is there that a connection needs.
func complete(l config.BridgeLink) bool { return l.Name != "" && l.Domain != "" && l.Secret != "" }

// withSecret is l with a secret. An empty one leaves the one that there is: who
// does not know it cannot repeat it. It goes with all else.
func withSecret(l config.BridgeLink, secret config.Secret) config.BridgeLink {
	switch {
	case secret != "":
		l.Secret = secret
	case l.Name == "" && l.Domain == "" && l.Server == "":
		l.Secret = ""
	}
	return l
}

// setLink changes what the Call Bridge connects by. The first time that it is
// complete enables the Call Bridge: who fills in the form wants it to connect,
// and whoever has disabled it since is not overruled.
func (s *Server) setLink(ctx context.Context, who files.Who, label func(field string) string, change func(*config.BridgeLink)) error {
	return s.deps.Config.Transact(func(d *config.Document) error {
		old := d.CallBridge
		l := &d.CallBridge.XMPP
		change(l)
		l.Name, l.Domain, l.Server = strings.ToLower(l.Name), strings.ToLower(l.Domain), strings.ToLower(l.Server)
		if err := checkLink(*l, label); err != nil {
			return err
		}
		if !complete(old.XMPP) && complete(*l) {
			d.CallBridge.Enabled = true
		}
		for _, c := range linkCommands(old, d.CallBridge) {
			if err := s.audit(who, c); err != nil {
				return err
			}
		}
		return nil
	}, func() error { return s.deps.CallBridge.Reload(ctx) })
}

// linkCommands are the console's that would have changed the same; audit lines
// are then alike, whichever way was taken.
func linkCommands(old, next config.CallBridge) []string {
	var all []string
	say := func(what, before, after string) {
		switch {
		case before == after:
		case after == "":
			all = append(all, "callbridge xmpp "+what+" none")
		default:
			all = append(all, "callbridge xmpp "+what+" "+after)
		}
	}
	say("name", old.XMPP.Name, next.XMPP.Name)
	say("domain", old.XMPP.Domain, next.XMPP.Domain)
	say("server", old.XMPP.Server, next.XMPP.Server)
	if old.XMPP.Secret != next.XMPP.Secret {
		all = append(all, "callbridge xmpp secret")
	}
	if !old.Enabled && next.Enabled {
		all = append(all, "callbridge enable")
	}
	return all
}
