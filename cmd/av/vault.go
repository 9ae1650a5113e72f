package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
)

// oneVault marks commands that work on one vault of the file.
const oneVault = "vault"

// inVault marks a command, and those below it, as working on one vault of the file.
func inVault(c *cobra.Command) *cobra.Command {
	c.Annotations = map[string]string{oneVault: ""}
	return c
}

// checkVault refuses --vault where it would say nothing. AV_VAULT is for a whole shell, and
// may be set there.
func checkVault(c *cobra.Command) error {
	if !c.Flags().Changed("vault") || worksInVault(c) {
		return nil
	}
	return withHint(fmt.Errorf("--vault is for commands that work in one vault, and `%s` is none", c.CommandPath()), "leave --vault out")
}

func worksInVault(c *cobra.Command) bool {
	for ; c != nil; c = c.Parent() {
		if _, ok := c.Annotations[oneVault]; ok {
			return true
		}
	}
	return false
}

// vaultOptions are for the file as a whole: the vault that `av vault use` chose.
func (e *env) vaultOptions() vault.Options {
	return vault.Options{
		Getenv:   e.getenv,
		Home:     e.home,
		Password: e.masterPassword,
		Wrong:    e.wrongPassword,
		Logger:   e.logger(),
	}
}

// openVault opens the vault that is meant; it asks for the password when something
// sealed is needed.
func (e *env) openVault(ctx context.Context) (*vault.Vault, error) {
	o := e.vaultOptions()
	o.Vault = e.vault
	return vault.Open(ctx, o)
}

// withVault opens the vault that is meant, for one command.
func (e *env) withVault(ctx context.Context, do func(context.Context, *vault.Vault) error) error {
	return with(ctx, e.openVault, do)
}

// withFile opens the file for a command that is not about one of its vaults. AV_VAULT
// is not looked at: it may name the vault that is only now to be made.
func (e *env) withFile(ctx context.Context, do func(context.Context, *vault.Vault) error) error {
	return with(ctx, func(ctx context.Context) (*vault.Vault, error) { return vault.Open(ctx, e.vaultOptions()) }, do)
}

func with(ctx context.Context, open func(context.Context) (*vault.Vault, error), do func(context.Context, *vault.Vault) error) (err error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	v, err := open(ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, v.Close()) }()
	return do(ctx, v)
}

// tell writes a line for the person at the terminal.
func (e *env) tell(format string, args ...any) {
	fmt.Fprintf(e.stderr, "av: %s\n", clean(fmt.Sprintf(format, args...)))
}
