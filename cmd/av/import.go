package main

import (
	"context"
	"errors"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/backup"
)

// importFlags are what `av vault import` can be told.
type importFlags struct {
	identity   string
	passphrase string
	options    vault.ImportOptions
	json       bool
}

func importCommand(e *env) *cobra.Command {
	var f importFlags
	c := &cobra.Command{
		Use:   "import FILE",
		Short: "read a backup into a vault",
		Long: `Read a backup that ` + "`av vault export`" + ` wrote into a vault, all or nothing, and print what
it changes. FILE is - for stdin. --dry-run prints that and changes nothing.

What is in the vault and not in the backup stays. What is in both and differs is a
conflict: nothing is imported then, unless --overwrite lets the backup's win. The vault
keeps its own CA unless --authority takes the backup's, which boxes and clients of the
old machine trust.`,
		Example: `  av vault import vault.age --dry-run
  av vault create restored && av vault import --vault restored vault.age
  av vault import vault.age --identity key.txt --overwrite`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return withHint(errors.New("name one backup"), "av vault import FILE, or - for stdin")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error { return e.importFrom(ctx, v, args[0], f) })
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.identity, "identity", "", "open it with the age identity in `FILE`")
	flags.StringVar(&f.passphrase, "passphrase-file", "", "read the passphrase from `FILE`, or from stdin if it is -")
	flags.BoolVar(&f.options.Overwrite, "overwrite", false, "let the backup win where the vault differs")
	flags.BoolVar(&f.options.Authority, "authority", false, "take the backup's CA, too")
	flags.BoolVar(&f.options.DryRun, "dry-run", false, "change nothing")
	jsonFlag(c, &f.json)
	return inVault(c)
}

func (e *env) importFrom(ctx context.Context, v *vault.Vault, file string, f importFlags) error {
	in, err := e.openInput(file, "the backup")
	if err != nil {
		return err
	}
	defer func() { _ = in.Close() }()
	if err := v.Unlock(ctx, vault.Owner()); err != nil {
		return err
	}
	plain, err := e.decrypt(ctx, in, f)
	if err != nil {
		return err
	}
	changes, err := v.Import(ctx, vault.Owner(), plain, f.options)
	if err != nil {
		// They are not made, so they are no data; but they say what is in the way.
		for _, c := range changes {
			if c.What == "conflict" {
				e.tell("%s %s differs", c.Kind, c.Name)
			}
		}
		return err
	}
	if f.json {
		return e.printJSON(append([]vault.ImportChange{}, changes...))
	}
	for _, c := range changes {
		if _, err := fmt.Fprintln(e.stdout, clean(c.What+" "+c.Kind+" "+c.Name)); err != nil {
			return err
		}
		if c.What == "same" {
			continue
		}
		// Who has the backup may not have written it.
		switch c.Reference {
		case "":
		case "exec":
			e.tell("credential %s is a command that av runs; `av credential list` tells which are", c.Name)
		default:
			e.tell("credential %s is a reference of the kind %s", c.Name, c.Reference)
		}
		if c.Unbound {
			e.tell("credential %s may go to hosts that it was not bound to before", c.Name)
		}
	}
	if len(changes) == 0 {
		e.tell("there is nothing in the backup")
	}
	if f.options.DryRun {
		e.tell("nothing was changed: this was a dry run")
	}
	return nil
}

func (e *env) decrypt(ctx context.Context, in io.Reader, f importFlags) (io.Reader, error) {
	var with backup.Identities
	switch {
	case f.passphrase != "":
		with.Passphrase = func() ([]byte, error) { return e.passphraseFrom(f.passphrase) }
	case e.onTerminal():
		with.Passphrase = func() ([]byte, error) { return e.ask(ctx, "passphrase of the backup: ") }
	}
	if f.identity != "" {
		keys, err := e.openInput(f.identity, "the identity")
		if err != nil {
			return nil, err
		}
		defer func() { _ = keys.Close() }()
		with.Keys = keys
	}
	return backup.Decrypt(in, with)
}
