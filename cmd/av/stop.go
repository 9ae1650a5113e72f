package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sync/errgroup"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/runner/console"
)

const (
	// defaultStopTimeout is how long a command may take to end when it is asked to.
	defaultStopTimeout = 10 * time.Second
	// goneTimeout is how long a killed run may take to be taken down.
	goneTimeout = 5 * time.Minute
	// gonePause is how often one looks whether it is.
	gonePause = 50 * time.Millisecond
)

func stopCommand(e *env) *cobra.Command {
	var timeout time.Duration
	var all bool
	c := &cobra.Command{
		Use:   "stop RUN...",
		Short: "end runs, and wait until all of theirs is taken down",
		Long: `End runs, whether they were started with -d or on a terminal: the command is sent
SIGTERM, and killed if it has not ended after the time of --timeout. RUN is an id of
` + "`av ps`" + `, or as much of its beginning as names one run alone. It returns when containers,
networks and walls of the runs are gone.`,
		Example: `  av stop 7f3a
  av stop --timeout 1m 7f3a
  av stop --all`,
		Args: func(_ *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return withHint(errors.New("name the runs to stop, or --all"), "av stop RUN; `av ps` lists them")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			defer e.tellKept()
			if timeout < 0 {
				return withHint(fmt.Errorf("--timeout %v lies in the past", timeout), "it takes a duration, such as 30s; 0s kills at once")
			}
			var runs []netiso.Note
			if all {
				live, err := netiso.Live(e.home)
				if err != nil {
					return err
				}
				runs = live
			}
			for _, id := range args {
				n, err := e.liveRun(id)
				if err != nil {
					return err
				}
				runs = append(runs, n)
			}
			ctx, stop := interruptible(c.Context())
			defer stop()
			var group errgroup.Group
			failed := make([]error, len(runs))
			for i, n := range runs {
				group.Go(func() error { failed[i] = e.stop(ctx, n.Run, timeout); return nil })
			}
			_ = group.Wait() // each has its own answer
			return errors.Join(failed...)
		},
	}
	c.Flags().DurationVar(&timeout, "timeout", defaultStopTimeout, "kill what has not ended after `DURATION`; 0s kills at once")
	c.Flags().BoolVar(&all, "all", false, "stop every run of this av home")
	return c
}

// stop ends one run.
func (e *env) stop(ctx context.Context, run string, patience time.Duration) error {
	if patience > 0 {
		if err := e.endRun(ctx, run, false); err != nil {
			return err
		}
		gone, err := e.awaitGone(ctx, run, patience)
		if gone || err != nil {
			return err
		}
	}
	if err := e.endRun(ctx, run, true); err != nil {
		return err
	}
	gone, err := e.awaitGone(ctx, run, goneTimeout)
	if err == nil && !gone {
		err = withHint(fmt.Errorf("run %s was killed, and is not taken down after %v", run, goneTimeout), "see whether the Docker engine answers; `av prune` removes what is left")
	}
	return err
}

// endRun asks a run to end, or ends it. One that is ending already is no error.
func (e *env) endRun(ctx context.Context, run string, kill bool) error {
	conn, answer, err := console.Dial(ctx, netiso.Dir(e.home, run), console.Request{Want: console.Stop, Kill: kill})
	if err != nil {
		if gone := !e.standing(run); gone || ctx.Err() != nil {
			return ctx.Err()
		}
		if live, listed := netiso.Live(e.home); listed == nil {
			if n, found := runNamed(live, run); found == nil && n.State == netiso.Ending {
				return nil
			}
		}
		return withHint(fmt.Errorf("run %s cannot be reached: %w", run, err), "if its process hangs, kill it: its watchdog takes the run apart")
	}
	defer conn.Close()
	if answer.Refused != "" {
		return withHint(errors.New(answer.Refused), answer.Hint)
	}
	return nil
}

// standing tells whether the run has its folder still, which goes last.
func (e *env) standing(run string) bool {
	_, err := os.Lstat(netiso.Dir(e.home, run))
	return !errors.Is(err, fs.ErrNotExist)
}

// awaitGone waits until a run is taken down.
func (e *env) awaitGone(ctx context.Context, run string, patience time.Duration) (gone bool, err error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	tick := time.NewTicker(gonePause)
	defer tick.Stop()
	for e.standing(run) {
		select {
		case <-ctx.Done():
			return false, withHint(fmt.Errorf("stopped waiting for run %s, which was asked to end", run), "`av ps` shows whether it has")
		case <-timer.C:
			return !e.standing(run), nil
		case <-tick.C:
		}
	}
	return true, nil
}
