package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// maxServicesFile is more than a services file or what it names may have.
const maxServicesFile = 8 << 20

func serviceCommand(e *env) *cobra.Command {
	return group("service", "say which host gets which credential", serviceSet(e), serviceList(e))
}

func serviceSet(e *env) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "set -f FILE",
		Short: "replace all services by those of a file",
		Long: `Replace all services by those of a YAML file, all or none, and print what changed:

  services:
    - name: github
      host: api.github.com
      auth: {type: bearer, token: GITHUB_TOKEN}

auth is bearer (token), api-key (key, header, prefix) or passthrough. A host is one
exact name, with :port if it is not 443. token and key name credentials of the vault.`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if file == "" {
				return withHint(errors.New("no services file was named"), "av service set -f FILE, or -f - for stdin")
			}
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error { return e.setServices(ctx, v, file) })
		},
	}
	c.Flags().StringVarP(&file, "file", "f", "", "read the services from `FILE`, or from stdin if it is -")
	return c
}

func (e *env) setServices(ctx context.Context, v *vault.Vault, file string) error {
	services, err := e.readServices(file)
	if err != nil {
		return err
	}
	before, err := v.Services(ctx, vault.Owner())
	if err != nil {
		return err
	}
	if err := v.SetServices(ctx, vault.Owner(), services); err != nil {
		return err
	}
	lines := difference(before, services)
	for _, line := range lines {
		fmt.Fprintln(e.stdout, line)
	}
	if len(lines) == 0 {
		e.tell("the services were the same already")
	}
	return nil
}

// readServices reads a services file. Files that it names are looked for beside it.
func (e *env) readServices(file string) ([]policy.Service, error) {
	if file == "-" {
		src, err := io.ReadAll(io.LimitReader(e.stdin, maxServicesFile))
		if err != nil {
			return nil, fmt.Errorf("read the services from stdin: %w", err)
		}
		return policy.Parse("stdin", src, readBounded)
	}
	src, err := readBounded(file)
	if err != nil {
		return nil, withHint(fmt.Errorf("read the services file: %w", err), "name a file that you can read")
	}
	return policy.Parse(file, src, func(named string) ([]byte, error) {
		if !filepath.IsAbs(named) {
			named = filepath.Join(filepath.Dir(file), named)
		}
		return readBounded(named)
	})
}

// readBounded reads what of a file could be of use; who parses it says that it is
// too long.
func readBounded(name string) ([]byte, error) {
	f, err := os.Open(name)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }()
	return io.ReadAll(io.LimitReader(f, maxServicesFile))
}

// difference says what became of each service, by name.
func difference(before, after []policy.Service) (lines []string) {
	was, is := map[string]policy.Service{}, map[string]policy.Service{}
	for _, s := range before {
		was[s.Name] = s
	}
	for _, s := range after {
		is[s.Name] = s
		if old, known := was[s.Name]; !known {
			lines = append(lines, "added "+s.Name)
		} else if !old.Equal(s) {
			lines = append(lines, "changed "+s.Name)
		}
	}
	for _, s := range before {
		if _, stays := is[s.Name]; !stays {
			lines = append(lines, "removed "+s.Name)
		}
	}
	return lines
}

func serviceList(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "print the services as `av service set` reads them",
		Args:  noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				services, err := v.Services(ctx, vault.Owner())
				if err != nil {
					return err
				}
				if asJSON {
					return e.printJSON(services)
				}
				out, err := policy.Marshal(services)
				if err != nil {
					return err
				}
				_, err = e.stdout.Write(out)
				return err
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	return c
}
