package xmpp

import (
	"parley/services/config"
	"parley/services/xmpp/peer"
)

// identities is what a node shows others, and trusts them by. It may be used from
// any goroutine.
type identities struct {
	dir  string
	kept peer.Kept
}

// of is the identity by x and the files as they are now.
func (i *identities) of(x config.XMPP) (peer.Identity, error) {
	id, err := i.kept.Identity(i.dir, []string{x.Key, x.Certificate, x.Bundle, x.Cluster.Trust}, func() (id peer.Identity, err error) {
		if id.Certificate, err = loadCertificate(i.dir, x); err != nil {
			return id, err
		}
		id.Trust, err = loadTrust(i.dir, x)
		return id, err
	})
	id.Domain = x.Domain
	return id, err
}
