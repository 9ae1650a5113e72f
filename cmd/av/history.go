package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
)

func credentialHistory(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "history KEY",
		Short: "list the values that a credential had, without the values",
		Long: `List the versions of a credential, the newest first: when each became the value, the
hosts that it was bound to and where it came from. No value is shown.`,
		Example: "  av credential history GITHUB_TOKEN",
		Args:    oneKey,
		RunE: func(c *cobra.Command, args []string) error {
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				list, err := v.History(ctx, vault.Owner(), args[0])
				if err != nil {
					return err
				}
				if asJSON {
					return e.printJSON(list)
				}
				rows := make([][]string, len(list))
				for i, version := range list {
					mark := " "
					if version.Current {
						mark = "*"
					}
					rows[i] = []string{mark + " " + strconv.Itoa(version.Version), at(version.Created), boundTo(version.Hosts), from(version.Ref)}
				}
				return e.table([]string{"  VERSION", "SET", "HOSTS", "FROM"}, rows)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func credentialRollback(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "rollback KEY [VERSION]",
		Short: "make an earlier value the value again",
		Long: `Make an earlier value of a credential its value again: the one before, or the VERSION
that ` + "`av credential history`" + ` shows. It becomes a new version, so that this too can be
taken back. What runs uses it within a second.`,
		Example: `  av credential rollback GITHUB_TOKEN
  av credential rollback GITHUB_TOKEN 3`,
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 || len(args) > 2 {
				return withHint(errors.New("name one credential, and a version if it is not the one before"), c.CommandPath()+" KEY [VERSION]")
			}
			return vault.CheckKey(args[0])
		},
		RunE: func(c *cobra.Command, args []string) error {
			version := 0
			if len(args) == 2 {
				n, err := strconv.ParseUint(args[1], 10, 31)
				if err != nil || n == 0 {
					return withHint(errors.New("the version is not a number from 1"), "`av credential history "+args[0]+"` shows them")
				}
				version = int(n)
			}
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error { return e.rollback(ctx, v, args[0], version) })
		},
	}
}

func (e *env) rollback(ctx context.Context, v *vault.Vault, key string, version int) error {
	if version == 0 {
		list, err := v.History(ctx, vault.Owner(), key)
		if err != nil {
			return err
		}
		current := slices.IndexFunc(list, func(v vault.Version) bool { return v.Current })
		if current < 0 || current+1 >= len(list) {
			return withHint(fmt.Errorf("there is no earlier value of %s", key), "`av credential set "+key+"` gives it another")
		}
		version = list[current+1].Version
	}
	if err := v.Rollback(ctx, vault.Owner(), key, version); err != nil {
		return err
	}
	e.tell("version %d of %s is its value again", version, key)
	return nil
}
