package runner

import (
	"context"
	"fmt"

	"github.com/av-project/av/runner/nofollow"
	"github.com/av-project/av/runner/workcopy"
)

// placeCopy copies the workspace and puts the copy in its place. Nothing in it has to be
// closed to the box: what the host would execute comes back only if its owner says so.
func (b *box) placeCopy(ctx context.Context) error {
	uid, gid, err := boxUser(b.Workspace, false)
	if err != nil {
		return err
	}
	from, err := nofollow.Walk(b.Workspace)
	if err != nil {
		return fmt.Errorf("open the workspace: %w", err)
	}
	defer from.Close()
	b.Say("copying the workspace")
	made, skipped, err := workcopy.Take(ctx, b.Home, b.run.ID, b.Workspace, b.Command[0], from, uid, gid)
	if err != nil {
		return err
	}
	b.placed.copy = made
	if skipped > 0 {
		b.Say(fmt.Sprintf("not copied: %d sockets, devices or pipes", skipped))
	}
	tree, err := nofollow.Walk(made.Tree())
	if err != nil {
		return fmt.Errorf("open the copy: %w", err)
	}
	defer tree.Close()
	i, err := tree.Stat()
	if err == nil {
		b.placed.put(made.Tree(), workspaceInBox, false, i)
	}
	return err
}

// endCopy keeps a copy in which something was changed. What an end by a signal leaves is
// kept too: it may be the work of hours. What cannot be looked at may be so as well.
func (b *box) endCopy() error {
	made := b.placed.copy
	if made == nil {
		return nil
	}
	changes, err := made.Changes(context.Background())
	if err != nil {
		return &keptCopy{made.Run, err}
	}
	if len(changes) == 0 {
		err = made.Remove()
	}
	if b.Copied != nil {
		b.Copied(made, len(changes))
	}
	return err
}

// keptCopy is a copy that could not be looked at, and is kept.
type keptCopy struct {
	run string
	err error
}

func (k *keptCopy) Error() string {
	return fmt.Sprintf("the copy of run %s is kept, for it cannot be told what was changed in it: %v", k.run, k.err)
}
func (k *keptCopy) Unwrap() error { return k.err }
