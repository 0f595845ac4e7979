// Package jid is XMPP addresses as RFC 7622 has them: parsed and prepared, so
// that two addresses are the same exactly if their values are equal. It knows
// nothing of accounts or routing.
package jid

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/idna"
	"golang.org/x/text/secure/precis"
)

// Errors of Parse and New; each is a jid-malformed of RFC 6120 §8.3.3.8.
var (
	ErrLocal    = errors.New("local part not allowed")
	ErrDomain   = errors.New("domain part not allowed")
	ErrResource = errors.New("resource part not allowed")
)

// maxPart is the most octets of a part (RFC 7622 §3.1).
const maxPart = 1023

// JID is a prepared address. The zero JID is no address. JIDs may be compared
// with == and used as map keys.
type JID struct{ local, domain, resource string }

// Parse splits and prepares s. The first slash ends the bare JID, the first
// at-sign before it the local part.
func Parse(s string) (JID, error) {
	bare, resource, hasResource := strings.Cut(s, "/")
	if hasResource && resource == "" {
		return JID{}, fmt.Errorf("address %q: %w", s, ErrResource)
	}
	local, domain, hasLocal := strings.Cut(bare, "@")
	if !hasLocal {
		local, domain = "", bare
	} else if local == "" {
		return JID{}, fmt.Errorf("address %q: %w", s, ErrLocal)
	}
	return New(local, domain, resource)
}

// New prepares the parts; local and resource may be empty.
func New(local, domain, resource string) (JID, error) {
	domain, err := Domain(domain)
	if err != nil {
		return JID{}, err
	}
	if local != "" {
		if local, err = Local(local); err != nil {
			return JID{}, err
		}
	}
	if resource != "" {
		if resource, err = Resource(resource); err != nil {
			return JID{}, err
		}
	}
	return JID{local, domain, resource}, nil
}

// Local prepares a local part: UsernameCaseMapped less the characters that
// RFC 7622 §3.3.1 takes out.
func Local(s string) (string, error) {
	p := s
	if !plainLower(s) {
		var err error
		if p, err = precis.UsernameCaseMapped.String(s); err != nil {
			return "", fmt.Errorf("local part %q: %w", s, ErrLocal)
		}
	}
	if p == "" || len(p) > maxPart || strings.ContainsAny(p, `"&'/:<>@`) {
		return "", fmt.Errorf("local part %q: %w", s, ErrLocal)
	}
	return p, nil
}

// Domain prepares a domain part: an IP address, or a name in its U-label form
// without the final dot.
func Domain(s string) (string, error) {
	if inner, ok := strings.CutPrefix(s, "["); ok {
		a, err := netip.ParseAddr(strings.TrimSuffix(inner, "]"))
		if err != nil || !a.Is6() || !strings.HasSuffix(s, "]") {
			return "", fmt.Errorf("domain part %q: %w", s, ErrDomain)
		}
		return "[" + a.String() + "]", nil
	}
	if !utf8.ValidString(s) {
		return "", fmt.Errorf("domain part %q: %w", s, ErrDomain)
	}
	p := strings.TrimSuffix(s, ".")
	if !plainLower(p) || strings.Contains(p, "xn--") {
		var err error
		if p, err = idna.Lookup.ToUnicode(p); err != nil {
			return "", fmt.Errorf("domain part %q: %w", s, ErrDomain)
		}
	}
	if p == "" || len(p) > maxPart || strings.ContainsAny(p, "\"&'/:<>@ ") || strings.HasPrefix(p, ".") || strings.Contains(p, "..") {
		return "", fmt.Errorf("domain part %q: %w", s, ErrDomain)
	}
	return p, nil
}

// Resource prepares a resource part: OpaqueString.
func Resource(s string) (string, error) {
	p := s
	if !plainLower(s) {
		var err error
		if p, err = precis.OpaqueString.String(s); err != nil {
			return "", fmt.Errorf("resource part %q: %w", s, ErrResource)
		}
	}
	if p == "" || len(p) > maxPart {
		return "", fmt.Errorf("resource part %q: %w", s, ErrResource)
	}
	return p, nil
}

// plainLower says that s needs no preparing: nearly every address is so, and
// the profiles cost a hundred times as much.
func plainLower(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !(c >= 'a' && c <= 'z' || c >= '0' && c <= '9' || c == '.' || c == '-' || c == '_') {
			return false
		}
	}
	return s != ""
}

// Local returns the local part, "" where there is none.
func (j JID) Local() string { return j.local }

// Domain returns the domain part.
func (j JID) Domain() string { return j.domain }

// Resource returns the resource part, "" where there is none.
func (j JID) Resource() string { return j.resource }

// Bare returns j without its resource.
func (j JID) Bare() JID { return JID{j.local, j.domain, ""} }

// IsBare says that j has no resource.
func (j JID) IsBare() bool { return j.resource == "" }

// IsZero says that j is no address.
func (j JID) IsZero() bool { return j.domain == "" }

// WithResource returns j's bare JID with a resource, which is prepared.
func (j JID) WithResource(resource string) (JID, error) {
	r, err := Resource(resource)
	if err != nil {
		return JID{}, err
	}
	return JID{j.local, j.domain, r}, nil
}

// String is the address as it stands in a stanza; "" for the zero JID.
func (j JID) String() string {
	s := j.domain
	if j.local != "" {
		s = j.local + "@" + s
	}
	if j.resource != "" {
		s += "/" + j.resource
	}
	return s
}
