package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
)

func passwordCommand(e *env) *cobra.Command {
	c := group("password", "set, change, remove or remember the master password",
		passwordSet(e), passwordChange(e), passwordRemove(e), passwordRemember(e), passwordForget(e))
	c.Long = `The master password seals the key that seals everything else. Setting or changing it
wraps that one key anew; no credential is written again, and what runs goes on running.`
	return c
}

const newPasswordHelp = `

The new password is asked for twice on a terminal, or read from --new-password-file
(- is stdin; one line break at its end is dropped). It is never an argument: every user
of this machine can see those.`

func passwordSet(e *env) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "set",
		Short: "seal the vaults with a password instead of the key file",
		Long: `Seal the vaults with a master password. The key file beside vault.db is removed: from
then on nothing opens them without the password, and it cannot be recovered.` + newPasswordHelp,
		Example: `  av vault password set
  av vault password set --new-password-file /run/secrets/av`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withFile(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				has, err := v.NeedsPassword(ctx)
				if err != nil {
					return err
				}
				if has {
					return withHint(errors.New("there is a master password already"), "av vault password change")
				}
				if err := e.reseal(ctx, v, file); err != nil {
					return err
				}
				e.tell("the vaults want the master password from now on, and the key file is gone")
				e.tell("copies of vault.db and vault.key from before still open together: delete them, or change what is in them")
				return nil
			})
		},
	}
	newPasswordFlag(c, &file)
	return c
}

func passwordChange(e *env) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "change",
		Short: "replace the master password by another",
		Long: `Replace the master password by another. The one of now is wanted first. Copies of
vault.db from before keep opening with the old one; if somebody has both, change the
credentials too, and ` + "`av vault rotate-key`" + `.` + newPasswordHelp,
		Example: "  av vault password change",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withFile(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				if err := wantsPassword(ctx, v, "change"); err != nil {
					return err
				}
				if err := e.reseal(ctx, v, file); err != nil {
					return err
				}
				e.tell("changed the master password; copies of vault.db from before still open with the old one")
				return nil
			})
		},
	}
	newPasswordFlag(c, &file)
	return c
}

func passwordRemove(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "remove",
		Short: "seal the vaults with a key file instead of the password",
		Long: `Seal the vaults with a key file beside vault.db, so that nobody is asked. Whoever can
read both files can then read every credential. The password of now is wanted first.`,
		Example: "  av vault password remove",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withFile(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				if err := wantsPassword(ctx, v, "remove"); err != nil {
					return err
				}
				if err := v.RemovePassword(ctx, vault.Owner()); err != nil {
					return err
				}
				if err := e.passwordChanged(ctx, nil); err != nil {
					return err
				}
				e.tell("removed the master password: whoever can read vault.db and vault.key in %s can read every credential", e.home)
				return nil
			})
		},
	}
}

func passwordRemember(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "remember",
		Short: "keep the master password in the system's keyring",
		Long: `Keep the master password in the system's keyring (Keychain, Secret Service), so that you
are not asked while you are logged in. Any program that runs as you can then ask the
keyring for it.`,
		Example: "  av vault password remember",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withFile(c.Context(), e.rememberPassword)
		},
	}
}

func passwordForget(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "forget",
		Short:   "take the master password out of the system's keyring",
		Long:    "Take the master password out of the system's keyring. It stays the password of the vaults.",
		Example: "  av vault password forget",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.forgetPassword(c.Context())
		},
	}
}

func rotateKey(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate-key",
		Short: "encrypt everything anew under a new key",
		Long: `Make a new data key and encrypt every credential, earlier value and CA key of every
vault under it, all or nothing. The password stays. What runs goes on running. Do it
when a copy of vault.db may have been opened by somebody else, and then change the
credentials too: they have read those.`,
		Example: "  av vault rotate-key",
		Args:    noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withFile(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				rows, err := v.RotateKey(ctx, vault.Owner())
				if err != nil {
					return err
				}
				e.tell("encrypted %s anew under a new key", count(rows, "row"))
				return nil
			})
		},
	}
}

// wantsPassword refuses where there is no password to do something to.
func wantsPassword(ctx context.Context, v *vault.Vault, what string) error {
	has, err := v.NeedsPassword(ctx)
	if err == nil && !has {
		return withHint(fmt.Errorf("there is no master password to %s", what), "a key file opens these vaults; `av vault password set` replaces it by a password")
	}
	return err
}

func newPasswordFlag(c *cobra.Command, file *string) {
	c.Flags().StringVar(file, "new-password-file", "", "read the new password from `FILE`, or from stdin if it is -")
}

// reseal asks for the password of now, which shall not be found wrong only after the new
// one was typed twice, and then for the new one.
func (e *env) reseal(ctx context.Context, v *vault.Vault, file string) error {
	if file == "-" && e.passwordFile == "-" {
		return withHint(errors.New("stdin cannot give the new master password: it gives the master password"), "take one of them from a file, or the old one from "+passwordVariable)
	}
	if err := v.Unlock(ctx, vault.Owner()); err != nil {
		return err
	}
	password, err := e.nextPassword(ctx, file)
	if err != nil {
		return err
	}
	defer clear(password)
	if err := v.SetPassword(ctx, vault.Owner(), bytes.Clone(password)); err != nil {
		return err
	}
	return e.passwordChanged(ctx, password)
}

// nextPassword is the password that takes the place of what seals the vaults now.
// AV_MASTER_PASSWORD and --password-file hold the one before.
func (e *env) nextPassword(ctx context.Context, file string) ([]byte, error) {
	if file != "" {
		return oneLine(e.readPasswordFile(file, "the new master password"))
	}
	if !e.onTerminal() {
		return nil, withHint(errors.New("no new master password was given, and there is no terminal to ask on"), "--new-password-file FILE, or - for stdin")
	}
	return e.typeTwice(ctx, "master password", "type one")
}
