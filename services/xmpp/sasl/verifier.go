package sasl

import (
	"crypto/hmac"
	"crypto/pbkdf2"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"hash"
	"log/slog"
	"unicode/utf8"

	"github.com/xdg-go/stringprep"
	"golang.org/x/text/secure/precis"
)

// Errors of NewVerifiers and UnmarshalBinary.
var (
	ErrPassword = errors.New("password not allowed: empty, with control characters, or not UTF-8")
	ErrVerifier = errors.New("verifier not readable")
)

// Iterations of PBKDF2 for new verifiers, the least that RFC 5802 and RFC 7677
// recommend. The client pays for them at each login.
const Iterations = 4096

// saltSize in bytes.
const saltSize = 16

// Verifier is what SCRAM keeps in place of a password, for one hash. Neither
// the password nor a way to log in follows from it without guessing.
type Verifier struct {
	Salt       []byte `json:"salt"`
	Iterations int    `json:"iterations"`
	StoredKey  []byte `json:"stored_key"`
	ServerKey  []byte `json:"server_key"`
}

// Verifiers are an account's, one for each hash that is offered.
type Verifiers struct {
	SHA1   Verifier `json:"sha1"`
	SHA256 Verifier `json:"sha256"`
}

// String hides the keys from fmt.
func (Verifiers) String() string { return "***" }

// LogValue hides the keys from slog.
func (Verifiers) LogValue() slog.Value { return slog.StringValue("***") }

// NewVerifiers derives the verifiers of a password with fresh salts.
func NewVerifiers(password string) (Verifiers, error) {
	p, err := prepare(password)
	if err != nil {
		return Verifiers{}, err
	}
	salts := make([]byte, 2*saltSize)
	rand.Read(salts)
	return Verifiers{
		SHA1:   derive(sha1.New, p, salts[:saltSize:saltSize], Iterations),
		SHA256: derive(sha256.New, p, salts[saltSize:], Iterations),
	}, nil
}

// prepare is SASLprep, as SCRAM's clients do it (RFC 5802 §2.2). What SASLprep
// does not know, such as characters younger than Unicode 3.2, is left to
// OpaqueString (RFC 8265), which changes nothing that clients would not.
func prepare(password string) (string, error) {
	if !utf8.ValidString(password) {
		return "", ErrPassword
	}
	p, err := stringprep.SASLprep.Prepare(password)
	if err != nil {
		p, err = precis.OpaqueString.String(password)
	}
	if err != nil || p == "" {
		return "", ErrPassword
	}
	return p, nil
}

// derive computes a verifier from a prepared password (RFC 5802 §3).
func derive[H hash.Hash](h func() H, password string, salt []byte, iterations int) Verifier {
	size := h().Size()
	salted, err := pbkdf2.Key(h, password, salt, iterations, size)
	if err != nil {
		// Only for key lengths that no hash has, and FIPS modes.
		panic(fmt.Sprintf("pbkdf2: %v", err))
	}
	mac := func(text string) []byte {
		m := hmac.New(func() hash.Hash { return h() }, salted)
		m.Write([]byte(text))
		return m.Sum(nil)
	}
	stored := h()
	stored.Write(mac("Client Key"))
	return Verifier{Salt: salt, Iterations: iterations, StoredKey: stored.Sum(nil), ServerKey: mac("Server Key")}
}

// marshalVersion is the first byte of a marshalled Verifiers.
const marshalVersion = 1

// MarshalBinary is a version byte, and each verifier as its iterations and
// three fields, lengths in front.
func (v Verifiers) MarshalBinary() ([]byte, error) {
	b := []byte{marshalVersion}
	for _, x := range []Verifier{v.SHA1, v.SHA256} {
		b = binary.AppendUvarint(b, uint64(x.Iterations))
		for _, field := range [][]byte{x.Salt, x.StoredKey, x.ServerKey} {
			b = binary.AppendUvarint(b, uint64(len(field)))
			b = append(b, field...)
		}
	}
	return b, nil
}

// UnmarshalBinary reads what MarshalBinary wrote and keeps nothing of b.
func (v *Verifiers) UnmarshalBinary(b []byte) error {
	if len(b) == 0 || b[0] != marshalVersion {
		return ErrVerifier
	}
	b = b[1:]
	number := func() uint64 {
		n, size := binary.Uvarint(b)
		if size <= 0 {
			b = nil
			return 1 << 32
		}
		b = b[size:]
		return n
	}
	var got [2]Verifier
	for i := range got {
		n := number()
		if n > 1<<24 {
			return ErrVerifier
		}
		got[i].Iterations = int(n)
		for _, field := range []*[]byte{&got[i].Salt, &got[i].StoredKey, &got[i].ServerKey} {
			n := number()
			if n > uint64(len(b)) {
				return ErrVerifier
			}
			*field, b = append([]byte(nil), b[:n]...), b[n:]
		}
	}
	if len(b) != 0 {
		return ErrVerifier
	}
	*v = Verifiers{got[0], got[1]}
	return nil
}
