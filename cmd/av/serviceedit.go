package main

import (
	"context"
	"errors"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
)

// someServices takes the names of one or more services.
func someServices(c *cobra.Command, args []string) error {
	if len(args) == 0 {
		return withHint(errors.New("name a service"), c.CommandPath()+" NAME...; `av service list` shows them")
	}
	return nil
}

func serviceRemove(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "remove NAME...",
		Short: "remove services by name",
		Long: `Remove services by name, all or none, and print what they were. Requests to their hosts
are denied from then on, unless something else allows them. The credentials stay.`,
		Example: "  av service remove github",
		Args:    someServices,
		RunE: func(c *cobra.Command, args []string) error {
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				return e.changeServices(ctx, v, func() error { return v.RemoveServices(ctx, vault.Owner(), args...) })
			})
		},
	}
}

func serviceEnable(e *env) *cobra.Command {
	return serviceSwitch(e, true, &cobra.Command{
		Use:     "enable NAME...",
		Short:   "switch services on",
		Long:    "Switch services on that were disabled, all or none. What runs sees it within a second.",
		Example: "  av service enable github",
	})
}

func serviceDisable(e *env) *cobra.Command {
	return serviceSwitch(e, false, &cobra.Command{
		Use:   "disable NAME...",
		Short: "switch services off and keep them",
		Long: `Switch services off, all or none, and keep them in the list. Requests to their hosts are
denied from then on, unless something else allows them; connections that are open on
them are closed.`,
		Example: "  av service disable github",
	})
}

func serviceSwitch(e *env, on bool, c *cobra.Command) *cobra.Command {
	c.Args = someServices
	c.RunE = func(c *cobra.Command, args []string) error {
		return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
			return e.changeServices(ctx, v, func() error { return v.EnableServices(ctx, vault.Owner(), on, args...) })
		})
	}
	return c
}
