package main

import (
	"encoding/json"
	"strconv"
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
		Use:    "own PATH OWNER SINCE",
		Hidden: true,
		Args:   cobra.ExactArgs(3),
		RunE: func(c *cobra.Command, args []string) error {
			var to runner.Owned
			if err := json.Unmarshal([]byte(args[1]), &to); err != nil {
				return err
			}
			since, err := strconv.ParseInt(args[2], 10, 64)
			if err != nil {
				return err
			}
			return runner.Own(c.Context(), args[0], to, time.Unix(since, 0))
		},
	}
}
