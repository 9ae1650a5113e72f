package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
)

func credentialCommand(e *env) *cobra.Command {
	c := group("credential", "store, list and show credentials",
		credentialSet(e), credentialBind(e), credentialGet(e), credentialList(e), credentialDelete(e), credentialHistory(e), credentialRollback(e))
	c.Long = `Credentials are kept encrypted, under names such as GITHUB_TOKEN. No command in a box
sees one; a service says to which host the proxy adds it. See ` + "`av service --help`" + `.`
	return inVault(c)
}

// oneKey takes the one argument that names a credential.
func oneKey(c *cobra.Command, args []string) error {
	if len(args) != 1 {
		return withHint(errors.New("name one credential"), c.CommandPath()+" KEY")
	}
	return vault.CheckKey(args[0])
}

func credentialGet(e *env) *cobra.Command {
	var yes bool
	c := &cobra.Command{
		Use:   "get KEY",
		Short: "print a credential's value",
		Long: `Print the value of a credential: the bytes as they are stored, and no line break after
them. A reference is fetched first. That it was read is written into the audit log.

Where stdout is a terminal you are asked first, because a terminal keeps what it shows.`,
		Example: `  av credential get GITHUB_TOKEN | gh auth login --with-token
  av credential get GITHUB_TOKEN`,
		Args: oneKey,
		RunE: func(c *cobra.Command, args []string) error {
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error { return e.getCredential(ctx, v, args[0], yes) })
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "print to a terminal without asking")
	return c
}

func (e *env) getCredential(ctx context.Context, v *vault.Vault, key string, yes bool) error {
	shown := e.showsOutput()
	if shown && !yes {
		if !e.onTerminal() {
			return withHint(fmt.Errorf("refusing to print %s to a terminal unasked, and there is no terminal to ask on", key), "send it elsewhere, or add --yes")
		}
		ok, err := e.agreed(ctx, "print "+key+" to this terminal?")
		if err != nil {
			return err
		}
		if !ok {
			return withHint(fmt.Errorf("did not print %s", key), "send it to a file or into another program")
		}
	}
	value, err := v.Reveal(ctx, vault.Owner(), key)
	if err != nil {
		return err
	}
	plain := value.Open()
	defer clear(plain)
	if _, err := e.stdout.Write(plain); err != nil {
		return fmt.Errorf("print %s: %w", key, err)
	}
	if shown {
		// On a terminal the shell's prompt would stand behind it.
		fmt.Fprintln(e.stderr)
	}
	return nil
}

func credentialList(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "list the credentials, never their values",
		Long: `List the credentials: when each was last set and last sent out, the hosts that it is
bound to, where its value comes from, and the services that use it. No value is
shown, and no password is needed.`,
		Example: `  av credential list
  av credential list --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				list, err := v.Credentials(ctx, vault.Owner())
				if err != nil {
					return err
				}
				if asJSON {
					return e.printJSON(list)
				}
				return e.printCredentials(list)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func (e *env) printCredentials(list []vault.Credential) error {
	if len(list) == 0 {
		e.tell("no credentials yet; store one with `av credential set KEY`")
		return nil
	}
	rows := make([][]string, len(list))
	for i, c := range list {
		used := at(c.Used)
		if used == "" {
			used = "never"
		}
		rows[i] = []string{c.Key, at(c.Updated), used, boundTo(c.Hosts), from(c.Reference), strings.Join(c.UsedBy, ", ")}
	}
	return e.table([]string{"KEY", "UPDATED", "LAST USED", "HOSTS", "FROM", "USED BY"}, rows)
}

// boundTo says which hosts a credential may go to.
func boundTo(hosts []string) string {
	if len(hosts) == 0 {
		return "any"
	}
	return strings.Join(hosts, ", ")
}

// from says where a credential's value is kept.
func from(reference string) string {
	if reference == "" {
		return "vault"
	}
	return reference
}

func credentialDelete(e *env) *cobra.Command {
	var force bool
	c := &cobra.Command{
		Use:   "delete KEY",
		Short: "delete a credential and its earlier values",
		Long: `Delete a credential and its earlier values. One that a service needs is refused, because
requests to that service would fail from then on; --force deletes it all the same.`,
		Example: `  av credential delete GITHUB_TOKEN
  av credential delete --force GITHUB_TOKEN`,
		Args: oneKey,
		RunE: func(c *cobra.Command, args []string) error {
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				if err := v.DeleteCredential(ctx, vault.Owner(), args[0], force); err != nil {
					return err
				}
				e.tell("deleted %s", args[0])
				return nil
			})
		},
	}
	c.Flags().BoolVar(&force, "force", false, "delete it though a service needs it")
	return c
}
