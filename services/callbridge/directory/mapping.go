package directory

import (
	"strings"

	"github.com/go-ldap/ldap/v3"

	"parley/services/xmpp/jid"
)

// mapping makes a text of an entry: its parts are, in turn, text as it stands
// and the name of an attribute whose first value is put there.
type mapping []string

// readMapping reads a mapping like "$givenName$ $sn$". Where it cannot, reason
// says why.
func readMapping(text string) (m mapping, reason string) {
	m = strings.Split(text, "$")
	if len(m)%2 == 0 {
		return nil, "attributes stand between two $, as in $cn$"
	}
	for _, a := range m.attributes() {
		if strings.Contains(a, "|") {
			return nil, "it may hold attributes, as in $cn$, but no regular expressions"
		}
		if !isAttribute(a) {
			return nil, "'" + short(a) + "' is no attribute; they are like $cn$"
		}
	}
	return m, ""
}

// isAttribute says whether s is the short name of an attribute (RFC 4512 §1.4).
func isAttribute(s string) bool {
	for i, r := range s {
		letter := r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r != '-' && (r < '0' || r > '9')) {
			return false
		}
	}
	return s != ""
}

// attributes are those that the mapping names.
func (m mapping) attributes() []string {
	var as []string
	for i := 1; i < len(m); i += 2 {
		as = append(as, m[i])
	}
	return as
}

// text is what m makes of e; attributes that e lacks are left out.
func (m mapping) text(e *ldap.Entry) string {
	var b strings.Builder
	for i, part := range m {
		if i%2 == 1 {
			part = e.GetEqualFoldAttributeValue(part)
		}
		b.WriteString(part)
	}
	return strings.Join(strings.Fields(short(b.String())), " ")
}

// userMapping makes user names of entries, and filters that find them again. A
// name is the local part of what is written: both "$uid$@example.com" and
// "$mail$" may be given. Each value of the attribute is a name.
type userMapping struct {
	prefix, attribute, suffix string
	// domain says that the mapping has a domain part itself, so that values
	// with one are no names.
	domain bool
}

// readUserMapping reads a mapping with one attribute.
func readUserMapping(text string) (u userMapping, reason string) {
	m, reason := readMapping(text)
	if reason != "" {
		return u, reason
	}
	if len(m) != 3 {
		return u, "it names one attribute, as in $sAMAccountName$ or $uid$"
	}
	if strings.Contains(m[0], "@") {
		return u, "the attribute stands before the @, as in $uid$@example.com"
	}
	u.prefix, u.attribute = strings.ToLower(m[0]), m[1]
	u.suffix, _, u.domain = strings.Cut(strings.ToLower(m[2]), "@")
	if rest := u.prefix + u.suffix; rest != "" {
		if p, err := jid.Local(rest); err != nil || p != rest {
			return u, "'" + short(rest) + "' cannot be in a chat address"
		}
	}
	return u, ""
}

// names returns the names of e that XMPP can have. Where it has none of them,
// unfit is what it has instead, "" for nothing.
func (u userMapping) names(e *ldap.Entry) (names []string, unfit string) {
	for _, v := range e.GetEqualFoldAttributeValues(u.attribute) {
		local, _, at := strings.Cut(v, "@")
		if !at {
			local += u.suffix
		}
		name, err := jid.Local(u.prefix + local)
		if err == nil && !(at && u.domain) {
			names = append(names, name)
		} else if unfit == "" {
			unfit = v
		}
	}
	if len(names) > 0 {
		unfit = ""
	}
	return names, unfit
}

// filters are for finding who has the prepared name user, in the order in which
// they are to be tried. They may find others too: see names. The second is only
// for values with a domain, which servers seldom have an index for.
func (u userMapping) filters(user string) []string {
	rest, ok := strings.CutPrefix(user, u.prefix)
	if !ok || rest == "" {
		return nil
	}
	var fs []string
	if value, ok := strings.CutSuffix(rest, u.suffix); ok && value != "" {
		fs = append(fs, "("+u.attribute+"="+ldap.EscapeFilter(value)+")")
	}
	if !u.domain {
		fs = append(fs, "("+u.attribute+"="+ldap.EscapeFilter(rest)+"@*)")
	}
	return fs
}
