package journal

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode"
)

// NewHandler returns a slog handler that writes lines to sink. The attribute
// "component" (outside any group) is the tag before the message; the last one
// wins. Types that hide themselves (slog.LogValuer, fmt.Stringer) stay hidden.
func NewHandler(sink Sink, level slog.Leveler) slog.Handler {
	return &handler{sink: sink, level: level, tag: "parley"}
}

// handler is immutable; WithAttrs and WithGroup return copies.
type handler struct {
	sink  Sink
	level slog.Leveler
	tag   string
	// attrs are already in text form, each with a leading blank.
	attrs string
	// group is the prefix of the attributes to come, "a.b.".
	group string
}

func (h *handler) Enabled(_ context.Context, l slog.Level) bool { return l >= h.level.Level() }

func (h *handler) Handle(_ context.Context, r slog.Record) error {
	tag, b := h.tag, strings.Builder{}
	b.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		if h.group == "" && a.Key == "component" {
			tag = a.Value.Resolve().String()
			return true
		}
		appendAttr(&b, h.group, a)
		return true
	})
	t := r.Time
	if t.IsZero() {
		t = time.Now()
	}
	return h.sink.Line(stamp(t) + " " + levelName(r.Level) + " " + tag + ": " + r.Message + b.String())
}

func (h *handler) WithAttrs(attrs []slog.Attr) slog.Handler {
	c := *h
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		if h.group == "" && a.Key == "component" {
			c.tag = a.Value.Resolve().String()
			continue
		}
		appendAttr(&b, h.group, a)
	}
	c.attrs = b.String()
	return &c
}

func (h *handler) WithGroup(name string) slog.Handler {
	c := *h
	if name != "" {
		c.group += name + "."
	}
	return &c
}

func appendAttr(b *strings.Builder, prefix string, a slog.Attr) {
	v := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
		return
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			prefix += a.Key + "."
		}
		for _, g := range v.Group() {
			appendAttr(b, prefix, g)
		}
		return
	}
	b.WriteByte(' ')
	b.WriteString(quote(prefix + a.Key))
	b.WriteByte('=')
	b.WriteString(quote(text(v)))
}

func text(v slog.Value) string {
	switch v.Kind() {
	case slog.KindTime:
		return v.Time().UTC().Format(time.RFC3339Nano)
	case slog.KindAny:
		if err, ok := v.Any().(error); ok && err != nil {
			return err.Error()
		}
		return fmt.Sprint(v.Any())
	}
	return v.String()
}

// quote leaves plain words as they are, so that lines stay easy to read.
func quote(s string) string {
	if s == "" || strings.ContainsFunc(s, func(r rune) bool {
		return r == ' ' || r == '"' || r == '=' || !unicode.IsPrint(r)
	}) {
		return strconv.Quote(s)
	}
	return s
}
