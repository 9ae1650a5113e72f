package workcopy

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"slices"

	"github.com/av-project/av/runner/nofollow"
)

// stagePrefix begins the name of the folder, in the owner's, in which all is made ready
// before the first file takes its place: so a full disk is found out before, and a rename
// is all that is left to do.
const stagePrefix = ".av-apply-"

// Apply brings back what p says. It carries out all of it, or puts back what it has done.
func (c *Copy) Apply(ctx context.Context, p Plan) (err error) {
	if err := p.check(); err != nil || len(p.Do) == 0 {
		return err
	}
	to, err := c.owners()
	if err != nil {
		return err
	}
	defer to.Close()
	from, err := nofollow.Open(c.Tree())
	if err != nil {
		return fmt.Errorf("open the copy: %w", err)
	}
	defer from.Close()
	a := &applier{ctx: ctx, from: from, to: to, plan: p, stage: stagePrefix + rand.Text()[:8]}
	if err := to.Mkdir(a.stage, 0o700); err != nil {
		return fmt.Errorf("make room to apply in: %w", err)
	}
	err = a.run()
	if err != nil {
		err = errors.Join(fmt.Errorf("apply: %w", err), a.putBack())
	}
	return errors.Join(err, remove(to, a.stage))
}

type applier struct {
	ctx      context.Context
	from, to *nofollow.Dir
	plan     Plan
	stage    string
	undo     []func() error
	n        int
}

func (a *applier) run() error {
	owner, err := a.to.Stat()
	if err != nil {
		return err
	}
	ready := map[string]string{}
	for i, c := range a.plan.Do {
		if a.ctx.Err() != nil {
			return context.Cause(a.ctx)
		}
		staged := fmt.Sprintf("%s/new-%d", a.stage, i)
		switch c.Mine.Kind {
		case nofollow.File:
			sum, err := copyFile(a.from, c.Path, a.to, staged, c.Mine.Perm)
			if err != nil {
				return err
			}
			if sum != c.Mine.Sum {
				return fmt.Errorf("%s in the copy changed while it was read", c.Path)
			}
		case nofollow.Link:
			if err := a.to.Symlink(c.Mine.Link, staged); err != nil {
				return err
			}
		default:
			continue
		}
		if os.Getuid() == 0 {
			if err := a.to.Chown(staged, owner.UID, owner.GID); err != nil {
				return err
			}
		}
		ready[c.Path] = staged
	}
	// What goes, goes first and from below; what comes, comes from above.
	for _, c := range slices.Backward(a.plan.Do) {
		if c.Base.isThere() && c.Mine.Kind != c.Base.Kind {
			if err := a.takeAway(c); err != nil {
				return err
			}
		}
	}
	for _, c := range a.plan.Do {
		if !c.Mine.isThere() {
			continue
		}
		if a.ctx.Err() != nil {
			return context.Cause(a.ctx)
		}
		if err := a.bring(c, ready[c.Path], owner); err != nil {
			return err
		}
	}
	return nil
}

// unchanged refuses a path that was changed since the plan was made.
func (a *applier) unchanged(name string) error {
	planned := a.plan.theirs[name]
	now, err := a.to.Lstat(name)
	if err != nil || !now.Same(planned) || now.Kind != nofollow.Folder && !now.Changed.Equal(planned.Changed) {
		return fmt.Errorf("%s changed just now", name)
	}
	return nil
}

// takeAway moves what is at a path into the stage. A folder in which the owner has more
// than was copied stays.
func (a *applier) takeAway(c Change) error {
	if err := a.unchanged(c.Path); err != nil {
		return err
	}
	if c.Base.Kind == nofollow.Folder {
		err := a.to.Rmdir(c.Path)
		switch {
		case errors.Is(err, fs.ErrExist) && !c.Mine.isThere(): // it is not empty
			return nil
		case err != nil:
			return err
		}
		a.undo = append(a.undo, func() error {
			return errors.Join(a.to.Mkdir(c.Path, 0o700), a.to.Chmod(c.Path, c.Base.Perm))
		})
		return nil
	}
	a.n++
	old := fmt.Sprintf("%s/old-%d", a.stage, a.n)
	if err := a.to.Rename(c.Path, a.to, old); err != nil {
		return err
	}
	a.undo = append(a.undo, func() error { return a.to.Rename(old, a.to, c.Path) })
	return nil
}

// bring puts one path in its place.
func (a *applier) bring(c Change, ready string, owner nofollow.Info) error {
	if c.Mine.Kind == nofollow.Folder {
		if c.Base.Kind == nofollow.Folder {
			a.undo = append(a.undo, func() error { return a.to.Chmod(c.Path, c.Base.Perm) })
			return a.to.Chmod(c.Path, c.Mine.Perm)
		}
		if err := a.to.Mkdir(c.Path, 0o700); err != nil {
			return err
		}
		a.undo = append(a.undo, func() error { return a.to.Rmdir(c.Path) })
		if os.Getuid() == 0 {
			if err := a.to.Chown(c.Path, owner.UID, owner.GID); err != nil {
				return err
			}
		}
		return a.to.Chmod(c.Path, c.Mine.Perm|0o700)
	}
	if c.Base.Kind == c.Mine.Kind {
		if err := a.takeAway(c); err != nil {
			return err
		}
	} else if _, err := a.to.Lstat(c.Path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s came to be just now", c.Path)
	}
	if err := a.to.Rename(ready, a.to, c.Path); err != nil {
		return err
	}
	a.undo = append(a.undo, func() error { return a.to.Remove(c.Path) })
	return nil
}

// putBack undoes what was done, the last first.
func (a *applier) putBack() error {
	var failed []error
	for _, step := range slices.Backward(a.undo) {
		failed = append(failed, step())
	}
	return errors.Join(failed...)
}

// remove removes a folder with what is in it, and follows no link.
func remove(root *nofollow.Dir, name string) error {
	names, err := entries(root, name)
	if err != nil {
		return err
	}
	var failed []error
	for _, n := range names {
		at := name + "/" + n
		if i, err := root.Lstat(at); err == nil && i.Kind == nofollow.Folder {
			failed = append(failed, remove(root, at))
			continue
		}
		failed = append(failed, root.Remove(at))
	}
	return errors.Join(append(failed, root.Rmdir(name))...)
}
