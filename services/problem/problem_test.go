package problem

import (
	"errors"
	"fmt"
	"strings"
	"testing"
)

func TestTextFillsInValues(t *testing.T) {
	err := fmt.Errorf("reload: %w", New(NotReachable, "service", "xmpp"))
	got := Text(err)
	if !strings.Contains(got, "xmpp") || strings.ContainsAny(got, "{}\n") {
		t.Errorf("Text(%v) = %q; want one line that names xmpp", err, got)
	}
	if !errors.Is(err, New(NotReachable)) {
		t.Errorf("errors.Is(%v, NotReachable) = false; want true", err)
	}
}

func TestErrorIsTheText(t *testing.T) {
	tests := []struct {
		name string
		err  error
		want string
	}{
		{"a problem", New(SecretEmpty), Text(New(SecretEmpty))},
		{"where it came from stays", fmt.Errorf("join: %w", New(SecretEmpty)), "join: " + Text(New(SecretEmpty))},
		{"of another version", New("later-code", "node", "cb1", "a", "b c"), `later-code a="b c" node="cb1"`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := tt.err.Error(); got != tt.want {
				t.Errorf("Error() = %q; want %q", got, tt.want)
			}
		})
	}
}

func TestEveryTextNamesAFix(t *testing.T) {
	for code, text := range texts {
		wrong, fix, ok := strings.Cut(text, "; ")
		if !ok || wrong == "" || fix == "" {
			t.Errorf("text of %s = %q; want \"what is wrong; the fix\"", code, text)
		}
	}
}
