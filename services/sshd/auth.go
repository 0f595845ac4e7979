package sshd

import (
	"errors"

	"github.com/gliderlabs/ssh"
	gossh "golang.org/x/crypto/ssh"

	"parley/services/journal"
	"parley/services/problem"
)

// maxTries is how many failures end a connection; each key that an agent
// offers counts.
const maxTries = 6

// authentication is the configuration of one connection. Only algorithms of
// the last ten years are offered: no SHA-1, no CBC, no DSA.
func (s *Server) authentication(ctx ssh.Context) *gossh.ServerConfig {
	return &gossh.ServerConfig{
		Config: gossh.Config{
			KeyExchanges: []string{
				gossh.KeyExchangeMLKEM768X25519, gossh.KeyExchangeCurve25519,
				gossh.KeyExchangeECDHP256, gossh.KeyExchangeECDHP384, gossh.KeyExchangeECDHP521,
				gossh.KeyExchangeDH16SHA512, gossh.KeyExchangeDH14SHA256,
			},
			Ciphers: []string{
				gossh.CipherAES128GCM, gossh.CipherAES256GCM, gossh.CipherChaCha20Poly1305,
				gossh.CipherAES256CTR, gossh.CipherAES192CTR, gossh.CipherAES128CTR,
			},
			MACs: []string{gossh.HMACSHA256ETM, gossh.HMACSHA512ETM, gossh.HMACSHA256, gossh.HMACSHA512},
		},
		PublicKeyAuthAlgorithms: []string{
			gossh.KeyAlgoED25519, gossh.KeyAlgoSKED25519, gossh.KeyAlgoSKECDSA256,
			gossh.KeyAlgoECDSA256, gossh.KeyAlgoECDSA384, gossh.KeyAlgoECDSA521,
			gossh.KeyAlgoRSASHA256, gossh.KeyAlgoRSASHA512,
		},
		MaxAuthTries: maxTries,
		PasswordCallback: func(conn gossh.ConnMetadata, password []byte) (*gossh.Permissions, error) {
			return s.password(conn, string(password))
		},
		KeyboardInteractiveCallback: func(conn gossh.ConnMetadata, ask gossh.KeyboardInteractiveChallenge) (*gossh.Permissions, error) {
			answers, err := ask("", "", []string{"Password: "}, []bool{false})
			if err != nil {
				return nil, err
			}
			if len(answers) != 1 {
				return nil, problem.New(problem.AccountDenied)
			}
			return s.password(conn, answers[0])
		},
		VerifiedPublicKeyCallback: s.verifiedKey,
		AuthLogCallback: func(_ gossh.ConnMetadata, _ string, err error) {
			if err == nil {
				authenticated(ctx)
			}
		},
	}
}

// password checks one. Who the user is, is looked up again by each session:
// the role may change while a connection lasts.
func (s *Server) password(conn gossh.ConnMetadata, password string) (*gossh.Permissions, error) {
	source := conn.RemoteAddr().String()
	_, err := s.deps.Accounts.Authenticate(conn.User(), password, source)
	if err == nil {
		return s.granted(conn, "password")
	}
	s.denied(conn, problem.CodeOf(err))
	if problem.CodeOf(err) == problem.AccountDenied {
		return nil, err
	}
	if problem.CodeOf(err) == "" {
		s.log.Error("check password", "error", err)
		err = problem.New(problem.Internal, "service", "sshd", "detail", "accounts cannot be read or written")
	}
	return nil, &gossh.BannerError{Err: err, Message: "FAILURE: " + problem.Text(err) + "\r\n"}
}

// denied records a failed login. A name that does not exist is left out, since
// people type passwords there.
func (s *Server) denied(conn gossh.ConnMetadata, why problem.Code) {
	name, source := conn.User(), conn.RemoteAddr().String()
	if _, err := s.deps.Accounts.Lookup(name); err != nil {
		name = "(unknown)"
	}
	s.log.Warn("login failed", "user", name, "source", source, "reason", why)
	if err := s.deps.Journal.Audit(name, source, "login by password", journal.Denied); err != nil {
		s.log.Error("audit a failed login", "error", err)
	}
}

// offeredKey says whether a key would do; the client has not signed yet.
func (s *Server) offeredKey(ctx ssh.Context, key ssh.PublicKey) bool {
	_, err := s.deps.Accounts.MatchKey(ctx.User(), key)
	return err == nil
}

// verifiedKey asks again, since the key that was signed with is the last that
// was offered only in well-behaved clients, and the name may have changed.
func (s *Server) verifiedKey(conn gossh.ConnMetadata, key gossh.PublicKey, _ *gossh.Permissions, _ string) (*gossh.Permissions, error) {
	_, err := s.deps.Accounts.MatchKey(conn.User(), key)
	if err == nil {
		err = s.deps.Accounts.LoggedIn(conn.User(), conn.RemoteAddr().String())
	}
	if err != nil {
		return nil, err
	}
	return s.granted(conn, "key "+gossh.FingerprintSHA256(key))
}

// granted records a login. One that cannot be recorded is none.
func (s *Server) granted(conn gossh.ConnMetadata, by string) (*gossh.Permissions, error) {
	source := conn.RemoteAddr().String()
	if err := s.deps.Journal.Audit(conn.User(), source, "login by "+by, journal.Granted); err != nil {
		s.log.Error("audit a login", "error", err)
		return nil, errors.New("login cannot be recorded")
	}
	s.log.Info("login", "user", conn.User(), "source", source, "by", by)
	return &gossh.Permissions{}, nil
}
