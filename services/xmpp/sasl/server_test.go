package sasl

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"math/big"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/xdg-go/scram"

	"parley/services/config"
)

// accounts is the in-memory twin of the store.
type accounts map[string]Verifiers

func (a accounts) Credentials(_ context.Context, local string) (Verifiers, bool, error) {
	if local == "broken" {
		return Verifiers{}, false, errors.New("disk")
	}
	v, ok := a[local]
	return v, ok, nil
}

func newServer(t testing.TB) *Server {
	v, err := NewVerifiers("pencil")
	if err != nil {
		t.Fatal(err)
	}
	w, err := NewVerifiers("pa,ss=w\u00f6rd")
	if err != nil {
		t.Fatal(err)
	}
	return NewServer("example.com", accounts{"ada": v, "jürgen": w, "a=b": v}, nil, []byte("key"))
}

var testChannel = Channel{Secure: true, Bindings: []scram.ChannelBinding{
	{Type: scram.ChannelBindingTLSExporter, Data: []byte("exported")},
	{Type: scram.ChannelBindingTLSServerEndpoint, Data: []byte("certificate")},
}}

// converse runs a client of xdg-go/scram against the server.
func converse(s *Server, mechanism, user, password, authzid string, ch Channel, cb scram.ChannelBinding) (string, error) {
	x, err := s.Start(mechanism, ch)
	if err != nil {
		return "", err
	}
	hash := scram.SHA256
	if strings.HasPrefix(mechanism, "SCRAM-SHA-1") {
		hash = scram.SHA1
	}
	client, err := hash.NewClient(user, password, authzid)
	if err != nil {
		return "", err
	}
	conv := client.NewConversation()
	switch {
	case strings.HasSuffix(mechanism, plus):
		conv = client.NewConversationWithChannelBinding(cb)
	case cb.IsSupported():
		conv = client.NewConversationAdvertisingChannelBinding()
	}
	in := ""
	for {
		out, err := conv.Step(in)
		if err != nil {
			return "", fmt.Errorf("client: %w", err)
		}
		if conv.Done() {
			if !conv.Valid() {
				return "", errors.New("client: the server's signature is wrong")
			}
			return x.Local(), nil
		}
		answer, _, err := x.Step(context.Background(), []byte(out))
		if err != nil {
			return "", err
		}
		in = string(answer)
	}
}

func TestSCRAM(t *testing.T) {
	s := newServer(t)
	exporter, endpoint := testChannel.Bindings[0], testChannel.Bindings[1]
	other := scram.ChannelBinding{Type: exporter.Type, Data: []byte("of another connection")}
	unique := scram.NewTLSUniqueBinding([]byte("unique"))
	none := scram.ChannelBinding{}
	for _, tt := range []struct {
		name, mechanism, user, password, authzid string
		cb                                       scram.ChannelBinding
		want                                     string
		err                                      error
	}{
		{"SHA-256", "SCRAM-SHA-256", "ada", "pencil", "", none, "ada", nil},
		{"SHA-1", "SCRAM-SHA-1", "ada", "pencil", "", none, "ada", nil},
		{"SHA-256-PLUS exporter", "SCRAM-SHA-256-PLUS", "ada", "pencil", "", exporter, "ada", nil},
		{"SHA-1-PLUS end-point", "SCRAM-SHA-1-PLUS", "ada", "pencil", "", endpoint, "ada", nil},
		{"case-mapped name, odd password", "SCRAM-SHA-256", "Jürgen", "pa,ss=w\u00f6rd", "", none, "jürgen", nil},
		{"name with =", "SCRAM-SHA-1", "a=b", "pencil", "", none, "a=b", nil},
		{"own authzid", "SCRAM-SHA-256", "ada", "pencil", "ada@example.com", none, "ada", nil},
		{"other authzid", "SCRAM-SHA-256", "ada", "pencil", "eve@example.com", none, "", InvalidAuthzid},
		{"authzid of another domain", "SCRAM-SHA-256", "ada", "pencil", "ada@example.org", none, "", InvalidAuthzid},
		{"wrong password", "SCRAM-SHA-256", "ada", "pen", "", none, "", NotAuthorized},
		{"wrong password with binding", "SCRAM-SHA-256-PLUS", "ada", "pen", "", exporter, "", NotAuthorized},
		{"unknown user", "SCRAM-SHA-256", "eve", "pencil", "", none, "", NotAuthorized},
		{"name that cannot be", "SCRAM-SHA-256", "a b", "pencil", "", none, "", NotAuthorized},
		{"store failed", "SCRAM-SHA-256", "broken", "pencil", "", none, "", TemporaryFailure},
		{"binding of another connection", "SCRAM-SHA-256-PLUS", "ada", "pencil", "", other, "", NotAuthorized},
		{"binding not offered", "SCRAM-SHA-256-PLUS", "ada", "pencil", "", unique, "", MalformedRequest},
		{"downgrade: y though PLUS was offered", "SCRAM-SHA-256", "ada", "pencil", "", exporter, "", MalformedRequest},
		{"unknown mechanism", "SCRAM-SHA-512", "ada", "pencil", "", none, "", InvalidMechanism},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := converse(s, tt.mechanism, tt.user, tt.password, tt.authzid, testChannel, tt.cb)
			if got != tt.want || !errors.Is(err, tt.err) {
				t.Errorf("login = %q, %v; want %q, %v", got, err, tt.want, tt.err)
			}
		})
	}
}

func TestSCRAMWithoutBindings(t *testing.T) {
	s := newServer(t)
	bare := Channel{Secure: true}
	if got, err := converse(s, "SCRAM-SHA-256", "ada", "pencil", "", bare, testChannel.Bindings[0]); got != "ada" || err != nil {
		t.Errorf("login with y where PLUS was not offered = %q, %v; want ada", got, err)
	}
	if _, err := s.Start("SCRAM-SHA-256-PLUS", bare); err != InvalidMechanism {
		t.Errorf("Start(PLUS) where it was not offered = %v; want %v", err, InvalidMechanism)
	}
}

func TestMessages(t *testing.T) {
	s := newServer(t)
	for _, tt := range []struct {
		name, mechanism string
		in              []string
		want            error
		local           string
	}{
		{"plain", "PLAIN", []string{"\x00ada\x00pencil"}, nil, "ada"},
		{"plain with authzid", "PLAIN", []string{"ada@example.com\x00ada\x00pencil"}, nil, "ada"},
		{"plain with other authzid", "PLAIN", []string{"eve@example.com\x00ada\x00pencil"}, InvalidAuthzid, ""},
		{"plain, wrong password", "PLAIN", []string{"\x00ada\x00pen"}, NotAuthorized, ""},
		{"plain, other authzid and wrong password", "PLAIN", []string{"eve@example.com\x00ada\x00pen"}, NotAuthorized, ""},
		{"plain, unknown user", "PLAIN", []string{"\x00eve\x00pencil"}, NotAuthorized, ""},
		{"plain, no user", "PLAIN", []string{"\x00\x00pencil"}, MalformedRequest, ""},
		{"plain, no password", "PLAIN", []string{"\x00ada\x00"}, MalformedRequest, ""},
		{"plain, one field", "PLAIN", []string{"ada"}, MalformedRequest, ""},
		{"plain, four fields", "PLAIN", []string{"\x00ada\x00pencil\x00"}, MalformedRequest, ""},
		{"plain, bad UTF-8", "PLAIN", []string{"\x00ada\x00\xff"}, MalformedRequest, ""},
		{"plain, huge", "PLAIN", []string{"\x00ada\x00" + strings.Repeat("x", plainMax)}, MalformedRequest, ""},
		{"plain, control in password", "PLAIN", []string{"\x00ada\x00a\x07"}, NotAuthorized, ""},
		{"empty", "SCRAM-SHA-256", []string{""}, MalformedRequest, ""},
		{"no nonce", "SCRAM-SHA-256", []string{"n,,n=ada"}, MalformedRequest, ""},
		{"bad escape", "SCRAM-SHA-256", []string{"n,,n=a=xb,r=x"}, MalformedRequest, ""},
		{"extension", "SCRAM-SHA-256", []string{"n,,m=x,n=ada,r=x"}, MalformedRequest, ""},
		{"PLUS without binding", "SCRAM-SHA-256-PLUS", []string{"n,,n=ada,r=x"}, MalformedRequest, ""},
		{"binding without PLUS", "SCRAM-SHA-256", []string{"p=tls-exporter,,n=ada,r=x"}, MalformedRequest, ""},
		{"unknown binding", "SCRAM-SHA-256-PLUS", []string{"p=x,,n=ada,r=x"}, MalformedRequest, ""},
		{"rubbish at the end", "SCRAM-SHA-256", []string{"n,,n=ada,r=x", "rubbish"}, NotAuthorized, ""},
		{"another nonce", "SCRAM-SHA-256", []string{"n,,n=ada,r=x", "c=biws,r=y,p=AAAA"}, NotAuthorized, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			x, err := s.Start(tt.mechanism, testChannel)
			if err != nil {
				t.Fatal(err)
			}
			for i, in := range tt.in {
				var done bool
				if _, done, err = x.Step(context.Background(), []byte(in)); i < len(tt.in)-1 && err != nil {
					t.Fatalf("Step(%q) = %v", in, err)
				}
				if done && x.Local() != tt.local {
					t.Errorf("Local() = %q; want %q", x.Local(), tt.local)
				}
				if done != (tt.local != "" && i == len(tt.in)-1) {
					t.Errorf("Step(%q) done = %v", in, done)
				}
			}
			if !errors.Is(err, tt.want) {
				t.Errorf("last Step = %v; want %v", err, tt.want)
			}
			if _, done, err := x.Step(context.Background(), []byte("\x00ada\x00pencil")); done || err == nil {
				t.Error("an exchange went on after its end")
			}
		})
	}
}

func TestUnknownUserLooksKnown(t *testing.T) {
	s := newServer(t)
	first := func(user string) string {
		x, err := s.Start("SCRAM-SHA-256", testChannel)
		if err != nil {
			t.Fatal(err)
		}
		out, _, err := x.Step(context.Background(), []byte("n,,n="+user+",r=x"))
		if err != nil {
			t.Fatal(err)
		}
		return string(out[strings.IndexByte(string(out), ','):])
	}
	if a, b := first("eve"), first("eve"); a != b {
		t.Errorf("salt of an unknown user changes: %s, %s", a, b)
	}
	if a, b := first("eve"), first("mallory"); a == b {
		t.Errorf("unknown users share the salt %s", a)
	}
	if a, b := first("eve"), first("ada"); len(a) != len(b) {
		t.Errorf("answers for unknown and known users differ in form: %s, %s", a, b)
	}
}

func TestNotWithoutTLS(t *testing.T) {
	s := newServer(t)
	if ms := s.Mechanisms(Channel{}); len(ms) != 0 {
		t.Errorf("Mechanisms without TLS = %v; want none", ms)
	}
	for _, m := range s.Mechanisms(testChannel) {
		if _, err := s.Start(m, Channel{}); err != EncryptionRequired {
			t.Errorf("Start(%s) without TLS = %v; want %v", m, err, EncryptionRequired)
		}
	}
}

func TestNewChannel(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	for version, want := range map[uint16][]string{
		tls.VersionTLS12: {"tls-server-end-point", "tls-unique"},
		tls.VersionTLS13: {"tls-exporter", "tls-server-end-point"},
	} {
		a, b := net.Pipe()
		server := tls.Server(a, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}, MaxVersion: version})
		client := tls.Client(b, &tls.Config{InsecureSkipVerify: true})
		done := make(chan error, 1)
		go func() { done <- client.Handshake() }()
		if err := server.Handshake(); err != nil {
			t.Fatal(err)
		}
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		ch := NewChannel(server.ConnectionState(), leaf)
		if got := ch.Types(); !cmp.Equal(got, want) {
			t.Fatalf("%s: Types() = %v; want %v", tls.VersionName(version), got, want)
		}
		state := client.ConnectionState()
		theirs, err := scram.NewTLSServerEndpointBinding(&state)
		if err != nil || !slices.ContainsFunc(ch.Bindings, theirs.Matches) {
			t.Errorf("%s: tls-server-end-point differs from the client's, %v", tls.VersionName(version), err)
		}
		a.Close()
		b.Close()
	}
}

func FuzzExchange(f *testing.F) {
	s := newServer(f)
	f.Add("PLAIN", []byte("\x00ada\x00pencil"), []byte(""))
	f.Add("SCRAM-SHA-256", []byte("n,,n=ada,r=x"), []byte("c=biws,r=x,p=AAAA"))
	f.Add("SCRAM-SHA-1-PLUS", []byte("p=tls-exporter,a=x,n=a=3Db,r=x"), []byte("c=biws,r=x,p=AAAA"))
	f.Fuzz(func(t *testing.T, mechanism string, first, final []byte) {
		x, err := s.Start(mechanism, testChannel)
		if err != nil {
			return
		}
		for _, in := range [][]byte{first, final} {
			_, done, err := x.Step(context.Background(), in)
			var failure Failure
			if err != nil && !errors.As(err, &failure) {
				t.Fatalf("Step(%q) = %v; want a Failure", in, err)
			}
			if done && !strings.HasSuffix(string(in), "\x00pencil") && !strings.HasSuffix(string(in), "\x00pa,ss=w\u00f6rd") {
				t.Fatalf("Step(%q) authenticates %q without the password", in, x.Local())
			}
		}
	})
}

// keptElsewhere is a Passwords with one user, cyd.
type keptElsewhere struct{ used bool }

func (k keptElsewhere) Used() bool { return k.used }

func (keptElsewhere) Check(_ context.Context, _, local string, password config.Secret) (bool, error) {
	if local == "lost" {
		return false, errors.New("nobody answers")
	}
	return local == "cyd" && password == " Str\u00e4nge ", nil
}

func TestPasswordsElsewhere(t *testing.T) {
	v, err := NewVerifiers("pencil")
	if err != nil {
		t.Fatal(err)
	}
	server := func(used bool) *Server {
		return NewServer("example.com", accounts{"ada": v}, keptElsewhere{used}, []byte("key"))
	}
	if diff := cmp.Diff([]string{"PLAIN"}, server(true).Mechanisms(testChannel)); diff != "" {
		t.Errorf("Mechanisms where some are used (-want +got):\n%s", diff)
	}
	if ms := server(true).Mechanisms(Channel{}); len(ms) != 0 {
		t.Errorf("Mechanisms without TLS = %v; want none", ms)
	}
	if _, err := server(true).Start("SCRAM-SHA-256", testChannel); err != InvalidMechanism {
		t.Errorf("Start(SCRAM) where some are used = %v; want %v", err, InvalidMechanism)
	}
	if ms := server(false).Mechanisms(testChannel); !slices.Contains(ms, "SCRAM-SHA-256-PLUS") {
		t.Errorf("Mechanisms where none are used = %v; want SCRAM", ms)
	}
	for _, tt := range []struct {
		name, in string
		want     error
	}{
		{"kept here", "\x00ada\x00pencil", nil},
		{"kept here, wrong", "\x00ada\x00 Str\u00e4nge ", NotAuthorized},
		{"elsewhere, as typed", "\x00cyd\x00 Str\u00e4nge ", nil},
		{"elsewhere, prepared name", "\x00CYD\x00 Str\u00e4nge ", nil},
		{"elsewhere, wrong", "\x00cyd\x00pencil", NotAuthorized},
		{"elsewhere, own authzid", "cyd@example.com\x00cyd\x00 Str\u00e4nge ", nil},
		{"elsewhere, other authzid", "ada@example.com\x00cyd\x00 Str\u00e4nge ", InvalidAuthzid},
		{"nowhere", "\x00eve\x00pencil", NotAuthorized},
		{"not decided", "\x00lost\x00pencil", TemporaryFailure},
		{"name that cannot be", "\x00a b\x00pencil", NotAuthorized},
		{"disk failed", "\x00broken\x00pencil", TemporaryFailure},
	} {
		for _, used := range []bool{true, false} {
			x, err := server(used).Start("PLAIN", testChannel)
			if err != nil {
				t.Fatal(err)
			}
			if _, done, err := x.Step(context.Background(), []byte(tt.in)); !errors.Is(err, tt.want) || done != (tt.want == nil) {
				t.Errorf("%s, used %v: Step = done %v, %v; want %v", tt.name, used, done, err, tt.want)
			}
		}
	}
	if _, err := converse(server(false), "SCRAM-SHA-256", "cyd", " Str\u00e4nge ", "", testChannel, scram.ChannelBinding{}); err != NotAuthorized && err != MalformedRequest {
		t.Errorf("SCRAM of one who is elsewhere = %v; want a refusal", err)
	}
}
