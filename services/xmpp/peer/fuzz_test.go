package peer

import (
	"bytes"
	"crypto/ed25519"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"runtime"
	"testing"
	"time"
)

// FuzzReadFrame: no input makes a frame reader panic, take more than the frame,
// or accept what it would not send again; and what is written is read.
func FuzzReadFrame(f *testing.F) {
	for _, v := range []any{
		opening{Kind: "raft", Hello: Hello{ID: "a", Address: "10.0.0.1:5222", Time: time.Unix(1, 0)}, To: "b"},
		answer{Untrusted: "is not in its trust bundle"},
		request{Method: "x", In: json.RawMessage(`{"a":[1,2]}`)},
		response{Error: "no"},
	} {
		var b bytes.Buffer
		if err := writeFrame(&b, maxOpening, v); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
		f.Add(append(b.Bytes(), "rest"...))
		f.Add(b.Bytes()[:b.Len()-3])
	}
	f.Add([]byte("\xff\xff\xff\xff"))
	f.Add([]byte("\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, in []byte) {
		for _, v := range []any{new(opening), new(answer), new(request), new(response), new(Hello)} {
			r := bytes.NewReader(in)
			if err := readFrame(r, maxOpening, v); err != nil {
				continue
			}
			n := int(in[0])<<24 | int(in[1])<<16 | int(in[2])<<8 | int(in[3])
			if n > maxOpening || r.Len() != len(in)-4-n {
				t.Fatalf("%d bytes left of %d after a frame of %d", r.Len(), len(in), n)
			}
			switch v := v.(type) {
			case *opening:
				v.Hello.check()
			case *Hello:
				v.check()
			}
			var b bytes.Buffer
			if err := writeFrame(&b, maxCall, v); err != nil {
				t.Fatalf("writeFrame(%+v) = %v; want nil", v, err)
			}
			if err := readFrame(&b, maxCall, v); err != nil {
				t.Fatalf("readFrame of %+v = %v; want nil", v, err)
			}
		}
	})
}

// FuzzTrust: no bundle makes LoadTrust or Check panic.
func FuzzTrust(f *testing.F) {
	// The same in each process, or the fuzzer is led astray.
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: testDomain}, NotBefore: time.Unix(0, 0), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(nil, tmpl, tmpl, key.Public(), key)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	f.Add(der)
	f.Add([]byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		trust, err := LoadTrust(in)
		if err != nil {
			return
		}
		if len(trust.certs) == 0 || trust.Expires().IsZero() && !trust.certs[0].NotAfter.IsZero() {
			t.Fatalf("LoadTrust = %d certificates, expiry %v; want some", len(trust.certs), trust.Expires())
		}
		trust.Check(trust.certs, testDomain, time.Now())
		_ = nameOf(trust.certs[0])
	})
}

// TestClaimedLength: memory follows what arrives, not what is claimed.
func TestClaimedLength(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	for range 100 {
		var v request
		if err := readFrame(bytes.NewReader([]byte{0x00, 0xff, 0xff, 0xff, '{'}), maxCall, &v); err == nil {
			t.Fatal("readFrame = nil; want an error")
		}
	}
	runtime.ReadMemStats(&after)
	if got := after.TotalAlloc - before.TotalAlloc; got > 1<<20 {
		t.Errorf("%d bytes for 100 frames of 16 MiB that do not come; want few", got)
	}
}

func TestHelloCheck(t *testing.T) {
	good := Hello{ID: "a", Address: "10.0.0.1:5222", Version: "1.0"}
	for _, tt := range []struct {
		name string
		edit func(*Hello)
		ok   bool
	}{
		{"good", func(*Hello) {}, true},
		{"no address", func(h *Hello) { h.Address = "" }, true},
		{"no ID", func(h *Hello) { h.ID = "" }, false},
		{"address without a port", func(h *Hello) { h.Address = "10.0.0.1" }, false},
		{"control character", func(h *Hello) { h.Version = "1\x1b[31m" }, false},
		{"components", func(h *Hello) { h.Components = make([]string, MaxComponents) }, true},
		{"many components", func(h *Hello) { h.Components = make([]string, MaxComponents+1) }, false},
		{"component with a control character", func(h *Hello) { h.Components = []string{"cb1\n"} }, false},
		{"long", func(h *Hello) { h.Cluster = string(make([]byte, 300)) }, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			h := good
			tt.edit(&h)
			if err := h.check(); (err == nil) != tt.ok {
				t.Errorf("check = %v; want ok %v", err, tt.ok)
			}
		})
	}
}
