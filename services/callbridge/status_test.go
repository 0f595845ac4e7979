package callbridge

import (
	"testing"
	"time"
)

func TestAuthenticationRow(t *testing.T) {
	now := time.Now()
	for _, tt := range []struct {
		name       string
		own        bool
		components int
		ailing     string
		want       string
	}{
		{"none", false, 0, "", "no authentication components found"},
		{"own alone", true, 1, "", "registered for 1 minute, 2 seconds (1 authentication component)"},
		{"own and others", true, 3, "", "registered for 1 minute, 2 seconds (3 authentication components)"},
		{"own, without its LDAP server", true, 3, "ldap.example.com:389", "LDAP server ldap.example.com:389 cannot be asked; see 'callbridge directory' (3 authentication components)"},
		{"another's", false, 1, "", "1 authentication component found"},
		{"others'", false, 2, "", "2 authentication components found"},
	} {
		s := status{own: tt.own, components: tt.components, registered: now.Add(-62 * time.Second)}
		if got := s.tell(now, tt.ailing).AuthenticationRow; got != tt.want {
			t.Errorf("%s: row = %q; want %q", tt.name, got, tt.want)
		}
	}
}
