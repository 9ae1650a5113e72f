package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/runner/workcopy"
)

func diffCommand(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "diff [RUN]",
		Short: "show what a run changed in its copy of the workspace; without RUN: list the copies",
		Long: `Show what a run with --workspace=copy changed in its copy, as a unified diff. The run
may be named by the beginning of its id. Without one, list the copies that are kept:
a copy stays until it is applied or discarded.`,
		Example: `  av diff
  av diff 3f2a91c0 | less`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return e.listCopies(asJSON)
			}
			if asJSON {
				return withHint(errors.New("--json is for the list of copies"), "leave RUN out, or --json")
			}
			ctx, stop := interruptible(c.Context())
			defer stop()
			return e.diff(ctx, args[0])
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func applyCommand(e *env) *cobra.Command {
	var include, skip bool
	c := &cobra.Command{
		Use:   "apply RUN",
		Short: "bring what a run changed in its copy into the workspace",
		Long: `Bring what a run with --workspace=copy changed in its copy into the folder that was
copied: files, links, modes and deletions, all of them or none. What you have changed
in the folder since, and the run too, is a conflict, and nothing is applied.

What your tools would execute without being asked, such as .envrc or .vscode, is
applied only with --include-protected. So are links that lead out of the folder, and
git's own files: the copy's commits stay in the copy.`,
		Example: `  av apply 3f2a91c0
  av apply 3f2a91c0 --skip-protected`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			choice := workcopy.RefuseGuarded
			switch {
			case include && skip:
				return withHint(errors.New("--include-protected and --skip-protected exclude each other"), "leave one out")
			case include:
				choice = workcopy.IncludeGuarded
			case skip:
				choice = workcopy.SkipGuarded
			}
			ctx, stop := interruptible(c.Context())
			defer stop()
			return e.apply(ctx, args[0], choice)
		},
	}
	c.Flags().BoolVar(&include, "include-protected", false, "apply what your tools would execute, too")
	c.Flags().BoolVar(&skip, "skip-protected", false, "leave that in the copy, and apply the rest")
	return c
}

func discardCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "discard RUN...",
		Short:   "remove the copy of a run's workspace",
		Long:    `Remove the copies that runs with --workspace=copy have left, with all that was changed in them.`,
		Example: `  av discard 3f2a91c0`,
		Args:    cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			var copies []*workcopy.Copy
			for _, run := range args {
				made, err := e.endedCopy(run)
				if err != nil {
					return err
				}
				copies = append(copies, made)
			}
			for _, made := range copies {
				if err := made.Remove(); err != nil {
					return err
				}
				e.tell("discarded the copy of run %s", made.Run)
			}
			return nil
		},
	}
}

// endedCopy finds a copy in which nobody works any more.
func (e *env) endedCopy(run string) (*workcopy.Copy, error) {
	made, err := workcopy.Find(e.home, run)
	if err != nil {
		return nil, err
	}
	live, err := netiso.Live(e.home)
	if err == nil && slices.ContainsFunc(live, func(n netiso.Note) bool { return n.Run == made.Run }) {
		err = withHint(fmt.Errorf("run %s is still at work in its copy", made.Run), "wait for its end; `av diff` shows what is there so far")
	}
	return made, err
}

// copyLine is what is listed of a copy.
type copyLine struct {
	Run     string    `json:"run"`
	Made    time.Time `json:"made"`
	Alive   bool      `json:"alive"`
	Command string    `json:"command"`
	Folder  string    `json:"folder"`
	Copy    string    `json:"copy"`
}

func (e *env) listCopies(asJSON bool) error {
	copies, _, err := workcopy.List(e.home)
	if err != nil {
		return err
	}
	live, err := netiso.Live(e.home)
	if err != nil {
		return err
	}
	list := []copyLine{}
	var rows [][]string
	for _, made := range copies {
		alive := slices.ContainsFunc(live, func(n netiso.Note) bool { return n.Run == made.Run })
		state := "ended"
		switch {
		case alive:
			state = "alive"
		case made.Broken != nil:
			state = "unreadable"
		}
		list = append(list, copyLine{made.Run, made.Made, alive, made.Command, made.Folder, made.Tree()})
		rows = append(rows, []string{made.Run, at(made.Made), state, made.Command, made.Folder})
	}
	if asJSON {
		return e.printJSON(list)
	}
	if len(rows) == 0 {
		e.tell("no copy of a workspace is kept")
		return nil
	}
	return e.table([]string{"RUN", "MADE", "STATE", "COMMAND", "FOLDER"}, rows)
}

func (e *env) diff(ctx context.Context, run string) error {
	made, err := workcopy.Find(e.home, run)
	if err != nil {
		return err
	}
	out := e.stdout
	if e.showsOutput() {
		out = plainText{e.stdout}
	}
	shown, gits, err := made.Diff(ctx, out)
	if err != nil {
		return err
	}
	if shown == 0 {
		e.tell("nothing was changed")
	}
	if gits > 0 {
		e.tell("and %s of git's own, which are not shown", count(gits, "file"))
	}
	return nil
}

// plainText writes text whose author is an agent to a terminal, which would obey what it
// finds in there.
type plainText struct{ w io.Writer }

func (p plainText) Write(b []byte) (int, error) {
	if _, err := io.WriteString(p.w, escape(string(b), "\n\t")); err != nil {
		return 0, err
	}
	return len(b), nil
}

func (e *env) apply(ctx context.Context, run string, choice workcopy.Choice) error {
	made, err := e.endedCopy(run)
	if err != nil {
		return err
	}
	plan, err := made.PlanApply(ctx, choice)
	if err != nil {
		return err
	}
	for _, left := range plan.Interrupted {
		e.tell("warning: an `av apply` to this folder was interrupted: %s holds what it had replaced; take out of it what you miss, and remove it", filepath.Join(made.Folder, left))
	}
	if err := made.Apply(ctx, plan); err != nil {
		return err
	}
	e.tell("applied %s to %s", count(len(plan.Do), "change"), made.Folder)
	if len(plan.Left) == 0 {
		return made.Remove()
	}
	e.tell("not applied: %s, of which the copy is kept; `av discard %s` removes it", count(len(plan.Left), "protected change"), made.Run)
	return nil
}

// copied says at a run's end what became of its copy.
func (e *env) copied(quiet bool, made *workcopy.Copy, changes int) {
	if changes == 0 {
		e.say(quiet, "nothing was changed in the copy, which is removed")
		return
	}
	e.say(quiet, fmt.Sprintf("%s in the copy, which is kept: `av diff %s` shows, `av apply %s` brings back, `av discard %s` removes", count(changes, "change"), made.Run, made.Run, made.Run))
}

// pruneCopies removes copies that were not finished, and with an age those that nobody has
// applied or discarded for so long.
func (e *env) pruneCopies(age time.Duration, dryRun bool, tell func(netiso.Leftover)) error {
	copies, unfinished, err := workcopy.List(e.home)
	if err != nil {
		return err
	}
	live, err := netiso.Live(e.home)
	if err != nil {
		return err
	}
	for _, run := range unfinished {
		copies = append(copies, &workcopy.Copy{Dir: workcopy.Dir(e.home) + "/" + run, Base: workcopy.Base{Run: run}})
	}
	for _, made := range copies {
		alive := slices.ContainsFunc(live, func(n netiso.Note) bool { return n.Run == made.Run })
		if kept := !made.Made.IsZero(); alive || kept && (age == 0 || time.Since(made.Made) < age) {
			continue
		}
		if !dryRun {
			if err := made.Remove(); err != nil {
				return err
			}
		}
		tell(netiso.Leftover{Run: made.Run, Kind: "copy of a workspace", Name: made.Dir, Made: made.Made, Reason: "no process holds its run's lock"})
	}
	return nil
}
