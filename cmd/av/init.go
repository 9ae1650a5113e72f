package main

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
)

func initCommand(e *env) *cobra.Command {
	var noPassword bool
	c := &cobra.Command{
		Use:   "init",
		Short: "make the vault",
		Long: `Make the vault in AV_HOME (default ~/.av): an encrypted store for credentials, and
a local certificate authority of its own.

The master password comes from AV_MASTER_PASSWORD, from --password-file, or is asked
for on a terminal. Nothing opens the vault without it; it cannot be recovered.`,
		Example: `  av init
  av init --no-password`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return e.initVault(c.Context(), noPassword) },
	}
	c.Flags().BoolVar(&noPassword, "no-password", false, "seal the vault with a key file beside it instead of a password")
	return c
}

func (e *env) initVault(ctx context.Context, noPassword bool) (err error) {
	ctx, stop := interruptible(ctx)
	defer stop()
	o := e.vaultOptions()
	// Before a password is asked for: it would be typed for nothing.
	if err := vault.Absent(o); err != nil {
		return err
	}
	var password []byte
	if !noPassword {
		if password, err = e.newPassword(ctx); err != nil {
			return err
		}
		defer clear(password)
	}
	if err := vault.Init(ctx, o, password); err != nil {
		return err
	}
	e.tell("made the vault in %s", e.home)
	if noPassword {
		e.tell("no password: whoever can read %s and vault.db can read every credential", filepath.Join(e.home, "vault.key"))
	}
	e.tell("next: av credential set GITHUB_TOKEN")
	return nil
}
