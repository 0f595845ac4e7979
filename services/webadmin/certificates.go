package webadmin

import (
	"context"
	"crypto/x509"
	"encoding/pem"
	"net/http"
	"strings"
	"time"

	"parley/services/account"
	"parley/services/config"
	"parley/services/pki"
)

// certificatesView is Configuration > Certificates: all files, or what is in
// one.
type certificatesView struct {
	Files []certificateFile
	// File is the one that Lines describe.
	File  string
	Lines []string
	// MayUpload says that the visitor's role permits it.
	MayUpload bool
}

// certificateFile is a key, a request, a certificate or a bundle.
type certificateFile struct {
	Name, Kind string
	// Uses are what it was given to.
	Uses []string
	// Expires is when the first of its certificates does; zero without one.
	Expires time.Time
	// State is "expired", "soon", or "" where neither.
	State string
}

// soon is when an end of validity is worth a warning.
const soon = 30 * 24 * time.Hour

func (s *Server) certificatesPage(w http.ResponseWriter, r *http.Request, v *visitor) error {
	file := r.FormValue("file")
	if file == "" {
		return s.certificates(w, r, v, nil)
	}
	lines, err := pki.Inspect(s.deps.Files, file, s.deps.Now())
	if err != nil {
		return err
	}
	s.show(w, r, http.StatusOK, v, "certificates", certificatesView{File: file, Lines: lines})
	return nil
}

// certificates shows all files; refused is why one was not taken.
func (s *Server) certificates(w http.ResponseWriter, r *http.Request, v *visitor, refused error) error {
	files, err := s.certificateFiles(r.Context())
	if err != nil {
		return err
	}
	page := view{Page: "certificates", Path: r.URL.Path, Done: done(r), Data: certificatesView{Files: files, MayUpload: v.Role.Can(account.Certificates)}}
	status := http.StatusOK
	if refused != nil {
		page.Failure, status = s.explain(refused), statusOf(refused)
	}
	s.write(w, r, status, page, v)
	return nil
}

func (s *Server) certificateFiles(ctx context.Context) ([]certificateFile, error) {
	d, err := s.settings.Document(ctx)
	if err != nil {
		return nil, err
	}
	list, err := pki.List(s.deps.Files)
	if err != nil {
		return nil, err
	}
	now := s.deps.Now()
	out := make([]certificateFile, 0, len(list))
	for _, e := range list {
		f := certificateFile{Name: e.Name, Kind: strings.TrimPrefix(strings.TrimPrefix(string(e.Kind), "an "), "a "), Uses: uses(d, e.Name)}
		if data, err := s.deps.Files.Read(e.Name); err == nil {
			f.Expires = firstExpiry(data)
		}
		switch left := f.Expires.Sub(now); {
		case f.Expires.IsZero():
		case left <= 0:
			f.State = "expired"
		case left < soon:
			f.State = "soon"
		}
		out = append(out, f)
	}
	return out, nil
}

// uses are the console's commands that name a file.
func uses(d config.Document, name string) []string {
	var all []string
	for _, u := range []struct {
		command string
		files   []string
	}{
		{"xmpp certs", []string{d.XMPP.Key, d.XMPP.Certificate, d.XMPP.Bundle}},
		{"xmpp cluster trust", []string{d.XMPP.Cluster.Trust}},
		{"callbridge certs", []string{d.CallBridge.Key, d.CallBridge.Certificate, d.CallBridge.Bundle}},
		{"callbridge trust", []string{d.CallBridge.Trust}},
		{"callbridge directory trust", []string{d.Directory.Trust}},
		{"webadmin certs", []string{d.Webadmin.Key, d.Webadmin.Certificate, d.Webadmin.Bundle}},
	} {
		for _, f := range u.files {
			if f == name {
				all = append(all, u.command)
				break
			}
		}
	}
	return all
}

// firstExpiry is when the first of a file's certificates ends; zero where it
// has none.
func firstExpiry(data []byte) time.Time {
	var first time.Time
	add := func(der []byte) {
		if c, err := x509.ParseCertificate(der); err == nil && (first.IsZero() || c.NotAfter.Before(first)) {
			first = c.NotAfter
		}
	}
	add(data)
	for {
		var b *pem.Block
		if b, data = pem.Decode(data); b == nil {
			return first
		}
		if strings.HasSuffix(b.Type, "CERTIFICATE") {
			add(b.Bytes)
		}
	}
}
