package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
)

// maxInput is more than a credential may have, so that the vault sees one that is
// too long and says so.
const maxInput = 1 << 20

// setFlags are what `av credential set` can be told.
type setFlags struct {
	fromFile string
	envFile  string
	ref      string
	keep     time.Duration
	hosts    []string
	versions int

	hostsGiven, keepGiven, versionsGiven bool
}

func credentialSet(e *env) *cobra.Command {
	var f setFlags
	c := &cobra.Command{
		Use:   "set KEY | KEY=VALUE... | --env-file FILE [KEY...]",
		Short: "store a credential, or several at once",
		Long: `Store credentials, encrypted. With KEY alone the value comes from stdin (one line
break at its end is dropped), or is asked for on a terminal without being shown.

KEY=VALUE is short, but while av runs every user of this machine can see the value
in the list of processes, and your shell writes it into its history. Use stdin:

  av credential set GITHUB_TOKEN < token.txt
  gh auth token | av credential set GITHUB_TOKEN

--from-file takes a file's bytes as they are, the last line break too. --env-file takes
all KEY=VALUE lines of a .env file, or those of the KEYs that are named; nothing in it
is expanded. Several are stored all together or not at all.

--ref stores no value but where to fetch it when it is needed:

  env:VAR        a variable of the av that runs then
  file:PATH      a file's contents, without a line break at the end
  exec:COMMAND   what a command prints: exec:"op read op://vault/item/field"

What was fetched is used again for --keep (five minutes if it is not said).

--hosts binds a credential: it goes to those hosts and no others, whatever a service
says. Without the flag a binding stays as it is; --hosts '' removes it. Earlier values
are kept, ten of them unless --versions says otherwise: see ` + "`av credential history`" + `.`,
		Example: `  av credential set GITHUB_TOKEN --hosts api.github.com,github.com
  av credential set TLS_KEY --from-file key.pem
  av credential set --env-file .env OPENAI_API_KEY
  av credential set NPM_TOKEN --ref exec:"pass show npm"`,
		RunE: func(c *cobra.Command, args []string) error {
			f.hostsGiven, f.keepGiven, f.versionsGiven = c.Flags().Changed("hosts"), c.Flags().Changed("keep"), c.Flags().Changed("versions")
			// Before anything is asked for: a question would repeat what may be a secret.
			reference, err := f.check(args)
			if err != nil {
				return err
			}
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				return e.setCredentials(ctx, v, f, reference, args)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.fromFile, "from-file", "", "take the value from `FILE`, byte for byte")
	flags.StringVar(&f.envFile, "env-file", "", "take KEY=VALUE lines from `FILE`, or from stdin if it is -")
	flags.StringVar(&f.ref, "ref", "", "fetch the value when it is needed: `env:VAR`, file:PATH or exec:COMMAND")
	flags.DurationVar(&f.keep, "keep", 0, "with --ref: use what was fetched for `DURATION`, such as 30s or 1h")
	flags.StringSliceVar(&f.hosts, "hosts", nil, "the only `HOSTS` that it may go to, with commas between them")
	flags.IntVar(&f.versions, "versions", 10, "how many earlier values are kept")
	return c
}

// check refuses flags and arguments that do not go together. It repeats no argument: one
// may be a value where a key belongs.
func (f setFlags) check(args []string) (reference vault.Reference, err error) {
	sources := 0
	for _, source := range []string{f.fromFile, f.envFile, f.ref} {
		if source != "" {
			sources++
		}
	}
	switch {
	case sources > 1:
		return reference, withHint(errors.New("a value has one source"), "use one of --from-file, --env-file and --ref")
	case len(args) == 0 && f.envFile == "":
		return reference, withHint(errors.New("no credential was named"), "av credential set KEY")
	case f.keepGiven && f.ref == "":
		return reference, withHint(errors.New("--keep is for references"), "add --ref, or leave --keep out")
	}
	pairs := 0
	for _, arg := range args {
		key, _, pair := strings.Cut(arg, "=")
		if err := vault.CheckKey(key); err != nil {
			return reference, err
		}
		if pair {
			pairs++
		}
	}
	switch {
	case sources > 0 && pairs > 0:
		return reference, withHint(errors.New("a value has one source"), "leave out the =VALUE, or the flag")
	case (f.fromFile != "" || f.ref != "") && len(args) > 1:
		return reference, withHint(errors.New("--from-file and --ref are for one credential"), "set them one after the other")
	}
	if f.ref == "" {
		return reference, nil
	}
	reference, err = vault.ParseReference(f.ref)
	reference.Keep = f.keep
	return reference, err
}

func (e *env) setCredentials(ctx context.Context, v *vault.Vault, f setFlags, reference vault.Reference, args []string) error {
	// A wrong password shall not cost whoever typed the value.
	if err := v.Unlock(ctx, vault.Owner()); err != nil {
		return err
	}
	settings, err := e.settings(ctx, f, reference, args)
	if err != nil {
		return err
	}
	keys := map[string]bool{}
	for i := range settings {
		keys[settings[i].Key] = true
		if f.hostsGiven {
			settings[i].Hosts = []string{}
			for _, host := range f.hosts { // people write a blank after a comma
				settings[i].Hosts = append(settings[i].Hosts, strings.TrimSpace(host))
			}
		}
		if f.versionsGiven {
			settings[i].Versions = &f.versions
		}
	}
	if err := v.Set(ctx, vault.Owner(), settings...); err != nil {
		return hostsHint(err)
	}
	e.tell("stored %s", strings.Join(sorted(keys), ", "))
	return nil
}

// settings are what args and flags name or hold. Errors do not repeat an argument: it
// may be a value where a key belongs.
func (e *env) settings(ctx context.Context, f setFlags, reference vault.Reference, args []string) ([]vault.Setting, error) {
	switch {
	case f.ref != "":
		return []vault.Setting{{Key: args[0], Reference: reference}}, nil
	case f.envFile != "":
		return e.envFile(f.envFile, args)
	case len(args) > 1 || strings.Contains(args[0], "="):
		return pairs(args)
	}
	value, err := e.value(ctx, f.fromFile, args[0])
	if err != nil {
		return nil, err
	}
	defer clear(value)
	return []vault.Setting{{Key: args[0], Value: vault.NewValue(value)}}, nil
}

func pairs(args []string) ([]vault.Setting, error) {
	seen := map[string]bool{}
	var settings []vault.Setting
	for i, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, withHint(fmt.Errorf("argument %d is not KEY=VALUE", i+1), "only one KEY can take its value from stdin")
		}
		if seen[key] {
			return nil, withHint(fmt.Errorf("argument %d sets a key that an earlier one sets", i+1), "set each key once")
		}
		seen[key] = true
		settings = append(settings, vault.Setting{Key: key, Value: vault.NewValue([]byte(value))})
	}
	return settings, nil
}

// value reads one value: a file's bytes, typed on a terminal, or all of stdin.
func (e *env) value(ctx context.Context, file, key string) ([]byte, error) {
	if file != "" {
		b, err := readUpTo(file, maxInput)
		if err != nil {
			return nil, withHint(fmt.Errorf("read the value of %s: %w", key, err), "name a file that you can read")
		}
		return b, nil
	}
	if e.onTerminal() {
		return e.askValue(ctx, key)
	}
	if err := e.takeStdin("the value of " + key); err != nil {
		return nil, err
	}
	b, err := io.ReadAll(io.LimitReader(e.stdin, maxInput))
	if err != nil {
		return nil, fmt.Errorf("read the value from stdin: %w", err)
	}
	return dropLineBreak(b), nil
}

// hostsHint is the hint for an error about a host that has none.
func hostsHint(err error) error {
	return elseHint(err, "a host is a name, such as api.github.com, or *. and one, such as *.github.com")
}
