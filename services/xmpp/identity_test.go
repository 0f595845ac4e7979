package xmpp

import (
	"crypto/x509/pkix"
	"os"
	"path/filepath"
	"testing"
	"time"

	"parley/services/account"
	"parley/services/config"
	"parley/services/files"
	"parley/services/pki"
)

func TestIdentities(t *testing.T) {
	state := t.TempDir()
	dir := config.FolderPaths(state).Files()
	fs := files.NewStore(files.Config{Dir: dir, State: state}, files.Deps{Audit: silent{}})
	if err := fs.Prepare(); err != nil {
		t.Fatal(err)
	}
	for _, base := range []string{"one", "two"} {
		attrs := pki.Attributes{Subject: pkix.Name{CommonName: base}, DNS: []string{"example.com"}}
		if _, _, err := pki.SelfSigned(fs, files.Who{Name: "admin", Role: account.Admin}, base, attrs, pki.DefaultDays, time.Now()); err != nil {
			t.Fatal(err)
		}
	}
	move := func(from, to string) {
		t.Helper()
		if err := os.Rename(filepath.Join(dir, from), filepath.Join(dir, to)); err != nil {
			t.Fatal(err)
		}
	}
	ids := &identities{dir: dir}
	x := config.XMPP{Domain: "example.com", Key: "one.key", Certificate: "one.crt", Cluster: config.Cluster{Trust: "one.crt"}}
	name := func() string {
		t.Helper()
		id, err := ids.of(x)
		if err != nil {
			return "refused"
		}
		return id.Certificate.Leaf.Subject.CommonName + " of " + id.Domain
	}
	if _, err := ids.of(config.XMPP{}); err == nil {
		t.Error("of nothing = nil; want an error")
	}
	if got := name(); got != "one of example.com" {
		t.Errorf("of = %s; want one of example.com", got)
	}
	first, _ := ids.of(x)
	if again, _ := ids.of(x); again.Certificate != first.Certificate {
		t.Error("read again although the files are the same")
	}
	x.Domain = "example.org"
	if got := name(); got != "one of example.org" {
		t.Errorf("of another domain = %s; want one of example.org", got)
	}
	move("two.crt", "one.crt")
	if got := name(); got != "refused" {
		t.Errorf("of a certificate without its key = %s; want refused", got)
	}
	move("two.key", "one.key")
	if got := name(); got != "two of example.org" {
		t.Errorf("of files that were replaced = %s; want two of example.org", got)
	}
	move("one.key", "gone.key")
	if got := name(); got != "refused" {
		t.Errorf("of a key that is gone = %s; want refused", got)
	}
	move("gone.key", "one.key")
	if got := name(); got != "two of example.org" {
		t.Errorf("of a key that is back = %s; want two of example.org", got)
	}
}
