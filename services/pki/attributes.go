package pki

import (
	"crypto/x509/pkix"
	"encoding/asn1"
	"net"
	"net/netip"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"parley/services/problem"
)

// Attributes is what a certificate is asked for.
type Attributes struct {
	Subject pkix.Name
	DNS     []string
	IPs     []net.IP
	Emails  []string
	// KeyType is one of KeyTypes; the first where it was not given.
	KeyType string
}

// KeyTypes are the keys that can be made; the first is made unless another is
// asked for.
var KeyTypes = []string{"rsa-2048", "rsa-3072", "rsa-4096", "ecdsa-p256", "ecdsa-p384"}

// AttributeNames are the names before the colon, for help and completion.
var AttributeNames = []string{"CN", "OU", "O", "L", "ST", "C", "emailAddress", "subjectAltName", "keyType"}

var oidEmail = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 9, 1}

// ParseAttributes reads arguments like CN:example.com and
// subjectAltName:a.example.com,10.0.0.1 (also spelt subAltName). Names are
// those of AttributeNames, in any case. CN is required, and also becomes a
// subject alternative name where it can be one: clients look at nothing else
// (RFC 6125 §6.4.4).
func ParseAttributes(args []string) (Attributes, error) {
	var a Attributes
	seen := map[string]bool{}
	for _, arg := range args {
		name, value, ok := strings.Cut(arg, ":")
		if !ok {
			return a, problem.New(problem.PKIAttribute, "attribute", arg, "names", strings.Join(AttributeNames, ", "))
		}
		name = strings.ToLower(name)
		if name == "subaltname" {
			name = "subjectaltname"
		}
		if seen[name] && name != "ou" && name != "subjectaltname" {
			return a, invalid(arg, "it is given twice")
		}
		seen[name] = true
		if err := a.set(name, value, arg); err != nil {
			return a, err
		}
	}
	cn := a.Subject.CommonName
	if cn == "" {
		return a, problem.New(problem.PKINoCN)
	}
	if dns := strings.ToLower(cn); validDNS(dns) && !slices.Contains(a.DNS, dns) {
		a.DNS = slices.Insert(a.DNS, 0, dns)
	}
	if a.KeyType == "" {
		a.KeyType = KeyTypes[0]
	}
	return a, nil
}

func (a *Attributes) set(name, value, arg string) error {
	limit := 64 // ub-common-name and its like, RFC 5280 appendix A
	switch name {
	case "l", "st":
		limit = 128
	case "emailaddress":
		limit = 255
	case "subjectaltname":
		limit = 8192
	}
	switch {
	case value == "":
		return invalid(arg, "the value is missing")
	case len(value) > limit:
		return invalid(arg, "the value is too long")
	case !utf8.ValidString(value) || strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }):
		return invalid(arg, "the value holds unprintable characters")
	}
	switch name {
	case "cn":
		a.Subject.CommonName = value
	case "ou":
		a.Subject.OrganizationalUnit = append(a.Subject.OrganizationalUnit, value)
	case "o":
		a.Subject.Organization = []string{value}
	case "l":
		a.Subject.Locality = []string{value}
	case "st":
		a.Subject.Province = []string{value}
	case "c":
		value = strings.ToUpper(value)
		if len(value) != 2 || strings.Trim(value, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
			return invalid(arg, "a country has two letters, as DE")
		}
		a.Subject.Country = []string{value}
	case "emailaddress":
		if !validEmail(value) {
			return invalid(arg, "this is no mail address")
		}
		// IA5String, as PKCS #9 has it, which a Go string does not become by itself.
		a.Subject.ExtraNames = append(a.Subject.ExtraNames, pkix.AttributeTypeAndValue{
			Type: oidEmail, Value: asn1.RawValue{Tag: asn1.TagIA5String, Bytes: []byte(value)},
		})
	case "subjectaltname":
		for _, entry := range strings.Split(value, ",") {
			if err := a.addName(entry, arg); err != nil {
				return err
			}
		}
	case "keytype":
		if !slices.Contains(KeyTypes, strings.ToLower(value)) {
			return invalid(arg, "key types are "+strings.Join(KeyTypes, ", "))
		}
		a.KeyType = strings.ToLower(value)
	default:
		return problem.New(problem.PKIAttribute, "attribute", arg, "names", strings.Join(AttributeNames, ", "))
	}
	return nil
}

// addName takes one subject alternative name, alone or like DNS:name, IP:addr
// or email:addr as openssl has them.
func (a *Attributes) addName(entry, arg string) error {
	if entry == "" {
		return invalid(arg, "a name is missing between commas; write them without blanks")
	}
	tag, value, tagged := strings.Cut(entry, ":")
	tag = strings.ToLower(tag)
	if !tagged || tag != "dns" && tag != "ip" && tag != "email" {
		tag, value = "", entry
	}
	if ip, err := netip.ParseAddr(value); err == nil && ip.Zone() == "" && (tag == "" || tag == "ip") {
		if std := net.IP(ip.AsSlice()); !slices.ContainsFunc(a.IPs, std.Equal) {
			a.IPs = append(a.IPs, std)
		}
		return nil
	}
	if validEmail(value) && (tag == "" || tag == "email") {
		a.Emails = append(a.Emails, value)
		return nil
	}
	dns := strings.ToLower(value)
	if !validDNS(dns) || tag == "ip" || tag == "email" {
		return invalid(arg, "'"+entry+"' is neither a DNS name nor an address")
	}
	if !slices.Contains(a.DNS, dns) {
		a.DNS = append(a.DNS, dns)
	}
	return nil
}

// validDNS: labels of letters, digits and inner dashes, the first maybe "*";
// at most 253 characters; the last not all digits, which would be an address.
func validDNS(name string) bool {
	if len(name) > 253 {
		return false
	}
	labels := strings.Split(strings.TrimPrefix(name, "*."), ".")
	for _, l := range labels {
		if l == "" || len(l) > 63 || l[0] == '-' || l[len(l)-1] == '-' ||
			strings.Trim(l, "abcdefghijklmnopqrstuvwxyz0123456789-_") != "" {
			return false
		}
	}
	return strings.Trim(labels[len(labels)-1], "0123456789") != ""
}

func validEmail(s string) bool {
	local, domain, ok := strings.Cut(s, "@")
	return ok && local != "" && !strings.ContainsFunc(local, func(r rune) bool { return r <= ' ' || r > '~' }) &&
		!strings.HasPrefix(domain, "*") && validDNS(strings.ToLower(domain))
}

func invalid(arg, why string) error {
	return problem.New(problem.PKIAttributeValue, "attribute", arg, "why", why)
}
