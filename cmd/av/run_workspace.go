package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"github.com/av-project/av/runner"
	"github.com/av-project/av/runner/hostpath"
	"github.com/av-project/av/runner/nofollow"
	"github.com/av-project/av/runner/protect"
)

// workspaceFlags are what `av run` can be told of files: the workspace, and mounts.
type workspaceFlags struct {
	mode   string
	strict bool
	mounts []string
}

var workspaceModes = map[string]runner.WorkspaceMode{"bind": runner.WorkspaceBind, "ro": runner.WorkspaceReadOnly, "copy": runner.WorkspaceCopy}

func (f *workspaceFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.StringVar(&f.mode, "workspace", "bind", "`bind` (the box changes this folder), ro (it reads it) or copy (it works on a copy, see av diff)")
	flags.BoolVar(&f.strict, "strict-workspace", false, "exit with 125 if what your tools would execute was created or changed")
	flags.StringArrayVar(&f.mounts, "mount", nil, "put a file or folder of yours into the box: `SOURCE:PLACE[:ro]`")
}

// fill checks the flags, and puts what they ask for into spec.
func (f workspaceFlags) fill(e *env, isolation string, spec *runner.Spec) (err error) {
	mode, known := workspaceModes[f.mode]
	if !known {
		return withHint(fmt.Errorf("unknown choice %q for --workspace", f.mode), "use --workspace=bind, ro or copy")
	}
	if isolation == "host" {
		for flag, given := range map[string]bool{"--mount": len(f.mounts) > 0, "--workspace": mode != runner.WorkspaceBind, "--strict-workspace": f.strict} {
			if given {
				return withHint(errors.New(flag+" needs a container"), "add --isolation=container")
			}
		}
	}
	if f.strict && mode != runner.WorkspaceBind {
		return withHint(errors.New("--strict-workspace is for --workspace=bind: in the others nothing of yours is changed"), "leave one of the two out")
	}
	spec.WorkspaceMode = mode
	spec.Host = hostpath.ThisHost(e.home, e.getenv)
	spec.Mounts, err = e.mounts(f.mounts, spec.Host)
	return err
}

// mounts looks at what --mount, or a project's file, wants in the box, and refuses what must
// not be there.
func (e *env) mounts(list []string, host hostpath.Host) (mounts []hostpath.MountAt, err error) {
	dir, err := os.Getwd()
	if err != nil && len(list) > 0 {
		return nil, withHint(fmt.Errorf("find the folder that we are in: %w", err), "it may have been removed: cd to another")
	}
	for _, text := range list {
		source, target, readOnly, err := hostpath.ParseMount(text, dir, e.getenv("HOME"))
		if err != nil {
			return nil, err
		}
		if err := host.Judge(hostpath.Mount, source); err != nil {
			return nil, err
		}
		pinned, err := hostpath.Pin(source)
		if err != nil {
			return nil, elseHint(fmt.Errorf("--mount: %w", err), "name a file or a folder that you can read")
		}
		if err := host.Judge(hostpath.Mount, pinned.Path); err != nil {
			return nil, err
		}
		mounts = append(mounts, hostpath.MountAt{Pinned: pinned, Target: target, ReadOnly: readOnly})
	}
	return mounts, hostpath.CheckTogether(mounts)
}

// strictWorkspace is what --strict-workspace makes of what was found.
type strictWorkspace struct {
	n      int
	partly bool
}

func (s *strictWorkspace) Error() string {
	if s.n == 0 {
		return "the folder has more in it than could be looked through, and --strict-workspace is set"
	}
	return fmt.Sprintf("%s that your tools would execute came out of the box, and --strict-workspace is set", count(s.n, "file"))
}
func (s *strictWorkspace) Hint() string {
	if s.n == 0 {
		return "run av in a smaller folder, or look at what is new in it (`git status --ignored`) before you use it"
	}
	return "look at what is named above, and remove it or put it back (`git diff`, `git checkout`) before you use the folder"
}

// foundInWorkspace tells what a box has left that the host's tools would execute.
func (e *env) foundInWorkspace(ctx context.Context, f workspaceFlags, run string, found []runner.Found) error {
	var s strictWorkspace
	here, _ := os.Getwd()
	if real, err := filepath.EvalSymlinks(here); err == nil {
		here = real
	}
	for _, one := range found {
		s.n += len(one.Created) + len(one.Changed) + len(one.Removed)
		s.partly = s.partly || one.Partly
	}
	if err := e.warn(run, describeAll(found, here, f.strict)); err != nil {
		return err
	}
	// What was not looked at may be what an agent has hidden behind much else.
	if !f.strict || s.n == 0 && !s.partly {
		return nil
	}
	if err := e.offerToRemove(ctx, found); err != nil {
		return err
	}
	return &s
}

// offerToRemove asks, where somebody can answer, whether to remove what was created. What was
// changed is for its owner to look at: av has not kept what it was.
func (e *env) offerToRemove(ctx context.Context, found []runner.Found) error {
	n := 0
	for _, one := range found {
		n += len(one.Created)
	}
	if n == 0 || !term.IsTerminal(int(e.stdin.Fd())) || !isTerminal(e.stderr) {
		return nil
	}
	yes, err := e.agreed(ctx, fmt.Sprintf("remove the %s that came out of the box?", count(n, "new file")))
	if err != nil || !yes {
		return err
	}
	for _, one := range found {
		left, err := removeCreated(one)
		if err != nil {
			return err
		}
		if len(left) > 0 {
			e.tell("not removed, for they changed just now or cannot be: %s", fewOf(left))
		}
	}
	return nil
}

func removeCreated(f runner.Found) (left []string, err error) {
	root, err := nofollow.Walk(f.Folder)
	if err != nil {
		return nil, fmt.Errorf("open %s: %w", f.Folder, err)
	}
	defer root.Close()
	return protect.Remove(root, f.Folder, f.Report), nil
}

// maxNamed is how many files of each kind are named at the end of a run.
const maxNamed = 20

// describeAll says it of several folders.
func describeAll(found []runner.Found, here string, built bool) (lines []string) {
	for _, one := range found {
		lines = append(lines, describeFound(one, here, built)...)
	}
	return lines
}

// describeFound says what became of a folder's protected files, a line for each kind. Those
// of a folder that is not the one we are in, such as a worktree's repository, are named in full.
func describeFound(f runner.Found, here string, built bool) (lines []string) {
	few := func(names []string) string {
		if f.Folder != here {
			names = slices.Clone(names)
			for i := range names {
				names[i] = filepath.Join(f.Folder, names[i])
			}
		}
		return fewOf(names)
	}
	for _, kind := range []struct {
		names []string
		what  string
	}{{f.Created, "created"}, {f.Changed, "changed"}, {f.Removed, "removed"}} {
		if len(kind.names) == 0 {
			continue
		}
		verb := "were"
		if len(kind.names) == 1 {
			verb = "was"
		}
		lines = append(lines, fmt.Sprintf("warning: %s that your tools would execute %s %s: %s", count(len(kind.names), "file"), verb, kind.what, few(kind.names)))
	}
	if built && len(f.Built) > 0 {
		lines = append(lines, "besides, what runs when you build or test was changed: "+few(f.Built))
	}
	if f.Partly {
		lines = append(lines, "warning: "+f.Folder+" has more in it than av looks through: other files that your tools would execute may have been changed")
	}
	return lines
}

func fewOf(names []string) string {
	if over := len(names) - maxNamed; over > 0 {
		return strings.Join(names[:maxNamed], ", ") + fmt.Sprintf(" and %d more", over)
	}
	return strings.Join(names, ", ")
}

// sayWhere says which folder the workspace really is, where one came to it by a link: an agent
// may have put that into another workspace.
func (e *env) sayWhere(dir string, say func(string)) {
	if real, err := filepath.EvalSymlinks(dir); err == nil && real != dir {
		say("the workspace is " + real + ": " + dir + " leads there by a symbolic link")
	}
}
