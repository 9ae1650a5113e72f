package inject

import (
	"fmt"
	"iter"
	"net/http"
	"slices"
	"strings"
)

// Watch looks for what its client took for a placeholder and nobody will replace, on a
// surface that has some. A misspelled one would arrive in the upstream's logs, and the
// client would be told that its credential is wrong.
//
// It reads what the client wrote, before anything is replaced: a value is never watched.
type Watch struct {
	On        string   // the surface, for messages
	Here      []string // the placeholders that are declared on it; none: nothing is watched
	Elsewhere []string // those that the service has on others alone
}

// Kind is what is wrong with a placeholder.
type Kind string

const (
	Unknown   Kind = "unknown"   // it has the shape, and is none
	Spelled   Kind = "spelled"   // it is Nearest in another spelling
	Elsewhere Kind = "elsewhere" // it is Nearest, which is not declared here
)

// UnknownError does not repeat what was found: someone may have put two pairs of
// underscores around a secret.
type UnknownError struct {
	On      string
	Kind    Kind
	Nearest string
}

func (e *UnknownError) Error() string {
	switch e.Kind {
	case Spelled:
		return fmt.Sprintf("the placeholder %s stands in the %s in another spelling", e.Nearest, e.On)
	case Elsewhere:
		return fmt.Sprintf("the placeholder %s stands in the %s, where it is not declared", e.Nearest, e.On)
	}
	return fmt.Sprintf("an unknown placeholder stands in the %s; the nearest is %s", e.On, e.Nearest)
}

// Path watches an escaped path. It is decoded as often as steps does.
func (w Watch) Path(path string) error { return w.strict(path, 3) }

// Query watches a query, in which a URL often stands that has one of its own.
func (w Watch) Query(query string) error { return w.strict(query, 3) }

// Header watches the values that arrive.
func (w Watch) Header(h http.Header) error {
	if len(w.Here) == 0 {
		return nil
	}
	for name, values := range arriving(h) {
		for _, text := range values {
			if _, pair, ok := basicPair(name, text); ok {
				text = pair
			}
			if err := w.strict(text, 1); err != nil {
				return err
			}
		}
	}
	return nil
}

// strict takes any token of the shape for a placeholder.
func (w Watch) strict(text string, depth int) error {
	for gap := range w.gaps(text, "%") {
		readings := []string{gap}
		for range depth {
			decoded := percentDecoded(gap)
			if decoded == gap {
				break
			}
			gap, readings = decoded, append(readings, decoded)
		}
		for _, judge := range []func(string) error{w.anySpelling, w.anySlip} {
			for _, reading := range readings {
				if err := judge(reading); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// anySpelling looks at one reading of a text in which nothing is left to replace.
func (w Watch) anySpelling(text string) error {
	if !w.mayHold(text) {
		return nil
	}
	for _, p := range w.Here {
		if spelled(text, p, false) {
			return &UnknownError{w.On, Spelled, p}
		}
	}
	for _, p := range w.Elsewhere {
		if spelled(text, p, false) {
			return &UnknownError{w.On, Elsewhere, p}
		}
	}
	return nil
}

func (w Watch) anySlip(text string) error {
	if token := misspelled(text, w.Here); token != "" {
		return &UnknownError{w.On, Unknown, nearest(token, w.Here)}
	}
	return nil
}

// Text watches a body or a message, as its form is read: for spellings of what is
// declared, and not for the shape, which the sources in a chat have too (__init__).
func (w Watch) Text(text string, form Form) error {
	for gap := range w.gaps(text, form.escape) {
		if err := w.otherwise(gap); err != nil {
			return err
		}
		if decoded := form.decoded(gap); decoded != gap {
			for _, p := range w.Here {
				if strings.Contains(decoded, p) {
					return &UnknownError{w.On, Spelled, p}
				}
			}
			if err := w.otherwise(decoded); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w Watch) otherwise(text string) error {
	if !w.mayHold(text) {
		return nil
	}
	for _, p := range w.Here {
		if spelled(text, p, true) {
			return &UnknownError{w.On, Spelled, p}
		}
	}
	return nil
}

// gaps are what stands between the placeholders that will be replaced. Nothing at all
// is, in most texts: they hold no anchor and no escape.
func (w Watch) gaps(text, escape string) iter.Seq[string] {
	return func(yield func(string) bool) {
		if len(w.Here) == 0 || !w.mayHold(text) && (escape == "" || !strings.Contains(text, escape)) {
			return
		}
		done := 0
		for at, i := range occurrences(text, w.Here) {
			if at > done && !yield(text[done:at]) {
				return
			}
			done = at + len(w.Here[i])
		}
		if done < len(text) {
			yield(text[done:])
		}
	}
}

// mayHold is one scan for each anchor that there is, which mostly is one.
func (w Watch) mayHold(text string) bool {
	var seen [4]string
	anchors := seen[:0]
	for _, list := range [][]string{w.Here, w.Elsewhere} {
		for _, p := range list {
			a, _ := anchor(p)
			if slices.Contains(anchors, a) {
				continue
			}
			if strings.Contains(text, a) {
				return true
			}
			anchors = append(anchors, a)
		}
	}
	return false
}
