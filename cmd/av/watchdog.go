package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/runner"
)

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
	// sweepPause is how soon the watchdog looks again for what is left of its run, and
	// sweepPauseMost how soon when it has found nothing for a while: the watchdogs of many
	// runs must not keep the engine from what they wait for.
	sweepPause     = 100 * time.Millisecond
	sweepPauseMost = 2 * time.Second
	// sweepQuiet is how long nothing must have come to light before it goes: requests
	// that the dead process had under way are carried out by the engine all the same,
	// and what they make appears after it was looked for.
	sweepQuiet = 10 * time.Second
	// sweepTimeout bounds one look. An engine that holds a request back may answer the
	// same one when it is asked again.
	sweepTimeout = 20 * time.Second
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
	// Side by side: where many runs die at once, one waits its turn at the vault, and
	// the boxes must not live on until then.
	var failed error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		sessions := &runSessions{e: e}
		failed = sessions.End(ctx, run.ID)
		failed = errors.Join(failed, sessions.close())
	}()
	swept := e.sweepUntilQuiet(ctx, run, ended)
	<-ended
	return errors.Join(failed, swept)
}

// sweepUntilQuiet leaves the run's folder until its sessions have ended: a prune after
// our own death finds the run by it.
func (e *env) sweepUntilQuiet(ctx context.Context, run netiso.Run, ended <-chan struct{}) error {
	pause := sweepPause
	for quiet := time.Now(); time.Since(quiet) < sweepQuiet; {
		keepFolder := true
		select {
		case <-ended:
			keepFolder = false
		default:
			quiet = time.Now()
		}
		removed, err := e.sweep(ctx, run, keepFolder)
		if removed > 0 || err != nil {
			quiet = time.Now()
		}
		if removed > 0 {
			pause = sweepPause
		}
		select {
		case <-ctx.Done():
			return errors.Join(err, ctx.Err())
		case <-time.After(pause):
		}
		pause = min(2*pause, sweepPauseMost)
	}
	return nil
}

func (e *env) sweep(ctx context.Context, run netiso.Run, keepFolder bool) (removed int, err error) {
	ctx, cancel := context.WithTimeout(ctx, sweepTimeout)
	defer cancel()
	pruner, err := e.pruner(ctx, run.Owner)
	if err != nil {
		return 0, err
	}
	defer pruner.Engine.Close()
	pruner.KeepFolder = keepFolder
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
