package pki

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"parley/services/problem"
)

func TestMatch(t *testing.T) {
	d := newDesk(t)
	d.authority(goodNames)
	d.join("full.pem", "server.crt", "inter.crt")
	for _, other := range []string{"server.crt", "server.csr", "full.pem"} {
		if err := Match(d, "server.key", other); err != nil {
			t.Errorf("Match(server.key, %s) = %v; want nil", other, err)
		}
	}
	err := Match(d, "root.key", "server.crt")
	if want := "the key root.key does not belong to server.crt; use server.key, which belongs to it"; problem.Text(err) != want {
		t.Errorf("Match = %q; want %q", problem.Text(err), want)
	}
	if err := Match(d, "server.crt", "server.key"); problem.CodeOf(err) != problem.PKIKind {
		t.Errorf("Match of swapped files = %v; want %s", err, problem.PKIKind)
	}
}

func TestVerify(t *testing.T) {
	d := newDesk(t)
	d.authority(goodNames)
	d.join("chain.pem", "inter.crt", "root.crt")
	for _, bundles := range [][]string{{"chain.pem"}, {"inter.crt", "root.crt"}, {"root.crt", "inter.crt"}, {"inter.crt"}} {
		way, err := Verify(d, "server.crt", bundles, d.now)
		if err != nil || way[0] != "example.com" || way[1] != "Test Intermediate" {
			t.Errorf("Verify(server.crt, %v) = %v, %v; want a chain", bundles, way, err)
		}
	}
	d.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Stranger", "-keyout", "strange.key", "-out", "strange.crt")
	for _, tt := range []struct {
		bundles []string
		now     time.Time
		want    problem.Code
	}{
		{[]string{"root.crt"}, d.now, problem.PKIIncomplete},
		{[]string{"strange.crt"}, d.now, problem.PKIIncomplete},
		{nil, d.now, problem.PKIIncomplete},
		{[]string{"chain.pem"}, d.now.AddDate(1, 0, 0), problem.PKIExpired},
		{[]string{"chain.pem"}, d.now.AddDate(-1, 0, 0), problem.PKINotYet},
		{[]string{"server.csr"}, d.now, problem.PKIKind},
	} {
		if way, err := Verify(d, "server.crt", tt.bundles, tt.now); problem.CodeOf(err) != tt.want {
			t.Errorf("Verify(server.crt, %v) = %v, %v; want %s", tt.bundles, way, err, tt.want)
		}
	}
}

func TestCheck(t *testing.T) {
	d := newDesk(t)
	d.authority(goodNames)
	d.join("chain.pem", "inter.crt", "root.crt")
	d.join("reversed.pem", "root.crt", "inter.crt")
	d.join("full.pem", "server.crt", "inter.crt", "root.crt")
	d.openssl("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=Stranger", "-keyout", "strange.key", "-out", "strange.crt")
	d.join("stray.pem", "inter.crt", "root.crt", "strange.crt")
	d.openssl("pkey", "-in", "server.key", "-aes256", "-passout", "pass:secret", "-out", "enc.key")
	d.openssl("x509", "-in", "server.crt", "-outform", "DER", "-out", "server.der")
	d.openssl("x509", "-in", "inter.crt", "-outform", "DER", "-out", "inter.der")
	d.openssl("pkey", "-in", "server.key", "-outform", "DER", "-out", "der.key")
	d.write("damaged.crt", d.text("server.crt")[:300])
	d.write("note.txt", "hello")
	d.openssl("pkcs12", "-export", "-in", "server.crt", "-inkey", "server.key", "-passout", "pass:secret", "-out", "server.p12")

	sha1 := func(name, subject string, args ...string) {
		d.openssl(append([]string{"req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", subject, "-keyout", name + ".key", "-out", name + ".crt"}, args...)...)
	}
	sha1("weakca", "/CN=Weak CA")
	d.openssl("x509", "-req", "-sha1", "-in", "server.csr", "-CA", "weakca.crt", "-CAkey", "weakca.key", "-CAcreateserial", "-days", "100", "-extfile", "v3.cnf", "-extensions", "server", "-out", "sha1.crt")
	d.openssl("req", "-x509", "-newkey", "rsa:1024", "-nodes", "-subj", "/CN=example.com", "-addext", "subjectAltName=DNS:example.com", "-days", "100", "-keyout", "small.key", "-out", "small.crt")
	d.openssl("x509", "-req", "-in", "server.csr", "-CA", "root.crt", "-CAkey", "root.key", "-CAcreateserial", "-days", "20", "-out", "plain.crt")
	d.write("client.cnf", "extendedKeyUsage=clientAuth\nsubjectAltName=DNS:*.com,DNS:cb1.example.com")
	d.openssl("x509", "-req", "-in", "server.csr", "-CA", "root.crt", "-CAkey", "root.key", "-CAcreateserial", "-days", "100", "-extfile", "client.cnf", "-out", "client.crt")
	// An issuer that is no CA.
	d.openssl("req", "-new", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=leaf", "-keyout", "leaf.key", "-out", "leaf.csr")
	d.openssl("x509", "-req", "-in", "leaf.csr", "-CA", "server.crt", "-CAkey", "server.key", "-CAcreateserial", "-days", "100", "-out", "leaf.crt")

	tests := []struct {
		name              string
		key, cert, bundle string
		domain, host      string
		days              int
		refusals, warns   []problem.Code
		// text is in the first refusal or warning.
		text string
	}{
		{name: "good", key: "server.key", cert: "server.crt", bundle: "chain.pem"},
		{name: "good, intermediate only", key: "server.key", cert: "server.crt", bundle: "inter.crt"},
		{name: "good, full chain as certificate", key: "server.key", cert: "full.pem"},
		{name: "good, full chain as bundle", key: "server.key", cert: "server.crt", bundle: "full.pem"},
		{name: "good, twice full", key: "server.key", cert: "full.pem", bundle: "full.pem"},
		{name: "good, DER", key: "der.key", cert: "server.der", bundle: "inter.der"},
		{name: "qualified host name", key: "server.key", cert: "server.crt", bundle: "chain.pem", host: "cb1.example.com"},
		{name: "no domain", key: "server.key", cert: "server.crt", bundle: "chain.pem", domain: "none"},
		{name: "no domain, other host", key: "server.key", cert: "server.crt", bundle: "chain.pem", domain: "none", host: "cb9", warns: []problem.Code{problem.PKIHost}, text: "cb9, only"},
		{name: "no domain, part of the name", key: "server.key", cert: "server.crt", bundle: "chain.pem", domain: "none", host: "cb", warns: []problem.Code{problem.PKIHost}},
		{name: "other host", key: "server.key", cert: "server.crt", bundle: "chain.pem", host: "cb9", warns: []problem.Code{problem.PKIHost}, text: "cb9.example.com"},
		{name: "other domain", key: "server.key", cert: "server.crt", bundle: "chain.pem", domain: "other.org", warns: []problem.Code{problem.PKIDomain, problem.PKIHost}, text: "other.org"},
		{name: "mismatch", key: "root.key", cert: "server.crt", bundle: "chain.pem", refusals: []problem.Code{problem.PKIMismatch}, text: "use server.key"},
		{name: "expired", key: "server.key", cert: "server.crt", bundle: "chain.pem", days: 250, refusals: []problem.Code{problem.PKIExpired}, text: "'example.com' in server.crt expired on"},
		{name: "expired intermediate too", key: "server.key", cert: "server.crt", bundle: "chain.pem", days: 350, refusals: []problem.Code{problem.PKIExpired, problem.PKIExpired}},
		{name: "not yet", key: "server.key", cert: "server.crt", bundle: "chain.pem", days: -1, refusals: []problem.Code{problem.PKINotYet, problem.PKINotYet, problem.PKINotYet}},
		{name: "soon", key: "server.key", cert: "server.crt", bundle: "chain.pem", days: 190, warns: []problem.Code{problem.PKISoon}, text: "expires in 9 days"},
		{name: "reversed", key: "server.key", cert: "server.crt", bundle: "reversed.pem", refusals: []problem.Code{problem.PKIOrder},
			text: "certificate 1 of reversed.pem is 'Test Root', but 'Test Intermediate', which signed 'example.com', belongs there; put reversed.pem with the order Test Intermediate, then Test Root"},
		{name: "root only", key: "server.key", cert: "server.crt", bundle: "root.crt", refusals: []problem.Code{problem.PKIIncomplete}, text: "root.crt does not hold the certificate of 'Test Intermediate'"},
		{name: "strange bundle", key: "server.key", cert: "server.crt", bundle: "strange.crt", refusals: []problem.Code{problem.PKIIncomplete}},
		{name: "no bundle", key: "server.key", cert: "server.crt", warns: []problem.Code{problem.PKINoBundle}},
		{name: "stray", key: "server.key", cert: "server.crt", bundle: "stray.pem", warns: []problem.Code{problem.PKIStray}, text: "certificate 3 of stray.pem, 'Stranger'"},
		{name: "missing key", key: "none.key", cert: "server.crt", bundle: "chain.pem", refusals: []problem.Code{problem.FileUnknown}},
		{name: "missing certificate", key: "server.key", cert: "none.crt", bundle: "chain.pem", refusals: []problem.Code{problem.FileUnknown}},
		{name: "missing bundle", key: "server.key", cert: "server.crt", bundle: "none.crt", refusals: []problem.Code{problem.FileUnknown}},
		{name: "missing key and expired", key: "none.key", cert: "server.crt", bundle: "chain.pem", days: 250, refusals: []problem.Code{problem.FileUnknown, problem.PKIExpired}},
		{name: "request", key: "server.key", cert: "server.csr", bundle: "chain.pem", refusals: []problem.Code{problem.PKIKind}, text: "server.csr is a certificate signing request, not a certificate; have a CA sign it"},
		{name: "swapped", key: "server.crt", cert: "server.key", refusals: []problem.Code{problem.PKIKind, problem.PKIKind}},
		{name: "encrypted", key: "enc.key", cert: "server.crt", bundle: "chain.pem", refusals: []problem.Code{problem.PKIKind}, text: "openssl pkey -in enc.key"},
		{name: "PKCS 12", key: "server.p12", cert: "server.p12", refusals: []problem.Code{problem.PKIKind, problem.PKIKind}, text: "openssl pkcs12 -nodes -in server.p12"},
		{name: "damaged", key: "server.key", cert: "damaged.crt", refusals: []problem.Code{problem.PKIDamaged}},
		{name: "text", key: "note.txt", cert: "server.crt", bundle: "chain.pem", refusals: []problem.Code{problem.PKIKind}},
		{name: "SHA-1", key: "server.key", cert: "sha1.crt", bundle: "weakca.crt", refusals: []problem.Code{problem.PKIWeakSignature}},
		{name: "small key", key: "small.key", cert: "small.crt", warns: []problem.Code{problem.PKIHost, problem.PKIWeakKey}},
		{name: "no names", key: "server.key", cert: "plain.crt", bundle: "root.crt", warns: []problem.Code{problem.PKISoon, problem.PKIDomain, problem.PKIHost}},
		{name: "client only", key: "server.key", cert: "client.crt", bundle: "root.crt", warns: []problem.Code{problem.PKIUsage}},
		{name: "signed by no CA", key: "leaf.key", cert: "leaf.crt", bundle: "full.pem", refusals: []problem.Code{problem.PKINotCA}, warns: []problem.Code{problem.PKIDomain, problem.PKIHost}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			switch tt.domain {
			case "":
				tt.domain = "example.com"
			case "none":
				tt.domain = ""
			}
			if tt.host == "" {
				tt.host = "cb1"
			}
			r, err := Check(d, tt.key, tt.cert, tt.bundle, tt.domain, tt.host, d.now.AddDate(0, 0, tt.days))
			if err != nil {
				t.Fatal(err)
			}
			codes := func(ps []*problem.Problem) (cs []problem.Code) {
				for _, p := range ps {
					cs = append(cs, p.Code)
					if text := problem.Text(p); strings.ContainsAny(text, "{}") {
						t.Errorf("text %q has a value missing", text)
					}
				}
				return cs
			}
			if diff := cmp.Diff(tt.refusals, codes(r.Refusals)); diff != "" {
				t.Errorf("refusals (-want +got):\n%s\n%v", diff, r.Refusals)
			}
			if diff := cmp.Diff(tt.warns, codes(r.Warnings)); diff != "" {
				t.Errorf("warnings (-want +got):\n%s\n%v", diff, r.Warnings)
			}
			first := append(r.Refusals, r.Warnings...)
			if tt.text != "" && (len(first) == 0 || !strings.Contains(problem.Text(first[0]), tt.text)) {
				t.Errorf("first of %v; want %q in its text", first, tt.text)
			}
			if (r.Err() == nil) != (len(tt.refusals) == 0) {
				t.Errorf("Err = %v with %d refusals", r.Err(), len(tt.refusals))
			}
		})
	}
}

func TestLoadChain(t *testing.T) {
	d := newDesk(t)
	d.authority(goodNames)
	d.join("chain.pem", "inter.crt", "root.crt")
	d.join("full.pem", "server.crt", "inter.crt", "root.crt")
	for _, tt := range [][2]string{{"server.crt", "chain.pem"}, {"full.pem", ""}, {"full.pem", "chain.pem"}} {
		c, err := LoadChain(d, "server.key", tt[0], tt[1])
		if err != nil || len(c.Certificate) != 2 || c.Leaf == nil {
			t.Errorf("LoadChain(%v) = %d certificates, %v; want leaf and intermediate", tt, len(c.Certificate), err)
		}
	}
	if _, err := LoadChain(d, "root.key", "server.crt", ""); problem.CodeOf(err) != problem.PKIMismatch {
		t.Errorf("LoadChain with another key = %v; want %s", err, problem.PKIMismatch)
	}
	if _, err := LoadChain(d, "server.key", "server.crt", "none"); problem.CodeOf(err) != problem.FileUnknown {
		t.Errorf("LoadChain without its bundle = %v; want %s", err, problem.FileUnknown)
	}
}
