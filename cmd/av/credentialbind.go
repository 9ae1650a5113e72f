package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
)

func credentialBind(e *env) *cobra.Command {
	var anywhere bool
	c := &cobra.Command{
		Use:   "bind KEY HOST... | bind KEY --anywhere",
		Short: "say to which hosts a credential may go, and leave its value",
		Long: `Bind a credential to hosts: it goes to those and to no others from then on, whatever a
service says. * stands for one label, as in *.github.com. The value stays as it is. One
that a service sends elsewhere is refused.

--anywhere takes the binding away.`,
		Example: `  av credential bind GITHUB_TOKEN api.github.com github.com
  av credential bind GITHUB_TOKEN --anywhere`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || (len(args) > 1) == anywhere {
				return withHint(errors.New("name one credential and the hosts that it may go to"), "av credential bind KEY HOST..., or --anywhere instead of the hosts")
			}
			return vault.CheckKey(args[0])
		},
		RunE: func(c *cobra.Command, args []string) error {
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				hosts := append([]string{}, args[1:]...)
				if err := v.Set(ctx, vault.Owner(), vault.Setting{Key: args[0], Hosts: hosts}); err != nil {
					return hostsHint(err)
				}
				if anywhere {
					e.tell("%s may go anywhere", args[0])
				} else {
					e.tell("%s may go to %s, and nowhere else", args[0], strings.Join(hosts, ", "))
				}
				return nil
			})
		},
	}
	c.Flags().BoolVar(&anywhere, "anywhere", false, "let it go to every host that a service names")
	return c
}
