// Package opensslca is a certificate authority made of the openssl program,
// for tests that sign what the appliance asks for as an operator would. It is
// not for anything else.
package opensslca

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// CA signs requests. Its files live as long as the test.
type CA struct {
	t   *testing.T
	dir string
}

// New makes a CA with a fresh RSA key.
func New(t *testing.T) *CA {
	t.Helper()
	ca := &CA{t, t.TempDir()}
	ca.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "30", "-subj", "/CN=Test CA",
		"-keyout", ca.path("ca.key"), "-out", ca.Certificate())
	return ca
}

// Certificate is the file of the CA's own certificate.
func (ca *CA) Certificate() string { return ca.path("ca.crt") }

// Sign writes the certificate that csr asks for to out, subject alternative
// names included.
func (ca *CA) Sign(csr, out string) {
	ca.t.Helper()
	ca.openssl("x509", "-req", "-in", csr, "-CA", ca.Certificate(), "-CAkey", ca.path("ca.key"), "-CAcreateserial",
		"-days", "20", "-copy_extensions", "copy", "-out", out)
}

func (ca *CA) path(name string) string { return filepath.Join(ca.dir, name) }

func (ca *CA) openssl(args ...string) {
	ca.t.Helper()
	cmd := exec.Command("openssl", args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C")
	if out, err := cmd.CombinedOutput(); err != nil {
		ca.t.Fatalf("openssl %v: %v\n%s", args, err, out)
	}
}
