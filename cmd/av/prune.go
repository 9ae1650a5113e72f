package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/netiso/firewall"
	"github.com/av-project/av/runner"
)

func pruneCommand(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "prune",
		Short: "remove what dead runs left: containers, networks, host rules, run folders",
		Long: `Remove what runs left that could not clean up after themselves. A run counts as
dead when no process holds its lock; a live run's things are never touched, nor
anything without av's labels.`,
		Args: cobra.NoArgs,
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
	pruner, err := e.pruner(ctx)
	if err != nil {
		return err
	}
	defer pruner.Engine.Close()
	removed := 0
	lines := json.NewEncoder(e.stdout)
	err = pruner.Prune(ctx, func(l netiso.Leftover) {
		removed++
		if asJSON {
			_ = lines.Encode(l)
			return
		}
		fmt.Fprintf(e.stdout, "removed %s %s\n", l.Kind, l.Name)
	})
	if err == nil && removed == 0 {
		fmt.Fprintln(e.stderr, "av: nothing to remove")
	}
	return err
}

// pruner looks at the engine, and at the host's rules where it may.
func (e *env) pruner(ctx context.Context) (*netiso.Pruner, error) {
	owner, err := netiso.Owner(e.home)
	if err != nil {
		return nil, err
	}
	eng, err := engine.Connect(ctx)
	if err != nil {
		return nil, err
	}
	p := &netiso.Pruner{Home: e.home, Owner: owner, Engine: eng}
	if host, err := firewall.OpenHost(); err == nil {
		p.Walls = &host
	}
	return p, nil
}

// watchdogCommand is the process beside a run that takes it apart when the run's
// own process dies.
func watchdogCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:    "watchdog RUN",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			if !runner.AwaitRunEnd(e.stdin) {
				return nil
			}
			return e.takeApart(c.Context(), args[0])
		},
	}
}

// takeApartTries and takeApartPause are how long the watchdog goes on against an
// engine that is busy or restarting.
const (
	takeApartTries = 30
	takeApartPause = time.Second
)

func (e *env) takeApart(ctx context.Context, run string) (err error) {
	if err := netiso.AwaitDeath(e.home, run); err != nil {
		return err
	}
	for range takeApartTries {
		if err = e.pruneRun(ctx, run); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(takeApartPause):
		}
	}
	return err
}

func (e *env) pruneRun(ctx context.Context, run string) error {
	pruner, err := e.pruner(ctx)
	if err != nil {
		return err
	}
	defer pruner.Engine.Close()
	return pruner.PruneRun(ctx, run)
}

// watchdogVariables are what the watchdog needs to find av's folder and the engine:
// no other variable, and so no secret, goes along.
var watchdogVariables = []string{"PATH", "HOME", "DOCKER_HOST", "DOCKER_API_VERSION", "DOCKER_CERT_PATH", "DOCKER_TLS_VERIFY"}

// startWatchdog starts this program again as the watchdog of a run. It is a session
// of its own, so that the terminal's Ctrl-C and hang-up do not end it too.
func (e *env) startWatchdog(run string, alive *os.File) (*os.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, fmt.Errorf("find this program's own file: %w", err)
	}
	cmd := exec.Command(self, "watchdog", run)
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
