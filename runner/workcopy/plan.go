package workcopy

import (
	"context"
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	"github.com/av-project/av/runner/nofollow"
)

// Choice says what becomes of guarded changes.
type Choice int

const (
	// RefuseGuarded brings nothing back while there is one, but for git's own, which stay
	// where they are.
	RefuseGuarded Choice = iota
	SkipGuarded
	IncludeGuarded
)

// Plan is what bringing changes back would do.
type Plan struct {
	Do []Change
	// There are changes that the owner's folder has already.
	There int
	// Left are guarded changes that stay in the copy.
	Left []Change
	// Conflicts are paths that the owner has changed too, with what there is.
	Conflicts []string
	// Refused are guarded changes that nobody has spoken about.
	Refused []Change
	// Interrupted are folders that applying left in the owner's when it was killed: in them
	// lies what it had replaced.
	Interrupted []string

	theirs map[string]nofollow.Info
}

// decide sorts the changes. at gives what is at a path of the owner's folder.
func decide(changes []Change, choice Choice, at func(*Change) (Entry, error)) (p Plan, err error) {
	made := map[string]bool{}
	for _, c := range changes {
		if c.Guarded != "" && choice != IncludeGuarded {
			if choice == RefuseGuarded && c.Guarded != GuardedGit {
				p.Refused = append(p.Refused, c)
			} else {
				p.Left = append(p.Left, c)
			}
			continue
		}
		var now Entry // below a folder that takes another's place there is nothing yet
		if !made[path.Dir(c.Path)] {
			if now, err = at(&c); err != nil {
				return p, err
			}
		}
		switch {
		case now.same(c.Mine), now == behindLink && !c.Mine.isThere(), now.Kind == nofollow.Folder && c.Mine.Kind == nofollow.Folder && c.Base.Kind != nofollow.Folder:
			p.There++
			continue
		case !now.same(c.Base):
			p.Conflicts = append(p.Conflicts, c.Path)
			continue
		case !c.Base.isThere() && !made[path.Dir(c.Path)] && path.Dir(c.Path) != ".":
			above, err := at(&Change{Path: path.Dir(c.Path)})
			if err != nil {
				return p, err
			}
			if above.Kind != nofollow.Folder {
				p.Conflicts = append(p.Conflicts, c.Path)
				continue
			}
		}
		p.Do = append(p.Do, c)
		if c.Mine.Kind == nofollow.Folder && c.Base.Kind != nofollow.Folder {
			made[c.Path] = true
		}
	}
	return p, nil
}

// PlanApply decides what bringing the changes back would do, and does nothing.
func (c *Copy) PlanApply(ctx context.Context, choice Choice) (Plan, error) {
	changes, err := c.Changes(ctx)
	if err != nil {
		return Plan{}, err
	}
	root, err := c.owners()
	if err != nil {
		return Plan{}, err
	}
	defer root.Close()
	mine, err := nofollow.Open(c.Tree())
	if err != nil {
		return Plan{}, &unread{c.Tree(), err}
	}
	defer mine.Close()
	infos := map[string]nofollow.Info{}
	p, err := decide(changes, choice, func(c *Change) (Entry, error) {
		e, i, err := c.against(ctx, root, mine)
		infos[c.Path] = i
		return e, err
	})
	p.theirs = infos
	if err != nil {
		return p, err
	}
	names, err := entries(root, "")
	for _, n := range names {
		if strings.HasPrefix(n, stagePrefix) {
			p.Interrupted = append(p.Interrupted, n)
		}
	}
	return p, err
}

// owners opens the folder that was copied, if it is still that one.
func (c *Copy) owners() (*nofollow.Dir, error) {
	root, err := nofollow.Walk(c.Folder)
	if err != nil {
		return nil, &moved{fmt.Sprintf("the folder %s that was copied cannot be opened: %v", c.Folder, err)}
	}
	i, err := root.Stat()
	if err == nil && (i.Dev != c.Dev || i.Ino != c.Ino) {
		err = &moved{c.Folder + " is not the folder any more that was copied"}
	}
	if err != nil {
		return nil, errors.Join(err, root.Close())
	}
	return root, nil
}

type moved struct{ why string }

func (m *moved) Error() string { return m.why }
func (m *moved) Hint() string {
	return "put it back where it was, or take what you need out of the copy by hand"
}

// check refuses a plan that cannot be carried out whole.
func (p Plan) check() error {
	if len(p.Conflicts) > 0 {
		return &Conflict{p.Conflicts}
	}
	if len(p.Refused) > 0 {
		return &Guarded{p.Refused}
	}
	return nil
}

// maxNamed is how many paths an error names.
const maxNamed = 20

func names(paths []string) string {
	paths = slices.Clone(paths)
	for i := range paths {
		paths[i] = nofollow.Shown(paths[i])
	}
	if over := len(paths) - maxNamed; over > 0 {
		return strings.Join(paths[:maxNamed], ", ") + fmt.Sprintf(" and %d more", over)
	}
	return strings.Join(paths, ", ")
}

// Conflict is said of paths that agent and owner have both changed.
type Conflict struct{ Paths []string }

func (c *Conflict) Error() string {
	return "changed in your folder too since it was copied, so nothing was applied: " + names(c.Paths)
}
func (c *Conflict) Hint() string {
	return "look at both with `av diff`, bring your folder to the state that you want, and apply again; what is the same in both is no conflict"
}

// Guarded is said of changes that are not brought back unless that is asked for.
type Guarded struct{ Changes []Change }

func (g *Guarded) Error() string {
	var list []string
	for _, c := range g.Changes {
		list = append(list, nofollow.Shown(c.Path)+" ("+c.Guarded+")")
	}
	return "nothing was applied, for there are changes that are applied only if you say so: " + names(list)
}
func (g *Guarded) Hint() string {
	return "look at them with `av diff`, then use --include-protected or --skip-protected"
}
