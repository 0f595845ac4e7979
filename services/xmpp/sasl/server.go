package sasl

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/sha256"
	"slices"
	"strings"

	"github.com/xdg-go/scram"

	"parley/services/config"
)

// Failure is why an exchange failed: a defined condition of RFC 6120 §6.5.
type Failure string

// The failures in use. NotAuthorized alone says that a password was tried.
const (
	Aborted            Failure = "aborted"
	EncryptionRequired Failure = "encryption-required"
	IncorrectEncoding  Failure = "incorrect-encoding"
	InvalidAuthzid     Failure = "invalid-authzid"
	InvalidMechanism   Failure = "invalid-mechanism"
	MalformedRequest   Failure = "malformed-request"
	NotAuthorized      Failure = "not-authorized"
	TemporaryFailure   Failure = "temporary-auth-failure"
)

// Error implements error.
func (f Failure) Error() string { return "authentication failed: " + string(f) }

// Names of the mechanisms.
const (
	scramSHA256 = "SCRAM-SHA-256"
	scramSHA1   = "SCRAM-SHA-1"
	plus        = "-PLUS"
	plainText   = "PLAIN"
)

// Credentials looks up the account of a prepared local part. An unknown one is
// false and no error.
type Credentials interface {
	Credentials(ctx context.Context, local string) (Verifiers, bool, error)
}

// Passwords are those that are kept elsewhere, where one can ask whether a
// password is right and no more. So they are for PLAIN alone.
type Passwords interface {
	// Used says that some accounts' are. PLAIN alone is offered then: many
	// clients choose the best mechanism, and end when that has failed.
	Used() bool
	// Check says whether password is that of the prepared local part, of which
	// Credentials has nothing. An error is that this was not decided. from is
	// the client's address.
	Check(ctx context.Context, from, local string, password config.Secret) (bool, error)
}

// Server holds what all exchanges share. It may be used by many goroutines.
type Server struct {
	domain      string
	credentials Credentials
	// passwords is nil where none are kept elsewhere.
	passwords Passwords
	saltKey   []byte
}

// NewServer returns the server of a domain; p may be nil. saltKey makes the salts of accounts
// that do not exist; they tell nobody that they do not as long as it stays the
// same. nil is for a random one.
func NewServer(domain string, c Credentials, p Passwords, saltKey []byte) *Server {
	if len(saltKey) == 0 {
		saltKey = make([]byte, sha256.Size)
		rand.Read(saltKey)
	}
	return &Server{domain: domain, credentials: c, passwords: p, saltKey: saltKey}
}

// Mechanisms lists what is offered on a connection, the best first; none
// without TLS.
func (s *Server) Mechanisms(c Channel) []string {
	if !c.Secure {
		return nil
	}
	if s.passwords != nil && s.passwords.Used() {
		return []string{plainText}
	}
	var ms []string
	if len(c.Bindings) > 0 {
		ms = append(ms, scramSHA256+plus, scramSHA1+plus)
	}
	return append(ms, scramSHA256, scramSHA1, plainText)
}

// Exchange is one authentication attempt. It is for one goroutine.
type Exchange struct {
	server  *Server
	channel Channel
	// conversation is nil for PLAIN, and before SCRAM's first message.
	conversation *scram.ServerConversation
	// hash is empty for PLAIN.
	hash     string
	plus     bool
	local    string
	finished bool
}

// Start begins an exchange of that mechanism, or returns a Failure.
func (s *Server) Start(mechanism string, c Channel) (*Exchange, error) {
	if !c.Secure {
		return nil, EncryptionRequired
	}
	if !slices.Contains(s.Mechanisms(c), mechanism) {
		return nil, InvalidMechanism
	}
	x := &Exchange{server: s, channel: c}
	if mechanism != plainText {
		x.hash, x.plus = strings.CutSuffix(mechanism, plus)
	}
	return x, nil
}

// Local returns the prepared local part that has authenticated; it is valid
// once Step has said done.
func (x *Exchange) Local() string { return x.local }

// Step takes a message of the client and returns the answer to it. done says
// that the client has authenticated, and out is then additional data with
// success. An error is a Failure, and the end of the exchange.
func (x *Exchange) Step(ctx context.Context, in []byte) (out []byte, done bool, err error) {
	if x.finished {
		return nil, false, MalformedRequest
	}
	switch {
	case x.hash == "":
		done, err = true, x.plain(ctx, in)
	case x.conversation == nil:
		out, err = x.scramFirst(ctx, string(in))
	default:
		done = true
		out, err = x.scramFinal(string(in))
	}
	if err != nil {
		x.finished = true
		return nil, false, err
	}
	x.finished = done
	return out, done, nil
}

// verifier returns what is stored for the account, or what could be: the
// answer for an account that does not exist takes the same steps, has the same
// form, and is the same each time.
func (x *Exchange) verifier(ctx context.Context, local string) (v Verifiers, known bool, err error) {
	if local != "" {
		if v, known, err = x.server.credentials.Credentials(ctx, local); err != nil {
			return Verifiers{}, false, TemporaryFailure
		}
	}
	if fake := x.server.fake(local); !known {
		return fake, false, nil
	}
	return v, true, nil
}

func (s *Server) fake(local string) Verifiers {
	make := func(purpose string, size int) []byte {
		m := hmac.New(sha256.New, s.saltKey)
		m.Write([]byte(purpose + "\x00" + local))
		return m.Sum(nil)[:size]
	}
	return Verifiers{
		SHA1:   Verifier{make("salt1", saltSize), Iterations, make("key1", sha1.Size), make("key1", sha1.Size)},
		SHA256: Verifier{make("salt256", saltSize), Iterations, make("key256", sha256.Size), make("key256", sha256.Size)},
	}
}
