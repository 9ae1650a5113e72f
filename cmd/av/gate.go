package main

import (
	"github.com/spf13/cobra"

	"github.com/av-project/av/netiso/firewall"
	"github.com/av-project/av/netiso/gate"
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
	c.AddCommand(wallsCommand(e))
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
