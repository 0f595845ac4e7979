package authenticator

import (
	"crypto/ecdh"
	"crypto/hpke"
	"encoding/base64"
	"fmt"

	"parley/services/config"
)

// Key is a component's for one connection. A password is sealed to it (HPKE,
// RFC 9180), so that it is in no queue, memo, mirror or trace on its way: a
// leader keeps what it delivers until it has come, and tells others of it.
type Key struct{ private hpke.PrivateKey }

var (
	kem  = hpke.DHKEM(ecdh.X25519())
	kdf  = hpke.HKDFSHA256()
	aead = hpke.AES256GCM()
)

// NewKey makes a key.
func NewKey() (Key, error) {
	private, err := kem.GenerateKey()
	if err != nil {
		return Key{}, fmt.Errorf("make a key for passwords: %w", err)
	}
	return Key{private}, nil
}

// Public is the part that is told.
func (k Key) Public() string {
	return base64.StdEncoding.EncodeToString(k.private.PublicKey().Bytes())
}

// CheckKey says whether text is a key's public part.
func CheckKey(text string) error {
	_, err := publicKey(text)
	return err
}

func publicKey(text string) (hpke.PublicKey, error) {
	b, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		return nil, fmt.Errorf("key of an offer: %w", err)
	}
	key, err := kem.NewPublicKey(b)
	if err != nil {
		return nil, fmt.Errorf("key of an offer: %w", err)
	}
	return key, nil
}

// info binds what is sealed to its use and to the user.
func info(user string) []byte { return []byte(NS + "\x00" + user) }

func seal(key, user string, password config.Secret) (string, error) {
	public, err := publicKey(key)
	if err != nil {
		return "", err
	}
	sealed, err := hpke.Seal(public, kdf, aead, info(user), pad(password.Reveal()))
	if err != nil {
		return "", fmt.Errorf("seal a password: %w", err)
	}
	return base64.StdEncoding.EncodeToString(sealed), nil
}

func (k Key) open(sealed, user string) (config.Secret, error) {
	b, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil {
		return "", fmt.Errorf("open a password: %w", err)
	}
	if b, err = hpke.Open(k.private, kdf, aead, info(user), b); err != nil {
		return "", fmt.Errorf("open a password: %w", err)
	}
	return config.Secret(unpad(b)), nil
}

// block is what a password's length is hidden in.
const block = 64

// pad fills a password up with zeros, which none has (RFC 4616 §2).
func pad(password string) []byte {
	return append([]byte(password), make([]byte, block-len(password)%block)...)
}

func unpad(b []byte) string {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return string(b)
}
