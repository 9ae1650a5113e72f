package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/netiso/firewall"
	"github.com/av-project/av/netiso/gate"
	"github.com/av-project/av/runner"
)

// gateCommand is what runs in the gate's container.
func gateCommand(e *env) *cobra.Command {
	c := &cobra.Command{
		Use:    "gate",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			ctx, stop := interruptible(c.Context())
			defer stop()
			return gate.Run(ctx, e.stdin, e.stdout)
		},
	}
	c.AddCommand(wallsCommand(e), ownCommand())
	return c
}

// wallsCommand is what runs in the container that keeps the walls on the host.
func wallsCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:    "walls",
		Hidden: true,
		Args:   cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return firewall.Serve(c.Context(), firewall.OpenHost, e.stdin, e.stdout)
		},
	}
}

// ownCommand is what runs in the container that gives the user of a `--root` run what root
// has made in the workspace.
func ownCommand() *cobra.Command {
	return &cobra.Command{
		Use:    "own DIR UID GID SINCE",
		Hidden: true,
		Args:   cobra.ExactArgs(4),
		RunE: func(c *cobra.Command, args []string) error {
			var uid, gid int
			var since int64
			if _, err := fmt.Sscan(args[1]+" "+args[2]+" "+args[3], &uid, &gid, &since); err != nil {
				return err
			}
			return runner.Own(c.Context(), args[0], uid, gid, time.Unix(since, 0))
		},
	}
}
