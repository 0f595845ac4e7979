package config

import "log/slog"

// Secret is a string that never prints: neither by fmt nor by slog. Code
// that must have the text calls Reveal, which is easy to search for.
type Secret string

// Reveal returns the text.
func (s Secret) Reveal() string { return string(s) }

// String hides the text from fmt.
func (s Secret) String() string { return "***" }

// GoString hides the text from %#v.
func (s Secret) GoString() string { return "***" }

// LogValue hides the text from slog.
func (s Secret) LogValue() slog.Value { return slog.StringValue("***") }
