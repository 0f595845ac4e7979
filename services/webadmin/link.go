package webadmin

import (
	"context"
	"net"
	"net/netip"
	"strconv"
	"strings"

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
// wrong; an empty one is that it shall not. The service itself checks as well.
func checkLink(l config.BridgeLink) error {
	if l == (config.BridgeLink{}) {
		return nil
	}
	missing := func(label string) error { return problem.New(problem.FieldMissing, "field", label) }
	switch {
	case l.Name == "":
		return &wrongField{fieldName, missing(english.text("general.name"))}
	case l.Domain == "":
		return &wrongField{fieldDomain, missing(english.text("general.domain"))}
	case !isLabel(l.Name) || strings.Contains(l.Name, "_"):
		return &wrongField{fieldName, problem.New(problem.BridgeName, "name", l.Name)}
	case l.Server != "" && !isServer(l.Server):
		return &wrongField{fieldServer, problem.New(problem.BridgeServer, "server", l.Server)}
	case l.Secret != "" && !isSecret(l.Secret.Reveal()):
		return &wrongField{fieldSecret, problem.New(problem.BridgeSecret, "name", l.Name)}
	}
	if reason := notDomain(l.Domain); reason != "" {
		return &wrongField{fieldDomain, problem.New(problem.DomainBad, "domain", l.Domain, "reason", reason)}
	}
	return nil
}

// isSecret: of a length that the XMPP server registers, and no more than what
// can be copied from a terminal.
func isSecret(s string) bool {
	return len(s) >= 8 && len(s) <= 200 && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// notDomain is why there cannot be an XMPP domain of that name, or "".
func notDomain(domain string) string {
	switch _, err := netip.ParseAddr(strings.Trim(domain, "[]")); {
	case err == nil:
		return "it is an address"
	case !isHost(domain):
		return "it is not a name in the DNS"
	case !strings.Contains(domain, "."):
		return "it has one label only"
	}
	return ""
}

// isServer says whether a server address is host or host:port; an IPv6 address
// with a port is in brackets.
func isServer(server string) bool {
	if isAddress(server) {
		return true
	}
	host, port, err := net.SplitHostPort(server)
	if err != nil {
		host, port = server, "1"
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return false
	}
	return isAddress(host) || isHost(strings.TrimSuffix(host, "."))
}

// isAddress: without a zone, which means an interface and may be any text.
func isAddress(s string) bool {
	a, err := netip.ParseAddr(s)
	return err == nil && a.Zone() == "" && !a.IsUnspecified() && !a.IsMulticast()
}

// isHost says whether a name may be one of the DNS. None ends in a number: that
// was to be an address.
func isHost(name string) bool {
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if !isLabel(l) {
			return false
		}
	}
	return len(name) <= 253 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

func isLabel(l string) bool {
	return l != "" && len(l) <= 63 && strings.Trim(l, "-") == l &&
		strings.Trim(strings.ToLower(l), "abcdefghijklmnopqrstuvwxyz0123456789-_") == ""
}

// complete says that all is there that a connection needs.
func complete(l config.BridgeLink) bool { return l.Name != "" && l.Domain != "" && l.Secret != "" }

// setLink changes what the Call Bridge connects by. The first time that it is
// complete enables the Call Bridge: who fills in the form wants it to connect,
// and whoever has disabled it since is not overruled.
func (s *Server) setLink(ctx context.Context, who files.Who, change func(*config.BridgeLink)) error {
	return s.deps.Config.Transact(func(d *config.Document) error {
		old := d.CallBridge
		l := &d.CallBridge.XMPP
		change(l)
		l.Name, l.Domain, l.Server = strings.ToLower(l.Name), strings.ToLower(l.Domain), strings.ToLower(l.Server)
		if err := checkLink(*l); err != nil {
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
