package runner

import (
	"slices"
	"strings"
	"testing"
)

func TestBoxIsToldOfTheTerminalAndOfNothingElse(t *testing.T) {
	for _, c := range []struct {
		name        string
		ours, image []string
		tty         bool
		want        string
	}{
		{"colours", []string{"TERM=xterm-256color", "COLORTERM=truecolor", "NO_COLOR=1"}, nil, true, "TERM=xterm-256color COLORTERM=truecolor NO_COLOR=1"},
		{"no terminal", []string{"TERM=xterm", "COLORTERM=truecolor"}, nil, false, ""},
		{"a type of the terminal's own", []string{"TERM=xterm-kitty"}, nil, true, "TERM=xterm-256color"},
		{"with a suffix", []string{"TERM=foot-extra"}, nil, true, "TERM=xterm-256color"},
		{"a common one", []string{"TERM=tmux-256color"}, nil, true, "TERM=tmux-256color"},
		{"an unknown one", []string{"TERM=wy50"}, nil, true, "TERM=wy50"},
		{"a locale that images lack", []string{"LANG=de_DE.UTF-8"}, nil, false, "LANG=C.UTF-8"},
		{"one that goes first is none", []string{"LC_ALL=C", "LANG=de_DE.UTF-8"}, nil, true, ""},
		{"the image has its own", []string{"LANG=de_DE.UTF-8"}, []string{"LC_ALL=en_US.UTF-8"}, true, ""},
		{"something else of ours", []string{"SSH_AUTH_SOCK=/run/agent"}, nil, true, ""},
	} {
		if got := strings.Join(terminalEnv(c.ours, c.image, c.tty), " "); got != c.want {
			t.Errorf("%s: got %q, want %q", c.name, got, c.want)
		}
	}
}

func TestVariablesOfTheTerminalAreShortAndPlain(t *testing.T) {
	values := map[string]string{
		"TERM": strings.Repeat("x", maxVariable), "COLORTERM": strings.Repeat("x", maxVariable+1),
		"TERM_PROGRAM": "a b", "NO_COLOR": "\x1b[m", "GITHUB_TOKEN": "secret", "LANG": "C.UTF-8",
	}
	got := TerminalEnv(func(name string) string { return values[name] })
	if want := []string{"TERM=" + values["TERM"], "LANG=C.UTF-8"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}
