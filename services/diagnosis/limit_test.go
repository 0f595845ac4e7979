package diagnosis_test

import (
	"context"
	"encoding/json"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"parley/services/callbridge/callbridgeapi"
	"parley/services/config"
	"parley/services/database/databaseapi"
	"parley/services/diagnosis"
	"parley/services/network/networkapi"
	"parley/services/xmpp/xmppapi"
)

// stuck answers nothing before the asker gives up.
type stuck struct{}

func wait[T any](ctx context.Context) (none T, err error) {
	<-ctx.Done()
	return none, ctx.Err()
}

// Status implements diagnosis.XMPP.
func (stuck) Status(ctx context.Context) (xmppapi.Status, error) { return wait[xmppapi.Status](ctx) }

// Cluster implements diagnosis.XMPP.
func (stuck) Cluster(context.Context) (xmppapi.Cluster, error) {
	return xmppapi.Cluster{Member: true, Nodes: []xmppapi.Node{{Address: "10.0.0.1:5222", Self: true}, {Address: "10.0.0.2:5222", Reachable: true}}}, nil
}

// CallBridges implements diagnosis.XMPP.
func (stuck) CallBridges(ctx context.Context) ([]xmppapi.CallBridge, error) {
	return wait[[]xmppapi.CallBridge](ctx)
}

// Examine implements xmppapi.Examiner.
func (stuck) Examine(ctx context.Context, _ json.RawMessage) ([]xmppapi.Examined, error) {
	return wait[[]xmppapi.Examined](ctx)
}

// Interfaces implements diagnosis.Network.
func (stuck) Interfaces(ctx context.Context) ([]networkapi.Interface, error) {
	return wait[[]networkapi.Interface](ctx)
}

// Lookup implements diagnosis.Network.
func (stuck) Lookup(ctx context.Context, _, _ string) (networkapi.Answer, error) {
	return wait[networkapi.Answer](ctx)
}

// ForgetDenials implements diagnosis.Network.
func (stuck) ForgetDenials(ctx context.Context) error {
	_, err := wait[struct{}](ctx)
	return err
}

type stuckDatabase struct{}

// Status implements diagnosis.Database.
func (stuckDatabase) Status(ctx context.Context) (databaseapi.Status, error) {
	return wait[databaseapi.Status](ctx)
}

type stuckBridge struct{}

// Status implements diagnosis.CallBridge.
func (stuckBridge) Status(ctx context.Context) (callbridgeapi.Status, error) {
	return wait[callbridgeapi.Status](ctx)
}

// Directory implements diagnosis.CallBridge: the LDAP server is what does not answer.
func (stuckBridge) Directory(context.Context) (callbridgeapi.Directory, error) {
	return callbridgeapi.Directory{Configured: true, Server: "ldap.tptac9.com:389"}, nil
}

// ProbeDirectory implements diagnosis.CallBridge.
func (stuckBridge) ProbeDirectory(ctx context.Context) error {
	_, err := wait[int](ctx)
	return err
}

// TestNothingHoldsItUp: whatever does not answer, there are findings in time.
func TestNothingHoldsItUp(t *testing.T) {
	n := newWorld(t, makeCerts(t)).nodes[0]
	store := config.NewStore(t.TempDir() + "/live.json")
	if err := store.Update(func(d *config.Document) error { *d = n.doc.Clone(); return nil }); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		d := diagnosis.New(diagnosis.Deps{
			Config: store, Files: n.files, XMPP: stuck{}, Network: stuck{}, CallBridge: stuckBridge{}, Database: stuckDatabase{},
			Dial: func(ctx context.Context, _ string) error { _, err := wait[int](ctx); return err },
			Disk: func() (diagnosis.Disk, error) { return diagnosis.Disk{Size: 100 << 30, Used: 12 << 30}, nil }, Now: func() time.Time { return now },
		})
		start := time.Now()
		findings := d.Run(context.Background())
		if took := time.Since(start); took >= 10*time.Second {
			t.Errorf("Run took %v; want less than 10 s", took)
		}
		var all strings.Builder
		for _, f := range findings {
			all.WriteString(f.Text() + "\n")
		}
		for _, want := range []string{
			"FAIL  XMPP: ", "WARN  listening interface: ", "OK    key and certificate: ", "FAIL  10.0.0.2: TCP ports 5222 and 5223: no reply to 10.0.0.1; ", "FAIL  DNS for clients: _xmpp-client._tcp.tptac9.com: no answer in time; ",
			"FAIL  directory: ldap.tptac9.com:389 does not answer; ", "WARN  Call Bridge secrets: ", "WARN  other members: ",
		} {
			if !strings.Contains(all.String(), want) {
				t.Errorf("no %q in\n%s", want, all.String())
			}
		}
	})
}

func TestAnswerWantsSalt(t *testing.T) {
	d := newWorld(t, makeCerts(t)).nodes[0].diagnosis()
	for _, in := range []string{"", "{}", `{"salt":"AAAA"}`, `[1]`} {
		if out, err := d.Answer(t.Context(), json.RawMessage(in)); err == nil {
			t.Errorf("Answer(%s) = %s; want an error", in, out)
		}
	}
}

// TestAnswerKeepsSecrets: neither secrets nor keys are in what goes to others.
func TestAnswerKeepsSecrets(t *testing.T) {
	n := newWorld(t, makeCerts(t)).nodes[0]
	out, err := n.diagnosis().Answer(t.Context(), json.RawMessage(`{"salt":"AAAAAAAAAAAAAAAAAAAAAA=="}`))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"secret of cb", "PRIVATE KEY"} {
		if strings.Contains(string(out), secret) {
			t.Errorf("the answer holds %q:\n%s", secret, out)
		}
	}
	var r struct {
		Secrets map[string]string `json:"secrets"`
	}
	if err := json.Unmarshal(out, &r); err != nil || len(r.Secrets) != 3 || len(r.Secrets["cb1"]) != 64 || r.Secrets["cb1"] == r.Secrets["cb2"] {
		t.Errorf("digests are %v, %v; want three of 64 digits that differ", r.Secrets, err)
	}
}

// FuzzAnswer: whatever is asked, a node answers or refuses.
func FuzzAnswer(f *testing.F) {
	d := newWorld(f, makeCerts(f)).nodes[0].diagnosis()
	f.Add([]byte(`{"salt":"AAAAAAAAAAAAAAAAAAAAAA==","chain":["AAAA"]}`))
	f.Fuzz(func(t *testing.T, in []byte) {
		if out, err := d.Answer(context.Background(), in); err == nil && !json.Valid(out) {
			t.Errorf("Answer(%q) = %q; want JSON", in, out)
		}
	})
}

// FuzzReport: whatever a member answers, there are findings, with a text.
func FuzzReport(f *testing.F) {
	w := newWorld(f, makeCerts(f))
	d := w.nodes[0].diagnosis()
	answer, err := w.nodes[1].diagnosis().Answer(context.Background(), json.RawMessage(`{"salt":"AAAAAAAAAAAAAAAAAAAAAA=="}`))
	if err != nil {
		f.Fatal(err)
	}
	w.nodes[2].deaf = true
	f.Add([]byte(answer))
	f.Add([]byte(`{"services":[{"what":"x","from":"local record","targets":[{"host":""},{"host":"x","addresses":["::1"]}]}],"chain":["AAAA"]}`))
	f.Add([]byte(`{"findings":[{"level":"FAIL","node":"10.106.81.30"},{}],"domain":"x","host":"cb1","secrets":{"cb1":""}}`))
	f.Add([]byte(`{"knocks":{"10.106.81.32:5222":"refused","10.106.81.31:5222":"no reply","x":""},"services":[{"what":"x","err":"x","silent":["x"],"asker":"y"}]}`))
	f.Fuzz(func(t *testing.T, says []byte) {
		w.nodes[1].says = says
		var findings []diagnosis.Finding
		synctest.Test(t, func(t *testing.T) { findings = d.Run(t.Context()) })
		if len(findings) < 15 {
			t.Errorf("%d findings only", len(findings))
		}
		for _, f := range findings {
			if f.Text() == "" {
				t.Errorf("%+v has no text", f)
			}
		}
	})
}
