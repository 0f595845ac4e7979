package callbridge

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"parley/services/journal"
	"parley/services/problem"
	"parley/services/xmpp/peer"
)

// trust is what XMPP servers are trusted by: the certificates of a file, a
// server's own or its authority's, or the system's authorities. An authority
// vouches for a name only, which has to be the XMPP domain or the server's.
type trust struct {
	// file is "" for those of the system.
	file   string
	bundle peer.Trust
}

// loadTrust reads a file of the SFTP root.
func loadTrust(dir, file string) (*trust, error) {
	t := &trust{file: file}
	if file == "" {
		return t, nil
	}
	data, err := os.ReadFile(filepath.Join(dir, filepath.Base(file)))
	if err != nil {
		return nil, problem.New(problem.LinkTrust, "file", file, "detail", "it cannot be read")
	}
	if t.bundle, err = peer.LoadTrust(data); err != nil {
		return nil, problem.New(problem.LinkTrust, "file", file, "detail", err.Error())
	}
	return t, nil
}

// check says why the server that shows chain is not to be trusted as one of
// domain, found by the name host.
func (t *trust) check(chain []*x509.Certificate, domain, host string, now time.Time) error {
	if t.file != "" {
		err := t.bundle.Check(chain, domain, now)
		// The bundle knows the domain's name only, as nodes go by that. By
		// wildcards and names of servers the certificate has to name itself.
		if err != nil && len(chain) > 0 && names(chain[0], domain, host) && t.bundle.Check(chain, ownName(chain[0]), now) == nil {
			return nil
		}
		return err
	}
	if len(chain) == 0 {
		return errors.New("the server showed no certificate")
	}
	between := x509.NewCertPool()
	for _, c := range chain[1:] {
		between.AddCert(c)
	}
	if _, err := chain[0].Verify(x509.VerifyOptions{Intermediates: between, CurrentTime: now}); err != nil {
		return err
	}
	if !names(chain[0], domain, host) {
		return fmt.Errorf("the certificate names %s, neither the XMPP domain %s nor %s", strings.Join(chain[0].DNSNames, ", "), domain, host)
	}
	return nil
}

// names says whether c is for one of the names.
func names(c *x509.Certificate, accepted ...string) bool {
	return slices.ContainsFunc(accepted, func(name string) bool { return c.VerifyHostname(name) == nil })
}

// ownName is one that c has, as it is written there.
func ownName(c *x509.Certificate) string {
	if len(c.DNSNames) > 0 {
		return c.DNSNames[0]
	}
	return c.Subject.CommonName
}

// hint is what to do about a certificate that is not trusted.
func (t *trust) hint() string {
	if t.file == "" {
		return "give the certificate of the XMPP server, or of its authority, with 'callbridge trust <bundle>'"
	}
	return fmt.Sprintf("the server's certificate, or its authority's where it names the XMPP domain, has to be in %s; see 'callbridge trust' here and 'xmpp certs' there", t.file)
}

// short makes what came from elsewhere fit for a line.
func short(s string) string {
	if r := []rune(s); len(r) > 160 {
		s = string(r[:160]) + "…"
	}
	return journal.Clean(s)
}
