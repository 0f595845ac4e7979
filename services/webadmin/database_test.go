package webadmin

import (
	"testing"

	"parley/services/database/databaseapi"
)

// TestDatabaseAnswer: /system/database of each kind of node.
func TestDatabaseAnswer(t *testing.T) {
	s := newAPISite(t)
	b := s.program("api", password)
	for _, tt := range []struct {
		name   string
		status databaseapi.Status
		want   string
	}{
		{"alone", databaseapi.Status{Mode: databaseapi.Alone}, `<database><clustered>disabled</clustered><cluster></cluster></database>`},
		{"connected", databaseapi.Status{Mode: databaseapi.Connected, InUse: "10.106.81.30", Nodes: []databaseapi.Node{{Address: "10.106.81.30", Primary: true, Connected: true}}},
			`<database><clustered>client</clustered><cluster><node><hostname>10.106.81.30</hostname><up>true</up><syncBehind>0</syncBehind><master>true</master></node></cluster></database>`},
		{"without a primary", databaseapi.Status{Mode: databaseapi.Member, Trouble: "no primary", Nodes: []databaseapi.Node{{Address: "10.106.81.30", Self: true, Connected: true}, {Address: "10.106.81.31"}}},
			`<database><clustered>enabled</clustered><trouble>no primary</trouble><cluster><node><hostname>10.106.81.30</hostname><up>true</up><syncBehind>-1</syncBehind><master>false</master></node>` +
				`<node><hostname>10.106.81.31</hostname><up>false</up><syncBehind>-1</syncBehind><master>false</master></node></cluster></database>`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s.database.status = tt.status
			if got := b.get(apiPath + "system/database"); got.status != 200 || got.body != `<?xml version="1.0"?>`+"\n"+tt.want {
				t.Errorf("system/database = %d %s; want %s", got.status, got.body, tt.want)
			}
		})
	}
}
