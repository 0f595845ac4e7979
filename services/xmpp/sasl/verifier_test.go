package sasl

import (
	"crypto/sha1"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/xdg-go/scram"
)

func TestNewVerifiersAgreesWithClient(t *testing.T) {
	for _, password := range []string{"pencil", "I\u00adX", "pass word", "sehr\u00a0geheim", "a,b=c"} {
		v, err := NewVerifiers(password)
		if err != nil {
			t.Fatalf("NewVerifiers(%q): %v", password, err)
		}
		for name, x := range map[string]struct {
			hash scram.HashGeneratorFcn
			v    Verifier
		}{"SHA-1": {scram.SHA1, v.SHA1}, "SHA-256": {scram.SHA256, v.SHA256}} {
			c, err := x.hash.NewClient("ada", password, "")
			if err != nil {
				t.Fatal(err)
			}
			want, err := c.GetStoredCredentialsWithError(scram.KeyFactors{Salt: string(x.v.Salt), Iters: x.v.Iterations})
			if err != nil {
				t.Fatal(err)
			}
			if !cmp.Equal(x.v.StoredKey, want.StoredKey) || !cmp.Equal(x.v.ServerKey, want.ServerKey) {
				t.Errorf("%s verifier of %q differs from the client's", name, password)
			}
		}
	}
}

func TestDeriveRFC(t *testing.T) {
	decode := func(s string) []byte {
		b, err := base64.StdEncoding.DecodeString(s)
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	// The salts of the examples in RFC 5802 §5 and RFC 7677 §3.
	if got, want := derive(sha1.New, "pencil", decode("QSXCR+Q6sek8bf92"), 4096).StoredKey, "6dlGYMOdZcOPutkcNY8U2g7vK9Y="; base64.StdEncoding.EncodeToString(got) != want {
		t.Errorf("derive(SHA-1) stored key = %x; want %s", got, want)
	}
	if got, want := derive(sha256.New, "pencil", decode("W22ZaJ0SNY7soEsUEjb6gQ=="), 4096).StoredKey, "WG5d8oPm3OtcPnkdi4Uo7BkeZkBFzpcXkuLmtbsT4qY="; base64.StdEncoding.EncodeToString(got) != want {
		t.Errorf("derive(SHA-256) stored key = %s; want %s", base64.StdEncoding.EncodeToString(got), want)
	}
}

func TestPrepare(t *testing.T) {
	for _, tt := range []struct {
		name, in, want string
		ok             bool
	}{
		{"plain", "secret", "secret", true},
		{"soft hyphen goes", "I\u00adX", "IX", true},
		{"compatibility form", "\u2168", "IX", true},
		{"emoji, unknown to SASLprep", "\U0001F980", "\U0001F980", true},
		{"empty", "", "", false},
		{"control", "a\x07", "", false},
		{"bad UTF-8", "a\xff", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := prepare(tt.in)
			if got != tt.want || (err == nil) != tt.ok {
				t.Errorf("prepare(%q) = %q, %v; want %q, ok %v", tt.in, got, err, tt.want, tt.ok)
			}
		})
	}
}

func TestVerifiersMarshal(t *testing.T) {
	v, err := NewVerifiers("pencil")
	if err != nil {
		t.Fatal(err)
	}
	b, _ := v.MarshalBinary()
	var got Verifiers
	if err := got.UnmarshalBinary(b); err != nil {
		t.Fatalf("UnmarshalBinary: %v", err)
	}
	if !cmp.Equal(got, v) {
		t.Error("UnmarshalBinary(MarshalBinary(v)) differs from v")
	}
	for n := range b {
		if err := got.UnmarshalBinary(b[:n]); !errors.Is(err, ErrVerifier) {
			t.Errorf("UnmarshalBinary of %d of %d bytes = %v; want ErrVerifier", n, len(b), err)
		}
	}
	if err := got.UnmarshalBinary(append(b, 0)); !errors.Is(err, ErrVerifier) {
		t.Errorf("UnmarshalBinary with a byte too many = %v; want ErrVerifier", err)
	}
	if s := fmt.Sprintf("%v %+v %s", v, v, v); s != "*** *** ***" {
		t.Errorf("printed verifiers = %s; want ***", s)
	}
}

func FuzzUnmarshalVerifiers(f *testing.F) {
	v, _ := NewVerifiers("pencil")
	b, _ := v.MarshalBinary()
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var v Verifiers
		if v.UnmarshalBinary(b) != nil {
			return
		}
		again, _ := v.MarshalBinary()
		var w Verifiers
		if err := w.UnmarshalBinary(again); err != nil || !cmp.Equal(v, w) {
			t.Errorf("round trip of %x: %v", b, err)
		}
	})
}

func BenchmarkNewVerifiers(b *testing.B) {
	for b.Loop() {
		if _, err := NewVerifiers("correct horse"); err != nil {
			b.Fatal(err)
		}
	}
}
