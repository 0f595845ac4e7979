package eventlogapi

import "testing"

func TestLeaderChange(t *testing.T) {
	want := LeaderChange{Node: "10.106.81.30:5222", Before: "10.106.81.31:5222"}
	if got := want.Message(); got != "XMPP node 10.106.81.30:5222 leads the cluster now, after 10.106.81.31:5222" {
		t.Errorf("Message() = %q", got)
	}
	for message, is := range map[string]bool{
		want.Message(): true, "XMPP node 10.106.81.30:5222 cannot be reached": false, "": false,
		"XMPP node  leads the cluster now, after x": false, "XMPP node x leads the cluster now, after ": false,
		"no longer so: XMPP node x leads the cluster now, after y": false,
	} {
		if got, ok := ParseLeaderChange(message); ok != is || is && got != want {
			t.Errorf("ParseLeaderChange(%q) = %+v, %v; want %v", message, got, ok, is)
		}
	}
}
