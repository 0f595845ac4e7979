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

func TestEveryTextNamesAFix(t *testing.T) {
	for code, text := range texts {
		wrong, fix, ok := strings.Cut(text, "; ")
		if !ok || wrong == "" || fix == "" {
			t.Errorf("text of %s = %q; want \"what is wrong; the fix\"", code, text)
		}
	}
}
