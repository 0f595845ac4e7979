package mmp

import (
	"testing"

	"parley/services/problem"
)

// TestNodeArgument: a node is an address or a name, with its port or without.
func TestNodeArgument(t *testing.T) {
	for _, tt := range []struct{ typed, want string }{
		{"10.106.81.30", "10.106.81.30"}, {"10.106.81.30:5222", "10.106.81.30"}, {"cb1.tptac9.com", "cb1.tptac9.com"}, {"cb1.:5222", "cb1"},
		{"fd00::1", "fd00::1"}, {"[fd00::1]", "fd00::1"}, {"[FD00:0::1]:5222", "fd00::1"},
		{"10.106.81.30:5223", ""}, {"[fd00::1]:5223", ""}, {"[fd00::1", ""}, {"fd00::1]", ""}, {"fd00::1]:5222", ""}, {"[[fd00::1]]", ""}, {"[]", ""},
		{"[10.106.81.30]", ""}, {"::", ""}, {"ff02::1", ""}, {"fe80::1%a", ""}, {"0.0.0.0", ""}, {"10.106.81", ""}, {"", ""}, {"a b", ""},
	} {
		got, err := nodeArg.parse(tt.typed)
		if tt.want == "" {
			if problem.CodeOf(err) != problem.ArgumentBad {
				t.Errorf("parse(%q) = %v, %v; want %s", tt.typed, got, err, problem.ArgumentBad)
			}
			continue
		}
		if err != nil || got != tt.want {
			t.Errorf("parse(%q) = %v, %v; want %s", tt.typed, got, err, tt.want)
		}
	}
	for host, want := range map[string]string{"10.106.81.30": "10.106.81.30:5222", "fd00::1": "[fd00::1]:5222", "cb1": "cb1"} {
		if got := address(host); got != want {
			t.Errorf("address(%s) = %s; want %s", host, got, want)
		}
	}
}
