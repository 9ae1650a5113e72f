package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"sync"
)

// logger tells what goes wrong beside a command, in the form in which av says all.
func (e *env) logger() *slog.Logger { return slog.New(&lines{out: e.stderr}) }

// lines is a slog.Handler for a person's eyes: errors only, a line each.
type lines struct {
	mu    sync.Mutex
	out   io.Writer
	attrs []slog.Attr
}

func (l *lines) Enabled(_ context.Context, level slog.Level) bool { return level >= slog.LevelError }

func (l *lines) Handle(_ context.Context, r slog.Record) error {
	var b strings.Builder
	b.WriteString("av: error: " + r.Message)
	add := func(a slog.Attr) bool {
		fmt.Fprintf(&b, " (%s: %v)", a.Key, a.Value.Resolve())
		return true
	}
	for _, a := range l.attrs {
		add(a)
	}
	r.Attrs(add)
	l.mu.Lock()
	defer l.mu.Unlock()
	_, err := io.WriteString(l.out, clean(b.String())+"\n")
	return err
}

func (l *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	return &lines{out: l.out, attrs: append(l.attrs[:len(l.attrs):len(l.attrs)], attrs...)}
}

// WithGroup changes nothing: av logs no groups.
func (l *lines) WithGroup(string) slog.Handler { return l }
