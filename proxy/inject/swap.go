package inject

import (
	"errors"
	"iter"
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

// ErrGrown says that the values would make much more of a text than its client has sent.
var ErrGrown = errors.New("the text is too large with its credentials in place")

// Swap replaces the placeholders in text, in one pass from left to right. A value is
// not searched again: one that holds another's placeholder does not fetch that one.
func Swap(text string, marks []Mark, encode Encoding) (string, error) {
	var out strings.Builder
	done, grown := 0, 0
	for at, i := range occurrences(text, placeholders(marks)) {
		value, err := marks[i].encoded(encode)
		if err != nil {
			return "", err
		}
		if grown += len(value) - len(marks[i].Placeholder); grown > maxGrowth {
			return "", ErrGrown
		}
		out.WriteString(text[done:at])
		out.WriteString(value)
		done = at + len(marks[i].Placeholder)
	}
	if done == 0 {
		return text, nil
	}
	out.WriteString(text[done:])
	return out.String(), nil
}

func placeholders(marks []Mark) []string {
	list := make([]string, len(marks))
	for i, m := range marks {
		list[i] = m.Placeholder
	}
	return list
}

// occurrences are where placeholders stand in text, and which, from left to right. None
// is a part of another; of two that overlap, the one on the left is taken.
func occurrences(text string, placeholders []string) iter.Seq2[int, int] {
	return func(yield func(at, i int) bool) {
		next := make([]int, len(placeholders)) // where each stands next, len(text) if nowhere
		for i := range next {
			next[i] = find(text, 0, placeholders[i])
		}
		for done := 0; ; {
			first, at := 0, len(text)
			for i := range placeholders {
				if next[i] < done {
					next[i] = find(text, done, placeholders[i])
				}
				if next[i] < at {
					first, at = i, next[i]
				}
			}
			if at == len(text) || !yield(at, first) {
				return
			}
			done = at + len(placeholders[first])
		}
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
