package sasl

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"unicode/utf8"

	"parley/services/config"
)

// plainMax is the most bytes of a message of PLAIN; RFC 4616 gives each of its
// three fields 255 octets as what must be supported.
const plainMax = 4 << 10

// plain takes the message of PLAIN (RFC 4616 §2).
func (x *Exchange) plain(ctx context.Context, in []byte) error {
	authzid, username, password, ok := splitPlain(in)
	if !ok {
		return MalformedRequest
	}
	x.local = localPart(username)
	v, known, err := x.verifier(ctx, x.local)
	if err != nil {
		return err
	}
	if !known && x.local != "" && x.server.passwords != nil {
		return x.elsewhere(ctx, authzid, config.Secret(password))
	}
	prepared, err := prepare(password)
	if err != nil {
		return NotAuthorized
	}
	got := derive(sha256.New, prepared, v.SHA256.Salt, v.SHA256.Iterations)
	if subtle.ConstantTimeCompare(got.StoredKey, v.SHA256.StoredKey) != 1 || x.local == "" {
		return NotAuthorized
	}
	return x.checkAuthzid(authzid)
}

// elsewhere has a password checked that is not kept here. It is taken as it
// was typed, as whoever keeps it does elsewhere.
func (x *Exchange) elsewhere(ctx context.Context, authzid string, password config.Secret) error {
	switch ok, err := x.server.passwords.Check(ctx, x.channel.From, x.local, password); {
	case err != nil:
		return TemporaryFailure
	case !ok:
		return NotAuthorized
	}
	return x.checkAuthzid(authzid)
}

func splitPlain(in []byte) (authzid, username, password string, ok bool) {
	if len(in) > plainMax || !utf8.Valid(in) {
		return "", "", "", false
	}
	fields := bytes.Split(in, []byte{0})
	if len(fields) != 3 || len(fields[1]) == 0 || len(fields[2]) == 0 {
		return "", "", "", false
	}
	return string(fields[0]), string(fields[1]), string(fields[2]), true
}
