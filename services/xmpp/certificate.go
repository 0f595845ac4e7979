package xmpp

import (
	"crypto/tls"

	"parley/services/config"
	"parley/services/files"
	"parley/services/pki"
)

// loadCertificate reads key, certificate and bundle of the files folder.
func loadCertificate(dir string, x config.XMPP) (*tls.Certificate, error) {
	c, err := pki.LoadChain(files.NewStore(files.Config{Dir: dir}, files.Deps{}), x.Key, x.Certificate, x.Bundle)
	if err != nil {
		return nil, err
	}
	return &c, nil
}
