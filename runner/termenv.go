package runner

import (
	"slices"
	"strings"
)

// terminalVariables are those that tell a program what its terminal can do. They name
// no file, address or person, and a box is given them where it has a terminal.
var terminalVariables = []string{
	"TERM", "COLORTERM", "COLORFGBG", "TERM_PROGRAM", "TERM_PROGRAM_VERSION",
	"NO_COLOR", "FORCE_COLOR", "CLICOLOR", "CLICOLOR_FORCE",
}

// localeVariables are those that say how characters are written, the first that is set
// before the others.
var localeVariables = []string{"LC_ALL", "LC_CTYPE", "LANG"}

// maxVariable is the longest value of such a variable that is handed on, in bytes.
const maxVariable = 64

// TerminalEnv are the variables of ours by which a box knows our terminal.
func TerminalEnv(getenv func(string) string) (env []string) {
	for _, name := range slices.Concat(terminalVariables, localeVariables) {
		if value := getenv(name); value != "" && len(value) <= maxVariable && plain(value) {
			env = append(env, name+"="+value)
		}
	}
	return env
}

// plain tells whether a value has nothing but printable ASCII.
func plain(s string) bool {
	return !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// terminalEnv is what a box is given of them.
func terminalEnv(ours, image []string, tty bool) (env []string) {
	for _, kv := range ours {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case !tty || !slices.Contains(terminalVariables, name):
		case name == "TERM":
			env = append(env, "TERM="+commonTerm(value))
		default:
			env = append(env, kv)
		}
	}
	// Of the locale only that it is UTF-8: a slim image has no en_US or de_DE, and every
	// shell and perl would complain. C.UTF-8 is there, and a libc without locales ignores it.
	if utf8Locale(ours) && !hasLocale(image) {
		env = append(env, "LANG=C.UTF-8")
	}
	return env
}

// ownTerms are types whose description comes with the terminal itself. Few images have it,
// and a program that finds none falls back to a terminal that can do nothing. All of them
// understand what is sent to an xterm.
var ownTerms = []string{"alacritty", "contour", "foot", "ghostty", "kitty", "rio", "st", "wezterm", "xterm-ghostty", "xterm-kitty"}

// commonTerm is a type that images know, for a terminal of the given one.
func commonTerm(term string) string {
	name := strings.TrimSuffix(strings.TrimSuffix(strings.TrimSuffix(term, "-direct"), "-256color"), "-extra")
	if slices.Contains(ownTerms, name) {
		return "xterm-256color"
	}
	return term
}

func utf8Locale(env []string) bool {
	for _, name := range localeVariables {
		for _, kv := range env {
			if value, ok := strings.CutPrefix(kv, name+"="); ok {
				value = strings.ToLower(value)
				return strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
			}
		}
	}
	return false
}

func hasLocale(env []string) bool {
	return slices.ContainsFunc(env, func(kv string) bool {
		name, _, _ := strings.Cut(kv, "=")
		return slices.Contains(localeVariables, name)
	})
}
