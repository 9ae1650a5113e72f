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
		if !c.Mine.isThere() || c.Mine.Kind == nofollow.Folder && c.Base.Kind == nofollow.Folder {
			continue
		}
		if err := a.prepare(c, staged, owner); err != nil {
			return err
		}
		ready[c.Path] = staged
	}
	// What goes, goes first and from below; what comes, comes from above.
	for _, c := range slices.Backward(a.plan.Do) {
		if !c.Mine.isThere() {
			if err := a.takeAway(c); err != nil {
				return err
			}
		}
	}
	for _, c := range a.plan.Do {
		if a.ctx.Err() != nil {
			return context.Cause(a.ctx)
		}
		if err := a.bring(c, ready[c.Path]); err != nil {
			return err
		}
	}
	// A folder's own mode comes last: it may be one that lets nobody write.
	for _, c := range slices.Backward(a.plan.Do) {
		if c.Mine.Kind == nofollow.Folder && c.Mine.Perm&0o700 != 0o700 {
			a.undo = append(a.undo, func() error { return a.to.Chmod(c.Path, c.Mine.Perm|0o700) })
			if err := a.to.Chmod(c.Path, c.Mine.Perm); err != nil {
				return err
			}
		}
	}
	return nil
}

// prepare makes what comes to a path in the stage.
func (a *applier) prepare(c Change, staged string, owner nofollow.Info) (err error) {
	switch c.Mine.Kind {
	case nofollow.File:
		var sum string
		sum, err = copyFile(a.ctx, a.from, c.Path, a.to, staged, c.Mine.Perm)
		if err == nil && c.Mine.Sum != "" && sum != c.Mine.Sum {
			err = fmt.Errorf("%s in the copy changed while it was read", nofollow.Shown(c.Path))
		}
	case nofollow.Link:
		err = a.to.Symlink(c.Mine.Link, staged)
	case nofollow.Folder:
		if err = a.to.Mkdir(staged, 0o700); err == nil {
			err = a.to.Chmod(staged, c.Mine.Perm|0o700)
		}
	}
	if err == nil && os.Getuid() == 0 {
		err = a.to.Chown(staged, owner.UID, owner.GID)
	}
	return err
}

// unchanged refuses a path that was changed since the plan was made.
func (a *applier) unchanged(name string) error {
	planned := a.plan.theirs[name]
	now, err := a.to.Lstat(name)
	if err != nil || !now.Same(planned) || now.Kind != nofollow.Folder && !now.Changed.Equal(planned.Changed) {
		return fmt.Errorf("%s changed just now", nofollow.Shown(name))
	}
	return nil
}

// taken refuses what was taken from a path, if it is not what was planned to be: it was changed
// in the moment before.
func (a *applier) taken(old string, c Change) error {
	planned := a.plan.theirs[c.Path]
	now, err := a.to.Lstat(old)
	if err == nil && now.Kind == nofollow.Folder {
		var left []string
		if left, err = entries(a.to, old); err == nil && len(left) > 0 {
			return fmt.Errorf("%s has more in it than was copied", nofollow.Shown(c.Path))
		}
	} else if err == nil && (now.Size != planned.Size || !now.Modified.Equal(planned.Modified)) {
		err = fs.ErrExist
	}
	if err != nil || !now.Same(planned) {
		return fmt.Errorf("%s changed just now", nofollow.Shown(c.Path))
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
	return a.taken(old, c)
}

// bring puts what is ready for a path in its place.
func (a *applier) bring(c Change, ready string) error {
	switch {
	case !c.Mine.isThere():
		return nil
	case c.Mine.Kind == nofollow.Folder && c.Base.Kind == nofollow.Folder:
		a.undo = append(a.undo, func() error { return a.to.Chmod(c.Path, c.Base.Perm) })
		return a.to.Chmod(c.Path, c.Mine.Perm|0o700)
	case c.Base.isThere():
		return a.replace(c, ready)
	}
	if _, err := a.to.Lstat(c.Path); !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s came to be just now", nofollow.Shown(c.Path))
	}
	return a.put(c, ready)
}

// replace lets what is ready and what is at a path change places. It does so in one step where
// it can: whenever av is killed, the owner has what was there or what is to be, and neither is
// missing.
func (a *applier) replace(c Change, ready string) error {
	if err := a.unchanged(c.Path); err != nil {
		return err
	}
	err := a.to.Exchange(ready, c.Path)
	if errors.Is(err, nofollow.ErrExchange) {
		if err := a.takeAway(c); err != nil {
			return err
		}
		return a.put(c, ready)
	}
	if err != nil {
		return err
	}
	a.undo = append(a.undo, func() error { return a.to.Exchange(ready, c.Path) })
	return a.taken(ready, c)
}

// put moves what is ready to a path where nothing is.
func (a *applier) put(c Change, ready string) error {
	if err := a.to.Rename(ready, a.to, c.Path); err != nil {
		return err
	}
	a.undo = append(a.undo, func() error { return a.to.Rename(c.Path, a.to, ready) })
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
