package sasl

import (
	"crypto"
	"crypto/tls"
	"crypto/x509"

	"github.com/xdg-go/scram"
)

// Channel is what an exchange knows of its connection.
type Channel struct {
	// Secure says that there is TLS.
	Secure bool
	// From is the client's address, "" where it is not known: for those who
	// count attempts.
	From string
	// Bindings are the channel bindings that are possible, the best first.
	Bindings []scram.ChannelBinding
}

// NewChannel describes a TLS connection whose server certificate is leaf.
func NewChannel(state tls.ConnectionState, leaf *x509.Certificate) Channel {
	c := Channel{Secure: true}
	// RFC 9266. With TLS 1.2 an exporter without a context and one with an
	// empty context differ, and implementations are of two minds, so there it
	// is left to the other bindings.
	if state.Version >= tls.VersionTLS13 {
		if b, err := scram.NewTLSExporterBinding(&state); err == nil {
			c.Bindings = append(c.Bindings, b)
		}
	}
	if b := endPoint(leaf); b != nil {
		c.Bindings = append(c.Bindings, scram.ChannelBinding{Type: scram.ChannelBindingTLSServerEndpoint, Data: b})
	}
	// Not defined for TLS 1.3, where it is empty.
	if len(state.TLSUnique) > 0 {
		c.Bindings = append(c.Bindings, scram.NewTLSUniqueBinding(state.TLSUnique))
	}
	return c
}

// Types lists the channel bindings by name, for XEP-0440.
func (c Channel) Types() []string {
	var ts []string
	for _, b := range c.Bindings {
		ts = append(ts, string(b.Type))
	}
	return ts
}

// endPoint is tls-server-end-point (RFC 5929 §4.1), nil where the certificate's
// signature has no one hash.
func endPoint(leaf *x509.Certificate) []byte {
	if leaf == nil {
		return nil
	}
	var h crypto.Hash
	switch leaf.SignatureAlgorithm {
	case x509.MD5WithRSA, x509.SHA1WithRSA, x509.ECDSAWithSHA1, x509.SHA256WithRSA, x509.SHA256WithRSAPSS, x509.ECDSAWithSHA256:
		h = crypto.SHA256
	case x509.SHA384WithRSA, x509.SHA384WithRSAPSS, x509.ECDSAWithSHA384:
		h = crypto.SHA384
	case x509.SHA512WithRSA, x509.SHA512WithRSAPSS, x509.ECDSAWithSHA512:
		h = crypto.SHA512
	default:
		return nil
	}
	d := h.New()
	d.Write(leaf.Raw)
	return d.Sum(nil)
}
