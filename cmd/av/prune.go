package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os/exec"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/netiso/firewall"
)

// minAge is the least that --older-than takes: so long may a start take until something
// of it runs, and of another home's start nothing else can be seen.
const minAge = 10 * time.Minute

type pruneFlags struct {
	dryRun, asJSON bool
	olderThan      string
}

func pruneCommand(e *env) *cobra.Command {
	var f pruneFlags
	c := &cobra.Command{
		Use:   "prune",
		Short: "remove what dead runs left: containers, networks, host rules, sessions, folders",
		Long: `Remove what runs left that could not clean up after themselves: their sessions,
containers, networks, volumes, host rules and folders. A run counts as dead when no
process holds its lock; a live run's things are never touched, nor anything without
av's labels. The copy of a workspace that a run has left stays until it is applied or
discarded, unless --older-than says how old it may get.

--older-than spares what is younger, and looks at what other av homes left on this
Docker engine, too. Their locks cannot be asked: what is theirs goes if it is older
than that and nothing of its run runs.`,
		Example: `  av prune
  av prune --dry-run
  av prune --older-than 7d`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			return e.prune(ctx, f)
		},
	}
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "show what would be removed, and remove nothing")
	c.Flags().StringVar(&f.olderThan, "older-than", "", "spare what is younger than `AGE`, such as 36h or 7d; other av homes' remains too")
	c.Flags().BoolVar(&f.asJSON, "json", false, "print what was removed as JSON, a line each")
	return c
}

func (f pruneFlags) age() (time.Duration, error) {
	if f.olderThan == "" {
		return 0, nil
	}
	age, err := parsePeriod(f.olderThan)
	if err == nil && age < minAge {
		err = withHint(fmt.Errorf("--older-than %s is too short: a start of another home may be as old", f.olderThan),
			fmt.Sprintf("give %s or more, or leave it out", period(minAge)))
	}
	return age, err
}

func (e *env) prune(ctx context.Context, f pruneFlags) (err error) {
	age, err := f.age()
	if err != nil {
		return err
	}
	owner, err := netiso.KnownOwner(e.home)
	if errors.Is(err, fs.ErrNotExist) && age == 0 {
		fmt.Fprintln(e.stderr, "av: nothing to remove: no run has come from "+e.home)
		return nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	pruner, err := e.pruner(ctx, owner)
	if err != nil {
		return err
	}
	defer pruner.Engine.Close()
	sessions := &runSessions{e: e}
	defer func() { err = errors.Join(err, sessions.close()) }()
	pruner.Sessions, pruner.OlderThan, pruner.DryRun = sessions, age, f.dryRun
	verb := "removed"
	if f.dryRun {
		verb = "would remove"
	}
	removed := 0
	lines := json.NewEncoder(e.stdout)
	tell := func(l netiso.Leftover) {
		removed++
		if f.asJSON {
			_ = lines.Encode(prunedLine{l, !f.dryRun})
			return
		}
		fmt.Fprintf(e.stdout, "%s %s %s\n", verb, l.Kind, clean(l.Name))
	}
	err = errors.Join(pruner.Prune(ctx, tell), e.pruneCopies(age, f.dryRun, tell))
	e.tellKept()
	if err == nil && removed == 0 {
		fmt.Fprintln(e.stderr, "av: nothing to remove")
	}
	return err
}

// prunedLine is what --json says of one thing.
type prunedLine struct {
	netiso.Leftover
	Removed bool `json:"removed"`
}

// pruner looks at the engine, and at the host's rules where it may.
func (e *env) pruner(ctx context.Context, owner string) (*netiso.Pruner, error) {
	eng, err := engine.Connect(ctx)
	if err != nil {
		return nil, err
	}
	p := &netiso.Pruner{Home: e.home, Owner: owner, Engine: eng, Last: e.compareDead}
	host, err := firewall.OpenHost()
	switch {
	case err == nil:
		p.Walls = &host
	case !errors.Is(err, firewall.ErrNotAllowed) && !errors.Is(err, exec.ErrNotFound):
		return nil, errors.Join(err, eng.Close())
	}
	return p, nil
}
