package account

import (
	"bytes"
	"crypto/rsa"
	"encoding/base64"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"

	"parley/services/problem"
)

// Key is an SSH public key that logs a user in.
type Key struct {
	// Type is the algorithm's name, as ssh-ed25519.
	Type string
	// Fingerprint is written like SHA256:….
	Fingerprint string
	Comment     string
}

const maxKeys = 20

// AddKey lets a user log in with the key in text: one line of an
// authorized_keys or .pub file, or a public key as PuTTYgen saves it (RFC 4716).
func (s *Store) AddKey(name, text string) (Key, error) {
	pub, comment, err := parseKey(text)
	if err != nil {
		return Key{}, err
	}
	line := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(pub)))
	if comment != "" {
		line += " " + comment
	}
	key := describe(pub, comment)
	return key, s.change(name, func(_ *document, r *record) error {
		if slices.ContainsFunc(r.Keys, func(l string) bool { return keyOf(l).Fingerprint == key.Fingerprint }) {
			return problem.New(problem.SSHKeyExists, "fingerprint", key.Fingerprint, "name", name)
		}
		if len(r.Keys) >= maxKeys {
			return problem.New(problem.SSHKeysFull, "name", name)
		}
		r.Keys = append(r.Keys, line)
		return nil
	})
}

// ListKeys returns a user's keys, the oldest first.
func (s *Store) ListKeys(name string) ([]Key, error) {
	d, err := s.load()
	if err != nil {
		return nil, err
	}
	r := d.Users[name]
	if r == nil {
		return nil, errUnknown(name)
	}
	var keys []Key
	for _, l := range r.Keys {
		keys = append(keys, keyOf(l))
	}
	return keys, nil
}

// DelKey removes the key of that fingerprint or comment.
func (s *Store) DelKey(name, id string) error {
	return s.change(name, func(_ *document, r *record) error {
		match := func(l string) bool {
			k := keyOf(l)
			return k.Fingerprint == id || k.Fingerprint == "SHA256:"+id || k.Comment != "" && k.Comment == id
		}
		n := len(r.Keys)
		r.Keys = slices.DeleteFunc(r.Keys, match)
		if len(r.Keys) == n {
			return problem.New(problem.SSHKeyUnknown, "key", id, "name", name)
		}
		return nil
	})
}

// MatchKey returns the user of that name if key is one of the user's. It
// proves nothing yet: SSH asks before the client has signed. When it has, call
// LoggedIn.
func (s *Store) MatchKey(name string, key ssh.PublicKey) (User, error) {
	d, err := s.load()
	if err != nil {
		return User{}, err
	}
	r := d.Users[name]
	if r == nil {
		return User{}, problem.New(problem.AccountDenied)
	}
	for _, l := range r.Keys {
		pub, _, _, _, err := ssh.ParseAuthorizedKey([]byte(l))
		if err == nil && bytes.Equal(pub.Marshal(), key.Marshal()) {
			return r.user(name), nil
		}
	}
	return User{}, problem.New(problem.AccountDenied)
}

func keyOf(line string) Key {
	pub, comment, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		return Key{Type: "unreadable", Comment: line}
	}
	return describe(pub, comment)
}

func describe(pub ssh.PublicKey, comment string) Key {
	return Key{Type: pub.Type(), Fingerprint: ssh.FingerprintSHA256(pub), Comment: comment}
}

func parseKey(text string) (pub ssh.PublicKey, comment string, err error) {
	invalid := problem.New(problem.SSHKeyInvalid)
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r", ""))
	var options []string
	var rest []byte
	switch {
	case len(text) > 32<<10:
		return nil, "", invalid
	case strings.Contains(text, "PRIVATE KEY") || strings.HasPrefix(text, "PuTTY-User-Key-File"):
		return nil, "", problem.New(problem.SSHKeyPrivate)
	case strings.HasPrefix(text, "---- BEGIN SSH2 PUBLIC KEY ----"):
		pub, comment, err = parseRFC4716(text)
	default:
		pub, comment, options, rest, err = ssh.ParseAuthorizedKey([]byte(text))
	}
	if err != nil || len(options) > 0 || len(bytes.TrimSpace(rest)) > 0 {
		return nil, "", invalid
	}
	comment = strings.Join(strings.Fields(strings.Map(printable, comment)), " ")
	if len(comment) > 100 {
		comment = comment[:100]
	}
	return pub, comment, strong(pub)
}

func printable(r rune) rune {
	if r < ' ' || r > '~' {
		return ' '
	}
	return r
}

// strong refuses what sshd would not accept at login either.
func strong(pub ssh.PublicKey) error {
	switch pub.Type() {
	case ssh.KeyAlgoED25519, ssh.KeyAlgoSKED25519, ssh.KeyAlgoSKECDSA256,
		ssh.KeyAlgoECDSA256, ssh.KeyAlgoECDSA384, ssh.KeyAlgoECDSA521:
		return nil
	case ssh.KeyAlgoRSA:
		if c, ok := pub.(ssh.CryptoPublicKey); ok {
			if k, ok := c.CryptoPublicKey().(*rsa.PublicKey); ok && k.N.BitLen() >= 2048 {
				return nil
			}
		}
	}
	return problem.New(problem.SSHKeyWeak, "type", pub.Type())
}

// parseRFC4716 reads the SECSH public key file format.
func parseRFC4716(text string) (ssh.PublicKey, string, error) {
	var comment string
	var body strings.Builder
	lines := strings.Split(text, "\n")
	for i := 1; i < len(lines); i++ {
		line := strings.TrimSpace(lines[i])
		if strings.HasPrefix(line, "---- END") {
			break
		}
		if tag, value, ok := strings.Cut(line, ":"); ok {
			// A header goes on in the next line after a backslash (§3.3).
			for strings.HasSuffix(value, `\`) && i+1 < len(lines) {
				i++
				value = strings.TrimSuffix(value, `\`) + strings.TrimSpace(lines[i])
			}
			if strings.EqualFold(strings.TrimSpace(tag), "comment") {
				comment = strings.Trim(strings.TrimSpace(value), `"`)
			}
			continue
		}
		body.WriteString(line)
	}
	raw, err := base64.StdEncoding.DecodeString(body.String())
	if err != nil {
		return nil, "", err
	}
	pub, err := ssh.ParsePublicKey(raw)
	return pub, comment, err
}
