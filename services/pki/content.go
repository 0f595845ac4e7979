// Package pki makes keys, requests and certificates in the SFTP root, tells
// what is in such files, and checks what a service is to use before it does.
// It keeps nothing of its own and does not know which service uses what.
package pki

import (
	"bytes"
	"crypto"
	"crypto/x509"
	"encoding/asn1"
	"encoding/pem"
	"errors"
	"strings"

	"parley/services/problem"
)

// Source reads files for the appliance itself; *files.Store is one.
type Source interface {
	// Read returns the content of a file, or a problem.FileUnknown.
	Read(name string) ([]byte, error)
	// Names returns the names of all files.
	Names() ([]string, error)
}

// Kind is what a file holds, worded to stand in a sentence.
type Kind string

// The kinds. Those after Bundle cannot be used until they are converted.
const (
	Key          Kind = "a private key"
	Request      Kind = "a certificate signing request"
	Certificate  Kind = "a certificate"
	Bundle       Kind = "a bundle of certificates"
	EncryptedKey Kind = "an encrypted private key"
	SSHKey       Kind = "an SSH key"
	PKCS7        Kind = "a PKCS #7 file"
	PKCS12       Kind = "a PKCS #12 file"
	Other        Kind = "neither key nor certificate"
)

// content is a file that was taken apart. A file may hold a key and the
// certificates for it.
type content struct {
	name  string
	kind  Kind
	key   crypto.Signer
	csr   *x509.CertificateRequest
	certs []*x509.Certificate
}

func load(src Source, name string) (*content, error) {
	data, err := src.Read(name)
	if err != nil {
		return nil, err
	}
	return parse(name, data)
}

// parse takes a file apart: PEM, with whatever text between the blocks and
// with the line ends of any system, or DER.
func parse(name string, data []byte) (*content, error) {
	data = bytes.TrimPrefix(data, []byte("\uFEFF"))
	c := &content{name: name, kind: Other}
	if !bytes.Contains(data, []byte("-----BEGIN ")) {
		c.parseDER(data)
		return c, nil
	}
	for {
		block, rest := pem.Decode(data)
		if block == nil {
			if bytes.Contains(rest, []byte("-----BEGIN ")) {
				return nil, damaged(name, "a block has no proper end")
			}
			break
		}
		data = rest
		if err := c.add(block); err != nil {
			return nil, err
		}
	}
	if c.kind == Certificate && len(c.certs) > 1 {
		c.kind = Bundle
	}
	return c, nil
}

// add takes in a PEM block. The first key or request decides the kind;
// certificates decide it only where there is neither.
func (c *content) add(b *pem.Block) error {
	set := func(k Kind) {
		if c.kind == Other || c.kind == Certificate && k != Certificate {
			c.kind = k
		}
	}
	switch b.Type {
	case "CERTIFICATE", "X509 CERTIFICATE":
		cert, err := x509.ParseCertificate(b.Bytes)
		if err != nil {
			return damaged(c.name, err.Error())
		}
		c.certs = append(c.certs, cert)
		set(Certificate)
	case "CERTIFICATE REQUEST", "NEW CERTIFICATE REQUEST":
		csr, err := x509.ParseCertificateRequest(b.Bytes)
		if err != nil {
			return damaged(c.name, err.Error())
		}
		c.csr = csr
		set(Request)
	case "PRIVATE KEY", "RSA PRIVATE KEY", "EC PRIVATE KEY":
		if b.Headers["DEK-Info"] != "" {
			set(EncryptedKey)
			return nil
		}
		key, err := parseKey(b.Bytes)
		if err != nil {
			return damaged(c.name, err.Error())
		}
		if c.key == nil {
			c.key = key
		}
		set(Key)
	case "ENCRYPTED PRIVATE KEY":
		set(EncryptedKey)
	case "OPENSSH PRIVATE KEY", "SSH2 PUBLIC KEY":
		set(SSHKey)
	case "PKCS7", "CMS":
		set(PKCS7)
	}
	return nil
}

var oidSignedData = asn1.ObjectIdentifier{1, 2, 840, 113549, 1, 7, 2}

func (c *content) parseDER(data []byte) {
	if cert, err := x509.ParseCertificate(data); err == nil {
		c.kind, c.certs = Certificate, []*x509.Certificate{cert}
	} else if csr, err := x509.ParseCertificateRequest(data); err == nil {
		c.kind, c.csr = Request, csr
	} else if key, err := parseKey(data); err == nil {
		c.kind, c.key = Key, key
	} else if bytes.HasPrefix(data, []byte("PuTTY-User-Key-File")) || bytes.HasPrefix(data, []byte("ssh-")) {
		c.kind = SSHKey
	} else {
		c.parseContainer(data)
	}
}

// parseContainer tells the files that tools of other makers export, so that
// the operator learns how to convert them.
func (c *content) parseContainer(data []byte) {
	var outer, first, second asn1.RawValue
	if _, err := asn1.Unmarshal(data, &outer); err != nil || outer.Tag != asn1.TagSequence {
		return
	}
	rest, err := asn1.Unmarshal(outer.Bytes, &first)
	if err != nil {
		return
	}
	if _, err := asn1.Unmarshal(rest, &second); err != nil {
		return
	}
	var oid asn1.ObjectIdentifier
	switch first.Tag {
	case asn1.TagOID:
		if _, err := asn1.Unmarshal(first.FullBytes, &oid); err == nil && oid.Equal(oidSignedData) {
			c.kind = PKCS7
		}
	case asn1.TagInteger:
		// PFX ::= SEQUENCE { version INTEGER (3), authSafe ContentInfo, … }
		if len(first.Bytes) == 1 && first.Bytes[0] == 3 && second.Tag == asn1.TagSequence {
			c.kind = PKCS12
		}
	case asn1.TagSequence:
		if second.Tag == asn1.TagOctetString {
			c.kind = EncryptedKey
		}
	}
}

func parseKey(der []byte) (crypto.Signer, error) {
	if k, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return k, nil
	}
	if k, err := x509.ParseECPrivateKey(der); err == nil {
		return k, nil
	}
	k, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	s, ok := k.(crypto.Signer)
	if !ok {
		return nil, errors.New("the key cannot sign")
	}
	return s, nil
}

func damaged(name, detail string) error {
	return problem.New(problem.PKIDamaged, "file", name, "detail", strings.TrimPrefix(detail, "x509: "))
}

// wrong says that a file is not of the kind wanted, and what to do about the
// kind that it is.
func (c *content) wrong(want Kind) error {
	fix := "name another file, 'pki list' shows all"
	switch {
	case c.kind == Request && want == Certificate:
		fix = "have a CA sign it and put the certificate that it returns"
	case c.kind == EncryptedKey:
		fix = "decrypt it with 'openssl pkey -in " + c.name + " -out NEW.key' and put that"
	case c.kind == PKCS7:
		fix = "convert it with 'openssl pkcs7 -print_certs -in " + c.name + " -out NEW.crt' and put that"
	case c.kind == PKCS12:
		fix = "convert it with 'openssl pkcs12 -nodes -in " + c.name + " -out NEW.pem' and put key and certificates"
	}
	return problem.New(problem.PKIKind, "file", c.name, "is", string(c.kind), "want", string(want), "fix", fix)
}

// loadKey, loadRequest, loadCert and loadCerts load a file for a purpose.
func loadKey(src Source, name string) (crypto.Signer, error) {
	c, err := load(src, name)
	if err != nil {
		return nil, err
	}
	if c.key == nil {
		return nil, c.wrong(Key)
	}
	return c.key, nil
}

func loadRequest(src Source, name string) (*x509.CertificateRequest, error) {
	c, err := load(src, name)
	if err != nil {
		return nil, err
	}
	if c.csr == nil {
		return nil, c.wrong(Request)
	}
	return c.csr, nil
}

func loadCerts(src Source, name string) ([]*x509.Certificate, error) {
	c, err := load(src, name)
	if err != nil {
		return nil, err
	}
	if len(c.certs) == 0 {
		return nil, c.wrong(Certificate)
	}
	return c.certs, nil
}
