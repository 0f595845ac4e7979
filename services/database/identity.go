package database

import (
	"crypto/x509"
	"slices"
	"time"

	"parley/services/config"
	"parley/services/files"
	"parley/services/pki"
	"parley/services/problem"
	"parley/services/xmpp/peer"
)

// ClientName is what the certificate of whoever asks a database has to name.
const ClientName = "postgres"

// loadIdentity reads what this node shows others, and trusts them by. A node
// that only connects has no server's certificate.
func loadIdentity(dir string, d config.Database) (peer.Identity, error) {
	src := files.NewStore(files.Config{Dir: dir}, files.Deps{})
	id := peer.Identity{ClientName: ClientName}
	client, err := pki.LoadChain(src, d.ClientKey, d.ClientCertificate, d.CA)
	if err != nil {
		return id, err
	}
	id.Client = &client
	if d.ServerKey != "" {
		server, err := pki.LoadChain(src, d.ServerKey, d.ServerCertificate, d.CA)
		if err != nil {
			return id, err
		}
		id.Certificate = &server
	}
	data, err := src.Read(d.CA)
	if err != nil {
		return id, err
	}
	if id.Trust, err = peer.LoadTrust(data); err != nil {
		return id, problem.New(problem.DatabaseCertificate, "file", d.CA, "what", "CA certificate", "detail", problem.Text(err))
	}
	return id, nil
}

// keptIdentity is loadIdentity that reads the files only when they have changed.
func keptIdentity(kept *peer.Kept, dir string, d config.Database) (peer.Identity, error) {
	names := []string{d.ServerKey, d.ServerCertificate, d.ClientKey, d.ClientCertificate, d.CA}
	return kept.Identity(dir, names, func() (peer.Identity, error) { return loadIdentity(dir, d) })
}

// CheckFiles says whether the files of d can serve: that keys and certificates
// belong together, that both are of the CA and valid now, and that the client's
// names ClientName. warnings are to be shown, but the files can be used.
func CheckFiles(src pki.Source, d config.Database, now time.Time) (warnings []*problem.Problem, err error) {
	check := func(key, certificate string) error {
		report, err := pki.Check(src, key, certificate, d.CA, "", "", now)
		if err != nil {
			return err
		}
		if err := report.Err(); err != nil {
			return err
		}
		for _, w := range report.Warnings {
			// A bundle may hold authorities of others, and a client's
			// certificate needs not be a server's.
			if w.Code != problem.PKIStray && (w.Code != problem.PKIUsage || certificate == d.ServerCertificate) &&
				!slices.ContainsFunc(warnings, func(p *problem.Problem) bool { return p.Error() == w.Error() }) {
				warnings = append(warnings, w)
			}
		}
		return nil
	}
	if d.ServerKey != "" {
		if err := check(d.ServerKey, d.ServerCertificate); err != nil {
			return nil, err
		}
	}
	if err := check(d.ClientKey, d.ClientCertificate); err != nil {
		return nil, err
	}
	client, err := pki.LoadChain(src, d.ClientKey, d.ClientCertificate, d.CA)
	if err != nil {
		return nil, err
	}
	if name := client.Leaf.Subject.CommonName; name != ClientName {
		return nil, problem.New(problem.DatabaseClient, "file", d.ClientCertificate, "name", "CN:"+name)
	}
	data, err := src.Read(d.CA)
	if err != nil {
		return nil, err
	}
	trust, err := peer.LoadTrust(data)
	if err == nil {
		// As the other nodes will see it.
		err = trust.CheckClient([]*x509.Certificate{client.Leaf}, ClientName, now)
	}
	if err != nil {
		return nil, problem.New(problem.DatabaseCertificate, "file", d.CA, "what", "CA certificate", "detail", problem.Text(err))
	}
	return warnings, nil
}
