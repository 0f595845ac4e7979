package xmpp

import (
	"crypto/tls"
	"os"
	"path/filepath"

	"parley/services/config"
	"parley/services/files"
	"parley/services/pki"
	"parley/services/problem"
	"parley/services/xmpp/peer"
)

// loadCertificate reads key, certificate and bundle of the files folder.
func loadCertificate(dir string, x config.XMPP) (*tls.Certificate, error) {
	c, err := pki.LoadChain(files.NewStore(files.Config{Dir: dir}, files.Deps{}), x.Key, x.Certificate, x.Bundle)
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// loadTrust reads the certificates that nodes trust each other by.
func loadTrust(dir string, x config.XMPP) (peer.Trust, error) {
	name := x.Cluster.Trust
	if name == "" {
		return peer.Trust{}, problem.New(problem.ClusterUnready, "missing", "trust bundle", "command", "xmpp cluster trust <bundle>")
	}
	data, err := os.ReadFile(filepath.Join(dir, filepath.Base(name)))
	if err != nil {
		return peer.Trust{}, problem.New(problem.ClusterTrust, "file", name, "detail", "it cannot be read")
	}
	t, err := peer.LoadTrust(data)
	if err != nil {
		return t, problem.New(problem.ClusterTrust, "file", name, "detail", problem.Text(err))
	}
	return t, nil
}
