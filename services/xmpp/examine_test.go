package xmpp

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parley/services/config"
	"parley/services/xmpp/xmppapi"
)

// TestExamine: each member has the others examined, of one that is gone it says
// so, and a stranger has nobody examined.
func TestExamine(t *testing.T) {
	ms := newCluster(t, 3)
	ask := func(m *member) []xmppapi.Examined {
		t.Helper()
		out, err := xmppapi.NewClient(config.FolderPaths(m.dir).Socket("xmpp")).Examine(t.Context(), json.RawMessage(`{"salt":1}`))
		if err != nil {
			t.Fatal(err)
		}
		return out
	}
	for i, m := range ms {
		var want []xmppapi.Examined
		for _, other := range slices.Delete(slices.Clone(ms), i, i+1) {
			addr := other.addr.Load().String()
			want = append(want, xmppapi.Examined{Address: addr + ":5222", Out: json.RawMessage(fmt.Sprintf("%q", addr+` examined for {"salt":1}`))})
		}
		if d := cmp.Diff(want, ask(m)); d != "" {
			t.Errorf("asked by %s (-want +got):\n%s", m.addr.Load(), d)
		}
	}

	stranger := newMembers(t, 1)[0]
	if got := ask(stranger); len(got) != 0 {
		t.Errorf("one in no cluster has %v examined; want none", got)
	}
	for _, f := range []string{"one.key", "one.crt"} {
		data, err := os.ReadFile(filepath.Join(config.FolderPaths(ms[0].dir).Files(), f))
		if err == nil {
			err = os.WriteFile(filepath.Join(config.FolderPaths(stranger.dir).Files(), f), data, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := stranger.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	err := stranger.core.peers.Call(t.Context(), ms[0].addr.Load().String()+":5222", callExamine, "x", nil)
	if err == nil || !strings.Contains(err.Error(), errStranger.Error()) {
		t.Errorf("a stranger's call = %v; want %v", err, errStranger)
	}

	ms[2].end()
	if got := ask(ms[0]); len(got) != 2 || got[0].Failure != "" || got[1].Failure == "" || got[1].Out != nil {
		t.Errorf("with a member gone: %+v; want the first answer, and a failure", got)
	}
}
