package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/backup"
)

// exportFlags are what `av vault export` can be told.
type exportFlags struct {
	out        string
	recipients []string
	passphrase string
	armor      bool
	force      bool
}

func exportCommand(e *env) *cobra.Command {
	var f exportFlags
	c := &cobra.Command{
		Use:   "export",
		Short: "write an encrypted backup of a vault",
		Long: `Write an encrypted backup of one vault: its credentials with their earlier values, its
services and its CA. ` + "`av vault import`" + ` reads it on this machine or another, whatever
master password is used there. It is a file of the age program, which opens it too.

It is encrypted to each --recipient (age1...), or with a passphrase, which is asked for
twice on a terminal or read from --passphrase-file. Whoever has the backup and the
passphrase, or a recipient's key, has every credential in it.

Sessions and logs are not in it.`,
		Example: `  av vault export -o vault.age
  av vault export --vault work -o work.age --recipient age1...
  av vault export --recipient age1... | ssh backup 'cat > vault.age'`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return e.export(c.Context(), f) },
	}
	flags := c.Flags()
	flags.StringVarP(&f.out, "output", "o", "", "write to `FILE` instead of stdout")
	flags.StringArrayVar(&f.recipients, "recipient", nil, "encrypt to the age recipient `age1...`; may be repeated")
	flags.StringVar(&f.passphrase, "passphrase-file", "", "read the passphrase from `FILE`, or from stdin if it is -")
	flags.BoolVar(&f.armor, "armor", false, "write text that survives mail and paste")
	flags.BoolVar(&f.force, "force", false, "replace FILE if it is there")
	return inVault(c)
}

func (e *env) export(ctx context.Context, f exportFlags) error {
	switch {
	case f.out == "" && e.showsOutput():
		return withHint(errors.New("refusing to write a backup to a terminal"), "add -o FILE")
	case f.out == "" && f.force:
		return withHint(errors.New("--force is for a file"), "add -o FILE, or leave --force out")
	case f.passphrase != "" && len(f.recipients) > 0:
		return withHint(errors.New("a backup opens with a passphrase or with keys, not with both"), "export it twice")
	}
	if f.out != "" {
		// Before a passphrase is typed for nothing.
		if err := checkOut(f.out, f.force); err != nil {
			return err
		}
	}
	return e.withVault(ctx, func(ctx context.Context, v *vault.Vault) error {
		if err := v.Unlock(ctx, vault.Owner()); err != nil {
			return err
		}
		to := backup.Recipients{Keys: f.recipients, Armor: f.armor}
		if len(f.recipients) == 0 {
			passphrase, err := e.newPassphrase(ctx, f.passphrase)
			if err != nil {
				return err
			}
			defer clear(passphrase)
			to.Passphrase = passphrase
		}
		write := func(w io.Writer) error { return exportTo(ctx, v, w, to) }
		if f.out == "" {
			return write(e.stdout)
		}
		if err := writeFile(f.out, f.force, write); err != nil {
			return err
		}
		e.tell("wrote the backup %s", f.out)
		return nil
	})
}

func exportTo(ctx context.Context, v *vault.Vault, w io.Writer, to backup.Recipients) error {
	sealed, err := backup.Encrypt(w, to)
	if err != nil {
		return err
	}
	if err := v.Export(ctx, vault.Owner(), sealed); err != nil {
		return err
	}
	return sealed.Close()
}

func (e *env) newPassphrase(ctx context.Context, file string) ([]byte, error) {
	if file != "" {
		return e.passphraseFrom(file)
	}
	if !e.onTerminal() {
		return nil, withHint(errors.New("nobody could open the backup: no recipient and no passphrase was given, and there is no terminal to ask on"),
			"--recipient age1..., or --passphrase-file FILE")
	}
	return e.typeTwice(ctx, "passphrase of the backup", "type one")
}

// maxPassphrase is more than anybody types.
const maxPassphrase = 4 << 10

// passphraseFrom is the one line that a file holds.
func (e *env) passphraseFrom(file string) ([]byte, error) {
	b, err := e.readInput(file, "the passphrase", maxPassphrase+int64(len("\r\n"))+1)
	if err != nil {
		return nil, err
	}
	b = dropLineBreak(b)
	switch {
	case len(b) == 0:
		return nil, withHint(errors.New("the passphrase is empty"), "its file needs one line")
	case len(b) > maxPassphrase || bytes.ContainsAny(b, "\r\n\x00"):
		clear(b)
		return nil, withHint(fmt.Errorf("the passphrase is more than one line, or longer than %d bytes", maxPassphrase), "its file needs one line, and nothing else")
	}
	return b, nil
}
