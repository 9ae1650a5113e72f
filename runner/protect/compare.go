package protect

import (
	"slices"
	"strings"

	"github.com/av-project/av/runner/nofollow"
)

// Report is what became of a workspace's protected paths during a run.
type Report struct {
	Created, Changed, Removed []string
	// Built are files that people execute on purpose, created or changed.
	Built []string
	// Partly: a ceiling was met, and there may be more.
	Partly bool

	created []string // as they are kept in after
	after   map[string]string
}

// Empty tells whether there is nothing to say.
func (r Report) Empty() bool { return len(r.Created)+len(r.Changed)+len(r.Removed) == 0 }

// Compare holds what was seen after a run against what was seen before it.
func Compare(before, after Seen) Report {
	r := Report{Partly: before.Partly || after.Partly, after: after.Files}
	for name, digest := range after.Files {
		was, there := before.Files[name]
		switch {
		case !there:
			r.Created = append(r.Created, name)
		case was != digest:
			r.Changed = append(r.Changed, name)
		}
	}
	for name := range before.Files {
		if _, there := after.Files[name]; !there {
			r.Removed = append(r.Removed, name)
		}
	}
	for name, digest := range after.Built {
		if before.Built[name] != digest {
			r.Built = append(r.Built, name)
		}
	}
	r.created = slices.Clone(r.Created)
	for _, list := range [][]string{r.Created, r.Changed, r.Removed, r.Built} {
		for i, name := range list {
			list[i] = strings.ReplaceAll(name, behind, " -> ")
		}
		slices.Sort(list)
	}
	return r
}

// Remove removes what was created, as long as it is what was seen. It gives what is left.
func Remove(root *nofollow.Dir, path string, r Report) (left []string) {
	l := looker{root: root, ways: newWays(root, path)}
	for _, name := range slices.Sorted(slices.Values(r.created)) {
		if strings.Contains(name, behind) {
			continue // what a link leads to is no file of ours; the link goes
		}
		now := map[string]string{}
		l.add(name, name, now, 0, 0)
		if now[name] != r.after[name] || root.Remove(name) != nil {
			left = append(left, name)
		}
	}
	return left
}
