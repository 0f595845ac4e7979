package callbridge

import (
	"net"
	"net/netip"
	"strconv"
	"strings"

	"parley/services/config"
	"parley/services/problem"
	"parley/services/xmpp/jid"
)

// CheckLink says whether the values of the form "XMPP server settings" are such
// as can be meant; empty ones are. Its problems name the command that sets the
// value.
func CheckLink(l config.BridgeLink) error {
	if l.Name != "" {
		if err := checkName(l.Name); err != nil {
			return err
		}
	}
	if l.Domain != "" {
		d, err := jid.Domain(l.Domain)
		if _, isAddr := netip.ParseAddr(strings.Trim(l.Domain, "[]")); err != nil || d != l.Domain || isAddr == nil || !isHost(d) || !strings.Contains(d, ".") {
			return problem.New(problem.LinkDomain, "domain", l.Domain)
		}
	}
	if l.Server != "" {
		if _, err := parseServer(l.Server); err != nil {
			return err
		}
	}
	unprintable := func(r rune) bool { return r <= ' ' || r > '~' }
	if s := l.Secret.Reveal(); s != "" && (len(s) < 8 || len(s) > 200 || strings.ContainsFunc(s, unprintable)) {
		return problem.New(problem.BridgeSecret, "name", l.Name)
	}
	return nil
}

// checkName takes one label, as the XMPP server does.
func checkName(name string) error {
	if strings.Contains(name, ".") || len(name) > 63 || strings.Trim(name, "-") != name ||
		strings.Trim(strings.ToLower(name), "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return problem.New(problem.BridgeName, "name", name)
	}
	return nil
}

// parseServer reads host[:port]; an IPv6 address with a port has brackets.
func parseServer(s string) (target, error) {
	bad := problem.New(problem.LinkServer, "server", s)
	t := target{name: s, port: componentPort}
	if a, ok := literal(s); ok {
		t.name = a.String()
	} else if host, port, err := net.SplitHostPort(s); err == nil {
		n, err := strconv.ParseUint(port, 10, 16)
		if err != nil || n == 0 {
			return target{}, bad
		}
		t.name, t.port = host, uint16(n)
	}
	t.name = strings.ToLower(strings.TrimSuffix(t.name, "."))
	if a, err := netip.ParseAddr(t.name); err == nil {
		// A zone is a name of an interface, with any text in it.
		if a.IsUnspecified() || a.IsMulticast() || a.Zone() != "" {
			return target{}, bad
		}
		return t, nil
	}
	if !isHost(t.name) {
		return target{}, bad
	}
	return t, nil
}

// literal reads an address; an IPv6 one may have brackets.
func literal(s string) (netip.Addr, bool) {
	inner, bracketed := strings.CutPrefix(s, "[")
	if bracketed {
		var closed bool
		if inner, closed = strings.CutSuffix(inner, "]"); !closed {
			return netip.Addr{}, false
		}
	}
	a, err := netip.ParseAddr(inner)
	return a, err == nil && (!bracketed || a.Is6())
}

// isHost says whether a name may be one of the DNS. None ends in a number: that
// was to be an address.
func isHost(name string) bool {
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || strings.HasPrefix(l, "-") || strings.HasSuffix(l, "-") ||
			strings.Trim(strings.ToLower(l), "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return len(name) <= 253 && strings.Trim(labels[len(labels)-1], "0123456789") != ""
}
