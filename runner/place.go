package runner

import (
	"context"
	"fmt"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/runner/entry"
	"github.com/av-project/av/runner/hostpath"
	"github.com/av-project/av/runner/nofollow"
	"github.com/av-project/av/runner/protect"
	"github.com/av-project/av/runner/workcopy"
)

// WorkspaceMode says what the box may do with the workspace.
type WorkspaceMode int

const (
	// WorkspaceBind lets the box change it, but for what the host's tools would execute.
	WorkspaceBind WorkspaceMode = iota
	// WorkspaceReadOnly lets it read.
	WorkspaceReadOnly
	// WorkspaceCopy gives it a copy.
	WorkspaceCopy
)

// maxClosed is how many paths of a workspace are closed to the box. Each is a mount.
const maxClosed = 256

// placed is what of the host comes into the box, and how it is looked after.
type placed struct {
	binds   []engine.Bind
	proofs  []hostpath.Proof
	watched []watched
	copy    *workcopy.Copy
}

// watched is a folder that is compared with itself at the end.
type watched struct {
	root *nofollow.Dir
	firstLook
}

// put adds a mount of something that was looked at.
func (p *placed) put(source, target string, readOnly bool, i nofollow.Info) {
	p.binds = append(p.binds, engine.Bind{Source: source, Target: target, ReadOnly: readOnly})
	p.proofs = append(p.proofs, hostpath.Proof{Target: target, Dev: i.Dev, Ino: i.Ino, ReadOnly: readOnly})
}

// placeHost decides what is mounted into the box.
func (b *box) placeHost(ctx context.Context) error {
	for _, m := range b.Mounts {
		b.placed.put(m.Path, m.Target, m.ReadOnly, nofollow.Info{Dev: m.Dev, Ino: m.Ino})
	}
	if err := b.placeShares(); err != nil {
		return err
	}
	if b.WorkspaceMode == WorkspaceCopy {
		return b.placeCopy(ctx)
	}
	root, err := nofollow.Walk(b.Workspace)
	if err != nil {
		return fmt.Errorf("open the workspace: %w", err)
	}
	keep := false
	defer func() {
		if !keep {
			root.Close()
		}
	}()
	i, err := root.Stat()
	if err != nil {
		return err
	}
	readOnly := b.WorkspaceMode == WorkspaceReadOnly
	b.placed.put(b.Workspace, workspaceInBox, readOnly, i)
	if err := b.placeWorktree(root, readOnly); err != nil || readOnly {
		return err
	}
	seen := protect.Look(root, b.Workspace)
	keep = true
	b.placed.watched = append(b.placed.watched, watched{root, firstLook{b.Workspace, false, seen}})
	if n := len(seen.Closed) - maxClosed; n > 0 {
		b.Say(fmt.Sprintf("%d files and folders that your tools would execute are not closed to the box, for there are more than %d; what is changed in them is told at the end", n, maxClosed))
	}
	return b.placed.guard(root, b.Workspace, workspaceInBox, seen)
}

// guard closes what was seen to the box. Mounts cannot be renamed or removed from inside,
// nor what they are mounted on; the folders around those in .git are mounted on
// themselves, so that not even they can be moved away with all that is in them.
func (p *placed) guard(root *nofollow.Dir, source, target string, seen protect.Seen) error {
	done := map[string]bool{}
	put := func(name string, readOnly bool) error {
		if done[name] || readOnly && slices.ContainsFunc(seen.Closed, func(other string) bool { return other != name && hostpath.Within(name, other) }) {
			return nil
		}
		done[name] = true
		i, err := root.Lstat(name)
		if err != nil {
			return fmt.Errorf("look at what is to be closed to the box: %w", err)
		}
		if i.Kind == nofollow.File || i.Kind == nofollow.Folder {
			p.put(filepath.Join(source, name), path.Join(target, name), readOnly, i)
		}
		return nil
	}
	closed := seen.Closed[:min(len(seen.Closed), maxClosed)]
	for _, name := range seen.Pinned {
		if slices.ContainsFunc(closed, func(c string) bool { return hostpath.Within(c, name) }) {
			if err := put(name, false); err != nil {
				return err
			}
		}
	}
	for _, name := range closed {
		if err := put(name, true); err != nil {
			return err
		}
	}
	return nil
}

// placeWorktree brings the repository of a linked worktree along, at the path that the
// worktree names: without it git does not work in there. The records of its other
// worktrees can only be read, lest git take them for gone and clear them away: their
// folders are not in the box.
func (b *box) placeWorktree(root *nofollow.Dir, readOnly bool) error {
	w, err := protect.FindWorktree(root, b.Workspace)
	if err != nil {
		b.Say("git will not work in the box: " + err.Error())
		return nil
	}
	if w == nil {
		return nil
	}
	if err = hostpath.CheckTarget(w.Common); err == nil {
		err = b.host.Judge(hostpath.Workspace, w.Common)
	}
	if err != nil {
		b.Say("git will not work in the box: " + err.Error())
		return nil
	}
	common, err := nofollow.Walk(w.Common)
	if err != nil {
		return fmt.Errorf("open the worktree's repository: %w", err)
	}
	i, err := common.Stat()
	if err != nil {
		return err
	}
	b.placed.put(w.Common, w.Common, readOnly, i)
	if readOnly {
		return common.Close()
	}
	own := "worktrees/" + filepath.Base(w.Own)
	for _, at := range []struct {
		name     string
		readOnly bool
	}{{"worktrees", true}, {own, false}} {
		i, err := common.Lstat(at.name)
		if err != nil {
			return fmt.Errorf("look at the worktree's repository: %w", err)
		}
		b.placed.put(filepath.Join(w.Common, at.name), path.Join(w.Common, at.name), at.readOnly, i)
	}
	seen := protect.LookGit(common, w.Common)
	// What lies in other worktrees' records is closed with them.
	seen.Pinned = slices.DeleteFunc(seen.Pinned, func(name string) bool { return hostpath.Within(name, "worktrees") })
	seenBox := seen
	seenBox.Closed = slices.DeleteFunc(slices.Clone(seen.Closed), func(name string) bool {
		return strings.HasPrefix(name, "worktrees/") && !hostpath.Within(name, own)
	})
	b.placed.watched = append(b.placed.watched, watched{common, firstLook{w.Common, true, seen}})
	b.Say("this is a worktree: the git folder of its repository, " + w.Common + ", is in the box too")
	return b.placed.guard(common, w.Common, w.Common, seenBox)
}

// workspaceHere is the folder of the host that the box has for its workspace.
func (b *box) workspaceHere() string {
	if b.placed.copy != nil {
		return b.placed.copy.Tree()
	}
	return b.Workspace
}

// enter is what the box runs: av's own program does in it what can only be done there, and
// becomes the command.
func (b *box) enter() (entrypoint []string, err error) {
	orders := filepath.Join(b.lease.Dir, "orders")
	b.brought = append(b.brought,
		engine.Bind{Source: b.Program, Target: entry.Program, ReadOnly: true},
		engine.Bind{Source: orders, Target: entry.What, ReadOnly: true})
	b.orders.Proofs = b.placed.proofs
	return []string{entry.Program, "enter"}, b.orders.Write(orders)
}

// compare tells what became of what the host's tools would execute. It is asked when the
// agent's container is gone: nobody changes it any more; and while the run's folder is
// there: whoever kills us meanwhile leaves that to who takes the run apart.
func (b *box) compare(context.Context) error {
	if b.undo.agentLeft && len(b.placed.watched) > 0 { // written before this rank began
		b.Say("the command's container could not be removed: what it changes from now on in the workspace is told nobody")
	}
	for _, w := range b.placed.watched {
		report := w.compare(w.root)
		if b.Protected != nil && (!report.Empty() || len(report.Built) > 0 || report.Partly) {
			b.Protected(Found{Folder: w.Path, Report: report})
		}
		w.root.Close()
	}
	b.placed.watched = nil
	return nil
}

// Found is what became of a folder's protected paths.
type Found struct {
	Folder string
	protect.Report
}
