package webadmin

import (
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestUsers(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("app")
	wantText(t, b.get("/configuration/users"), http.StatusOK, "XMPP users", "Username Password Connected", "ada@tptac9.com here phone 3 Set password Delete", "Add a user")
	wantText(t, b.get("/configuration/users?do=delete&user=ada"), http.StatusOK, "Delete ada?", "messages that wait")
	wantText(t, b.get("/configuration/users?do=password&user=ada"), http.StatusOK, "New password of ada")
	for _, do := range []string{"delete", "password"} {
		got := b.get("/configuration/users?do=" + do + "&user=eve")
		wantText(t, got, http.StatusNotFound, "there is no chat account eve", "ada@tptac9.com")
		if strings.Contains(got.text(), "of eve") || strings.Contains(got.text(), "eve?") {
			t.Errorf("what is not there is offered to be changed:\n%s", got.text())
		}
	}
	tests := []struct {
		name   string
		fields []string
		done   string
		fail   string
		users  map[string]string
		audit  []string
	}{
		{"add", []string{"do", "add", "user", "Ben", "password", "pw", "again", "pw"}, "user-added", "", map[string]string{"ada": "x", "ben": "pw"}, []string{"xmpp user add ben"}},
		{"add again", []string{"do", "add", "user", "ben", "password", "pw2", "again", "pw2"}, "", "there is already a chat account ben", map[string]string{"ada": "x", "ben": "pw"}, []string{"xmpp user add ben"}},
		{"differ", []string{"do", "add", "user", "eve", "password", "pw2", "again", "pw3"}, "", "the two passwords are not the same", map[string]string{"ada": "x", "ben": "pw"}, nil},
		{"bad name", []string{"do", "add", "user", "a@b", "password", "pw", "again", "pw"}, "", "a@b cannot be the name of a chat account", map[string]string{"ada": "x", "ben": "pw"}, nil},
		{"no name", []string{"do", "add", "password", "pw", "again", "pw"}, "", "cannot be the name of a chat account", map[string]string{"ada": "x", "ben": "pw"}, nil},
		{"password", []string{"do", "password", "user", "ben", "password", "new", "again", "new"}, "user-password", "", map[string]string{"ada": "x", "ben": "new"}, []string{"xmpp user passwd ben"}},
		{"delete", []string{"do", "delete", "user", "ben"}, "user-deleted", "", map[string]string{"ada": "x"}, []string{"xmpp user del ben"}},
		{"delete nobody", []string{"do", "delete", "user", "ben"}, "", "there is no chat account ben", map[string]string{"ada": "x"}, []string{"xmpp user del ben"}},
		{"something else", []string{"do", "promote", "user", "ada"}, "", "there is no page", map[string]string{"ada": "x"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got := b.submit("/configuration/users", tt.fields...)
			if tt.fail != "" {
				wantText(t, got, got.status, tt.fail)
				if got.status < 400 {
					t.Errorf("status %d; want a refusal", got.status)
				}
			} else if got.location() != "/configuration/users?done="+tt.done {
				t.Errorf("leads to %q:\n%s", got.location(), got.text())
			}
			if diff := cmp.Diff(tt.users, s.xmpp.users); diff != "" {
				t.Errorf("users (-want +got):\n%s", diff)
			}
			s.audited(t, "app", tt.audit...)
		})
	}
}

// TestDirectoryUser: the directory has the password and may bring the account
// back, which the pages say.
func TestDirectoryUser(t *testing.T) {
	s := newSite(t)
	b := s.loggedIn("app")
	s.xmpp.directory = []string{"ada"}
	wantText(t, b.get("/configuration/users"), http.StatusOK, "ada@tptac9.com directory phone 3 Set password Delete", "Add a user")
	wantText(t, b.get("/configuration/users?do=password&user=ada"), http.StatusOK, "The directory has this password. One that is set here takes its place")
	s.xmpp.left = []string{"ada"}
	wantText(t, b.get("/configuration/users"), http.StatusOK, "ada@tptac9.com no longer in the directory, cannot log in phone 3 Set password Delete")
	wantText(t, b.get("/configuration/users?do=delete&user=ada"), http.StatusOK, "Delete ada?", "the next log-in or list makes a new account")
}
