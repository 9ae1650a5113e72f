package inject

import (
	"strings"

	"github.com/av-project/av/vault"
)

// Mark is a placeholder and the credential that goes into its place. Value is asked
// where the placeholder occurs, and not before.
type Mark struct {
	Placeholder string
	Key         string
	Value       func() (vault.Value, error)
}

// KeyError says which credential could not be put in, and why.
type KeyError struct {
	Key string
	Err error
}

func (e *KeyError) Error() string { return e.Key + ": " + e.Err.Error() }
func (e *KeyError) Unwrap() error { return e.Err }

// Swap replaces the placeholders in text, in one pass from left to right. A value is
// not searched again: one that holds another's placeholder does not fetch that one.
func Swap(text string, marks []Mark, encode Encoding) (string, error) {
	var out strings.Builder
	next := make([]int, len(marks)) // where each stands next, len(text) if nowhere
	for i := range next {
		next[i] = find(text, 0, marks[i].Placeholder)
	}
	for done := 0; ; {
		first, at := 0, len(text)
		for i := range marks {
			if next[i] < done {
				next[i] = find(text, done, marks[i].Placeholder)
			}
			if next[i] < at {
				first, at = i, next[i]
			}
		}
		if at == len(text) {
			if done == 0 {
				return text, nil
			}
			out.WriteString(text[done:])
			return out.String(), nil
		}
		value, err := marks[first].encoded(encode)
		if err != nil {
			return "", err
		}
		out.WriteString(text[done:at])
		out.WriteString(value)
		done = at + len(marks[first].Placeholder)
	}
}

func find(text string, from int, placeholder string) int {
	if i := strings.Index(text[from:], placeholder); i >= 0 {
		return from + i
	}
	return len(text)
}

// occurs tells whether Swap would find anything in text.
func occurs(text string, marks []Mark) bool {
	for _, m := range marks {
		if strings.Contains(text, m.Placeholder) {
			return true
		}
	}
	return false
}

func (m Mark) encoded(encode Encoding) (string, error) {
	value, err := m.Value()
	if err != nil {
		return "", err
	}
	text, err := encode(string(value.Open()))
	if err != nil {
		return "", &KeyError{m.Key, err}
	}
	return text, nil
}
