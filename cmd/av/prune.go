package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/netiso/firewall"
	"github.com/av-project/av/runner"
	"github.com/av-project/av/vault"
)

func pruneCommand(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "prune",
		Short: "remove what dead runs left: containers, networks, host rules, run folders",
		Long: `Remove what runs left that could not clean up after themselves. A run counts as
dead when no process holds its lock; a live run's things are never touched, nor
anything without av's labels.`,
		Example: "  av prune",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			return e.prune(ctx, asJSON)
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print what was removed as JSON, a line each")
	return c
}

func (e *env) prune(ctx context.Context, asJSON bool) error {
	owner, err := netiso.KnownOwner(e.home)
	if errors.Is(err, fs.ErrNotExist) {
		fmt.Fprintln(e.stderr, "av: nothing to remove: no run has come from "+e.home)
		return nil
	}
	if err != nil {
		return err
	}
	pruner, err := e.pruner(ctx, owner)
	if err != nil {
		return err
	}
	defer pruner.Engine.Close()
	removed := 0
	runs := map[string]bool{}
	lines := json.NewEncoder(e.stdout)
	err = pruner.Prune(ctx, func(l netiso.Leftover) {
		removed++
		runs[l.Run] = true
		if asJSON {
			_ = lines.Encode(l)
			return
		}
		fmt.Fprintf(e.stdout, "removed %s %s\n", l.Kind, l.Name)
	})
	if err == nil && removed == 0 {
		fmt.Fprintln(e.stderr, "av: nothing to remove")
	}
	for _, run := range sorted(runs) {
		err = errors.Join(err, e.endSessions(ctx, run))
	}
	return err
}

// endSessions makes the token and the certificate of a dead run worth nothing, in
// whichever vault of the file it had them. It needs no password.
func (e *env) endSessions(ctx context.Context, run string) error {
	if vault.Absent(e.vaultOptions()) == nil {
		return nil
	}
	file, err := vault.Open(ctx, e.vaultOptions())
	if err != nil {
		return err
	}
	list, err := file.Vaults(ctx, vault.Owner())
	for _, i := range list {
		err = errors.Join(err, e.endRun(ctx, i.Name, run))
	}
	return errors.Join(err, file.Close())
}

func (e *env) endRun(ctx context.Context, name, run string) error {
	o := e.vaultOptions()
	o.Vault = name
	v, err := vault.Open(ctx, o)
	if err != nil {
		return err
	}
	_, err = v.EndRun(ctx, vault.Owner(), run)
	return errors.Join(err, v.Close())
}

// pruner looks at the engine, and at the host's rules where it may.
func (e *env) pruner(ctx context.Context, owner string) (*netiso.Pruner, error) {
	eng, err := engine.Connect(ctx)
	if err != nil {
		return nil, err
	}
	p := &netiso.Pruner{Home: e.home, Owner: owner, Engine: eng}
	host, err := firewall.OpenHost()
	switch {
	case err == nil:
		p.Walls = &host
	case !errors.Is(err, firewall.ErrNotAllowed):
		return nil, errors.Join(err, eng.Close())
	}
	return p, nil
}

// watchdogCommand is the process beside a run that takes it apart when the run's
// own process dies.
func watchdogCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:    "watchdog RUN OWNER",
		Hidden: true,
		Args:   cobra.ExactArgs(2),
		RunE: func(c *cobra.Command, args []string) error {
			if !runner.AwaitRunEnd(e.stdin) {
				return nil
			}
			return e.takeApart(c.Context(), netiso.Run{ID: args[0], Owner: args[1]})
		},
	}
}

const (
	// sweepPause is how often the watchdog looks for what is left of its run.
	sweepPause = 250 * time.Millisecond
	// sweepQuiet is how long nothing must have come to light before it goes: requests
	// that the dead process had under way are carried out by the engine all the same,
	// and what they make appears after it was looked for.
	sweepQuiet = 10 * time.Second
	// sweepLimit is how long it goes on against an engine that does not answer. What is
	// left then is for prune.
	sweepLimit = 5 * time.Minute
)

// takeApart removes what a dead run has left, until no more of it comes.
func (e *env) takeApart(ctx context.Context, run netiso.Run) error {
	if err := netiso.AwaitDeath(e.home, run.ID); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, sweepLimit)
	defer cancel()
	sessions := e.endSessions(ctx, run.ID)
	tick := time.NewTicker(sweepPause)
	defer tick.Stop()
	for quiet := time.Now(); time.Since(quiet) < sweepQuiet; {
		removed, err := e.pruneRun(ctx, run)
		if removed > 0 || err != nil {
			quiet = time.Now()
		}
		select {
		case <-ctx.Done():
			return errors.Join(sessions, err, ctx.Err())
		case <-tick.C:
		}
	}
	return sessions
}

func (e *env) pruneRun(ctx context.Context, run netiso.Run) (removed int, err error) {
	pruner, err := e.pruner(ctx, run.Owner)
	if err != nil {
		return 0, err
	}
	defer pruner.Engine.Close()
	return pruner.PruneRun(ctx, run.ID)
}

// watchdogVariables are what the watchdog needs to find av's folder and the engine:
// no other variable, and so no secret, goes along.
var watchdogVariables = []string{"PATH", "HOME", "DOCKER_HOST", "DOCKER_API_VERSION", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"}

// startWatchdog starts this program again as the watchdog of a run. It is a session
// of its own, so that the terminal's Ctrl-C and hang-up do not end it too.
func (e *env) startWatchdog(run netiso.Run, alive *os.File) (*os.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	cmd := exec.Command(self, "watchdog", run.ID, run.Owner)
	cmd.Args[0] = "av"
	cmd.Env = []string{"AV_HOME=" + e.home}
	for _, name := range watchdogVariables {
		if v := e.getenv(name); v != "" {
			cmd.Env = append(cmd.Env, name+"="+v)
		}
	}
	cmd.Stdin = alive
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	return cmd.Process, nil
}
