package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
)

// maxInput is more than a credential may have, so that the vault sees one that is
// too long and says so.
const maxInput = 1 << 20

func credentialCommand(e *env) *cobra.Command {
	return group("credential", "store and list credentials", credentialSet(e), credentialList(e), credentialDelete(e))
}

func credentialSet(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "set KEY | KEY=VALUE...",
		Short: "store a credential, or several at once",
		Long: `Store credentials, encrypted. With KEY alone the value comes from stdin (one line
break at its end is dropped), or is asked for on a terminal without being shown.

KEY=VALUE is short, but while av runs every user of this machine can see the value
in the list of processes, and your shell writes it into its history. Use stdin:

  av credential set GITHUB_TOKEN < token.txt
  gh auth token | av credential set GITHUB_TOKEN

Several KEY=VALUE are stored all together or not at all.`,
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) == 0 {
				return withHint(errors.New("no credential was named"), "av credential set KEY")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			// Before anything is asked for: a question would repeat what may be a secret.
			for _, arg := range args {
				key, _, _ := strings.Cut(arg, "=")
				if err := vault.CheckKey(key); err != nil {
					return err
				}
			}
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				// A wrong password shall not cost whoever typed the value.
				if err := v.Unlock(ctx, vault.Owner()); err != nil {
					return err
				}
				values, err := e.credentials(ctx, args)
				if err != nil {
					return err
				}
				if err := v.SetCredentials(ctx, vault.Owner(), values); err != nil {
					return err
				}
				e.tell("stored %s", strings.Join(sorted(values), ", "))
				return nil
			})
		},
	}
}

// credentials are the values that args name or hold. Errors do not repeat an
// argument: it may be a value where a key belongs.
func (e *env) credentials(ctx context.Context, args []string) (map[string]vault.Value, error) {
	if len(args) == 1 && !strings.Contains(args[0], "=") {
		value, err := e.secret(ctx, args[0])
		if err != nil {
			return nil, err
		}
		defer clear(value)
		return map[string]vault.Value{args[0]: vault.NewValue(value)}, nil
	}
	values := make(map[string]vault.Value, len(args))
	for i, arg := range args {
		key, value, ok := strings.Cut(arg, "=")
		if !ok {
			return nil, withHint(fmt.Errorf("argument %d is not KEY=VALUE", i+1), "only one KEY can take its value from stdin")
		}
		if _, twice := values[key]; twice {
			return nil, withHint(fmt.Errorf("argument %d sets a key that an earlier one sets", i+1), "set each key once")
		}
		values[key] = vault.NewValue([]byte(value))
	}
	return values, nil
}

// secret reads one value: typed on a terminal, else all of stdin.
func (e *env) secret(ctx context.Context, key string) ([]byte, error) {
	if e.onTerminal() {
		return e.ask(ctx, "value of "+key+": ")
	}
	b, err := io.ReadAll(io.LimitReader(e.stdin, maxInput))
	if err != nil {
		return nil, fmt.Errorf("read the value from stdin: %w", err)
	}
	if line, ok := bytes.CutSuffix(b, []byte{'\n'}); ok {
		b = bytes.TrimSuffix(line, []byte{'\r'})
	}
	return b, nil
}

func credentialList(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "list the credentials' keys, never their values",
		Args:  noArgs,
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
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}

func (e *env) printCredentials(list []vault.Credential) error {
	if len(list) == 0 {
		e.tell("no credentials yet; store one with `av credential set KEY`")
		return nil
	}
	w := tabwriter.NewWriter(e.stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(w, "KEY\tUPDATED\tUSED BY")
	for _, c := range list {
		users := "-"
		if len(c.UsedBy) > 0 {
			users = strings.Join(c.UsedBy, ", ")
		}
		fmt.Fprintf(w, "%s\t%s\t%s\n", c.Key, c.Updated.Local().Format(time.DateTime), users)
	}
	return w.Flush()
}

func credentialDelete(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "delete KEY",
		Short: "delete a credential that no service needs",
		Args: func(_ *cobra.Command, args []string) error {
			if len(args) != 1 {
				return withHint(errors.New("name one credential"), "av credential delete KEY")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				if err := v.DeleteCredential(ctx, vault.Owner(), args[0], false); err != nil {
					return err
				}
				e.tell("deleted %s", args[0])
				return nil
			})
		},
	}
}

// printJSON writes v as one indented JSON document.
func (e *env) printJSON(v any) error {
	encoder := json.NewEncoder(e.stdout)
	encoder.SetIndent("", "  ")
	encoder.SetEscapeHTML(false)
	return encoder.Encode(v)
}
