package catalog

import (
	"fmt"
	"slices"
	"strings"
)

// problem is an error with the next step for the person who reads it.
type problem struct{ text, hint string }

func (p *problem) Error() string { return p.text }
func (p *problem) Hint() string  { return p.hint }

// maxNear is how many names a hint suggests.
const maxNear = 3

// unknown is the error for a name that is not among names.
func unknown(what, name string, names []string, all string) error {
	hint := all
	if all == "" {
		hint = "there are " + strings.Join(names, ", ")
	}
	if meant := near(name, names); len(meant) > 0 {
		hint = "did you mean " + strings.Join(meant, " or ") + "? " + hint
	}
	return &problem{fmt.Sprintf("there is no %s %q in the catalog", what, name), hint}
}

// near returns the names that someone may have meant, the nearest first: those that
// begin with what was written, and those that are a slip or two away from it.
func near(name string, names []string) []string {
	name = strings.ToLower(name)
	if len(name) < 2 || len(name) > 64 {
		return nil
	}
	away := map[string]int{}
	for _, candidate := range names {
		switch d := distance(name, candidate); {
		case strings.HasPrefix(candidate, name), strings.HasPrefix(name, candidate+"-"):
			away[candidate] = 0
		case d <= 1+len(name)/5:
			away[candidate] = d
		}
	}
	var found []string
	for _, candidate := range names {
		if _, ok := away[candidate]; ok {
			found = append(found, candidate)
		}
	}
	slices.SortStableFunc(found, func(a, b string) int { return away[a] - away[b] })
	return found[:min(len(found), maxNear)]
}

// distance is Levenshtein's: how many characters to put in, take out or change.
func distance(a, b string) int {
	row := make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			change := diagonal
			if a[i] != b[j] {
				change++
			}
			diagonal = row[j+1]
			row[j+1] = min(change, row[j]+1, row[j+1]+1)
		}
	}
	return row[len(b)]
}
