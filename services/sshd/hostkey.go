package sshd

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	gossh "golang.org/x/crypto/ssh"

	"parley/services/durable"
)

// hostKeyFiles and how each is made. ECDSA is for clients that know no
// Ed25519; RSA would cost a small appliance seconds at its first boot.
var hostKeyFiles = []struct {
	name string
	make func() (crypto.PrivateKey, error)
}{
	{"ed25519.key", func() (crypto.PrivateKey, error) {
		_, k, err := ed25519.GenerateKey(rand.Reader)
		return k, err
	}},
	{"ecdsa.key", func() (crypto.PrivateKey, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) }},
}

// hostKeys reads the host keys in dir and makes those that are not there. One
// that cannot be read is an error, never replaced: clients would take a new one
// for an attack.
func hostKeys(dir string) ([]gossh.Signer, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make the host key folder: %w", err)
	}
	var signers []gossh.Signer
	for _, f := range hostKeyFiles {
		path := filepath.Join(dir, f.name)
		text, err := os.ReadFile(path)
		if errors.Is(err, fs.ErrNotExist) {
			text, err = newHostKey(path, f.make)
		}
		if err != nil {
			return nil, fmt.Errorf("host key: %w", err)
		}
		signer, err := gossh.ParsePrivateKey(text)
		if err != nil {
			return nil, fmt.Errorf("parse host key %s: %w", path, err)
		}
		signers = append(signers, signer)
	}
	return signers, nil
}

func newHostKey(path string, generate func() (crypto.PrivateKey, error)) ([]byte, error) {
	key, err := generate()
	if err != nil {
		return nil, err
	}
	block, err := gossh.MarshalPrivateKey(key, "")
	if err != nil {
		return nil, err
	}
	text := pem.EncodeToMemory(block)
	return text, durable.WriteFile(path, text, 0o600)
}
