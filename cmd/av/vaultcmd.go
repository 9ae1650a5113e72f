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

func vaultCommand(e *env) *cobra.Command {
	c := group("vault", "make, name, lock and back up vaults",
		vaultCreate(e), vaultList(e), vaultUse(e), vaultDelete(e), passwordCommand(e), rotateKey(e), exportCommand(e), importCommand(e))
	c.Long = `One file, vault.db, holds all vaults. Each has credentials, services, sessions and a
local CA of its own; the master password opens all of them.

Which vault a command works on is said by --vault, else by AV_VAULT, else by
` + "`av vault use`" + `; the first one is called default.`
	return c
}

// oneName takes the one argument that names a vault.
func oneName(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return withHint(errors.New("name one vault"), c.CommandPath()+" NAME")
	}
	return nil
}

func vaultCreate(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "create NAME",
		Short: "make another vault in the file",
		Long: `Make an empty vault in the same file, with a local CA of its own. The master password
stays the one of the file. The new vault is not used until you say so: with
--vault NAME for one command, AV_VAULT=NAME for a shell, av vault use NAME for good.`,
		Example: `  av vault create work
  av credential set --vault work GITHUB_TOKEN`,
		Args: oneName,
		RunE: func(c *cobra.Command, args []string) error {
			return e.withFile(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				if err := v.CreateVault(ctx, vault.Owner(), args[0]); err != nil {
					return err
				}
				e.tell("made the vault %s; `av vault use %s` makes it the one that is meant when none is named", args[0], args[0])
				return nil
			})
		},
	}
}

func vaultList(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "list the vaults of the file",
		Long: `List the vaults of the file, and how much is in each. The one with a * is meant when
neither --vault nor AV_VAULT names one. No password is needed.`,
		Example: `  av vault list
  av vault list --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withFile(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				list, err := v.Vaults(ctx, vault.Owner())
				if err != nil {
					return err
				}
				if asJSON {
					return e.printJSON(list)
				}
				var rows [][]string
				for _, i := range list {
					mark := " "
					if i.Current {
						mark = "*"
					}
					rows = append(rows, []string{mark + " " + i.Name, at(i.Created), strconv.Itoa(i.Credentials), strconv.Itoa(i.Services)})
				}
				return e.table([]string{"  NAME", "CREATED", "CREDENTIALS", "SERVICES"}, rows)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func vaultUse(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "use NAME",
		Short: "say which vault is meant when none is named",
		Long: `Say which vault is meant, from now on and in every shell, when neither --vault nor
AV_VAULT names one.`,
		Example: "  av vault use work",
		Args:    oneName,
		RunE: func(c *cobra.Command, args []string) error {
			return e.withFile(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				if err := v.UseVault(ctx, vault.Owner(), args[0]); err != nil {
					return err
				}
				e.tell("using %s", args[0])
				if other := e.getenv("AV_VAULT"); other != "" && other != args[0] {
					e.tell("AV_VAULT is %s in this shell, and goes before it", other)
				}
				return nil
			})
		},
	}
}

func vaultDelete(e *env) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "delete NAME",
		Short: "remove a vault with everything in it",
		Long: `Remove a vault with its credentials, their earlier values, its services, its sessions
and its CA. This cannot be undone: ` + "`av vault export`" + ` makes a backup first.

On a terminal you are asked to type the vault's name; anywhere else --yes is needed.
The vault that is in use is not removed, nor one with open sessions.`,
		Example: `  av vault delete old
  av vault delete --yes old      # in a script`,
		Args: oneName,
		RunE: func(c *cobra.Command, args []string) error {
			return e.withFile(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				if err := e.confirmDelete(ctx, v, args[0], yes); err != nil {
					return err
				}
				if err := v.DeleteVault(ctx, vault.Owner(), args[0]); err != nil {
					return err
				}
				e.tell("deleted the vault %s", args[0])
				return nil
			})
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "do not ask")
	return c
}

// confirmDelete lets through whoever types the vault's name. A name that is no vault's
// goes through unasked: the vault refuses it in its own words.
func (e *env) confirmDelete(ctx context.Context, v *vault.Vault, name string, yes bool) error {
	list, err := v.Vaults(ctx, vault.Owner())
	if err != nil {
		return err
	}
	i := slices.IndexFunc(list, func(i vault.Info) bool { return i.Name == name })
	if yes || i < 0 {
		return nil
	}
	if !e.onTerminal() {
		return withHint(fmt.Errorf("refusing to delete the vault %s unasked, and there is no terminal to ask on", name), "add --yes if you mean it")
	}
	typed, err := e.line(ctx, fmt.Sprintf("%s holds %s and %s; type its name to delete it: ", name,
		count(list[i].Credentials, "credential"), count(list[i].Services, "service")))
	if err != nil {
		return err
	}
	if typed != name {
		return withHint(errors.New("that is not the vault's name, and nothing was deleted"), "type "+name+" to delete it")
	}
	return nil
}
