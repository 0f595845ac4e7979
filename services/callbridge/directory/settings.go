package directory

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"parley/services/config"
	"parley/services/problem"
)

// mode is how a connection is protected.
type mode string

// The modes, as the document has them.
const (
	startTLS mode = "starttls"
	ldaps    mode = "ldaps"
	noTLS    mode = "none"
)

// The names of the fields in Configuration > Active Directory.
const (
	fieldAddress     = "Address"
	fieldPort        = "Port"
	fieldTLS         = "TLS"
	fieldPassword    = "Password"
	fieldBase        = "Base distinguished name"
	fieldFilter      = "Filter"
	fieldUser        = "Username mapping"
	fieldDisplayName = "Display name"
)

// commands set the fields on the console.
var commands = map[string]string{
	fieldAddress: "callbridge directory address", fieldPort: "callbridge directory port", fieldTLS: "callbridge directory tls",
	fieldPassword: "callbridge directory password", fieldBase: "callbridge directory basedn", fieldFilter: "callbridge directory filter",
	fieldUser: "callbridge directory user", fieldDisplayName: "callbridge directory displayname",
}

// settings are a config.Directory that was checked and taken apart.
type settings struct {
	host, port  string
	mode        mode
	trust       string
	username    string
	password    config.Secret
	base        string
	filter      string
	user        userMapping
	displayName mapping
}

// address is host:port.
func (s *settings) address() string { return net.JoinHostPort(s.host, s.port) }

// CheckSettings says whether those of the settings that are set are such as can
// be meant; empty ones are.
func CheckSettings(c config.Directory) error {
	c.Address, c.BaseDN, c.User = cmp.Or(c.Address, "localhost"), cmp.Or(c.BaseDN, "dc=example"), cmp.Or(c.User, "$uid$")
	c.Password = cmp.Or(c.Password, "set")
	_, err := readSettings(c)
	return err
}

// CheckComplete returns a problem where something has yet to be set before the
// server can be asked.
func CheckComplete(c config.Directory) error {
	missing := func(what, command string) error {
		return problem.New(problem.DirectoryIncomplete, "missing", what, "command", command)
	}
	switch {
	case c.Address == "":
		return problem.New(problem.DirectoryUnset)
	case c.BaseDN == "":
		return missing(fieldBase, commands[fieldBase]+" <dn>")
	case c.User == "":
		return missing(fieldUser, commands[fieldUser]+" <mapping>")
	case c.Username != "" && c.Password == "":
		return missing(fieldPassword, commands[fieldPassword])
	}
	return nil
}

// Server is the address and port that c means, and how TLS is done there.
func Server(c config.Directory) (address, tls string) {
	c.BaseDN, c.User, c.Username = "dc=example", "$uid$", ""
	s, err := readSettings(c)
	if err != nil {
		return c.Address, c.TLS
	}
	return s.address(), string(s.mode)
}

// Source says what c lists: two that ask the same server for the same in the
// same way have the same.
func Source(c config.Directory) string {
	server, _ := Server(c)
	sum := sha256.New()
	for _, part := range []string{strings.ToLower(server), c.Username, c.BaseDN, c.Filter, c.User} {
		fmt.Fprintf(sum, "%d %s\n", len(part), part)
	}
	return hex.EncodeToString(sum.Sum(nil)[:8])
}

// readSettings takes the document's settings apart, or returns a problem.
func readSettings(c config.Directory) (settings, error) {
	bad := func(field, value, reason string) (settings, error) {
		return settings{}, problem.New(problem.DirectorySetting, "field", field, "value", short(value), "reason", reason, "command", commands[field])
	}
	s := settings{host: c.Address, mode: mode(c.TLS), trust: c.Trust, username: c.Username, password: c.Password, base: c.BaseDN, filter: c.Filter}
	if c.Address == "" {
		return settings{}, problem.New(problem.DirectoryUnset)
	}
	// An IPv6 address may be written as in a URL.
	host := c.Address
	if inner, ok := strings.CutPrefix(host, "["); ok && strings.HasSuffix(inner, "]") {
		host = strings.TrimSuffix(inner, "]")
	}
	if a, err := netip.ParseAddr(host); err == nil {
		s.host = a.String()
	} else if strings.ContainsAny(c.Address, ":/[] \t@") {
		return bad(fieldAddress, c.Address, "it is neither a host name nor an address, as in ldap.example.com")
	}
	if s.mode == "" {
		s.mode = startTLS
		if c.Port == 636 {
			s.mode = ldaps
		}
	}
	switch s.mode {
	case startTLS, noTLS:
		s.port = "389"
	case ldaps:
		s.port = "636"
	default:
		return bad(fieldTLS, c.TLS, "it is one of starttls, ldaps and none")
	}
	if c.Port < 0 || c.Port > 65535 {
		return bad(fieldPort, strconv.Itoa(c.Port), "ports are 1 to 65535, as a rule 389 or 636")
	}
	if c.Port != 0 {
		s.port = strconv.Itoa(c.Port)
	}
	if c.Username != "" && c.Password == "" {
		return bad(fieldPassword, "", "a server takes a user name without a password for nobody's")
	}
	if dn, err := ldap.ParseDN(c.BaseDN); err != nil || len(dn.RDNs) == 0 {
		return bad(fieldBase, c.BaseDN, "it is written like dc=example,dc=com")
	}
	if s.filter == "" {
		s.filter = "(objectClass=*)"
	}
	if _, err := ldap.CompileFilter(s.filter); err != nil {
		return bad(fieldFilter, c.Filter, "it is written like (&(objectClass=person)(mail=*)), with all its brackets")
	}
	var reason string
	if s.user, reason = readUserMapping(c.User); reason != "" {
		return bad(fieldUser, c.User, reason)
	}
	if s.displayName, reason = readMapping(c.DisplayName); reason != "" {
		return bad(fieldDisplayName, c.DisplayName, reason)
	}
	return s, nil
}
