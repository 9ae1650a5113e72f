package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// maxServicesFile is more than a services file or what it names may have.
const maxServicesFile = 8 << 20

func serviceCommand(e *env) *cobra.Command {
	c := group("service", "say which host gets which credential",
		serviceSet(e), serviceList(e), serviceAdd(e), serviceRemove(e), serviceEnable(e), serviceDisable(e), serviceTest(e), serviceCatalog(e))
	c.Long = `A service says which requests may go to a host, and which credential the proxy puts into
them. What runs sees a change within a second.

The quick way is the catalog: ` + "`av service catalog`" + ` shows well-known services, and
` + "`av service add github`" + ` adds one. Everything else goes into a file: see
` + "`av service set --help`" + `.`
	return inVault(c)
}

func serviceSet(e *env) *cobra.Command {
	var file string
	c := &cobra.Command{
		Use:   "set -f FILE",
		Short: "replace all services by those of a file",
		Long: `Replace all services by those of a YAML file, all or none, and print what changed:

  services:
    - name: github                  # a name of your own
      host: "*.github.com"          # exact, or * for one label; with :port if not 443
      path: /api/*                  # optional: * is anything, slashes too
      methods: [GET, POST]          # optional: all
      auth: {type: bearer, token: GITHUB_TOKEN}

auth is one of
  bearer        token                        Authorization: Bearer ...
  basic         username, password           password may be left out
  api-key       key, header, prefix          header is Authorization if left out
  custom        headers: {X-Key: "{{ KEY }}"}
  passthrough                                nothing is added or taken away

token, username, password and key name credentials of the vault, as KEY in a header
does. A service may also have

  substitutions: [{key: SID, placeholder: __sid__, in: [path, query]}]
  upstream: {address: "10.1.2.3:8443", ca: corp-ca.pem}
  enabled: false
  max_bytes_out: 10MB               what a session may send to each of its hosts
  tls: passthrough                  for clients that pin a certificate: with auth
                                    passthrough, and TLS is carried unread

Of the services that match a request the most exact one counts: exact host before *,
longest path up to its first *, then the first. What none of them matches on a host that
they cover is denied. All of it is in docs/services.md.`,
		Example: `  av service set -f services.yaml
  av service list > services.yaml`,
		Args: func(_ *cobra.Command, args []string) error {
			if file == "" || len(args) > 0 {
				return withHint(errors.New("name one services file, with -f"), "av service set -f FILE, or -f - for stdin")
			}
			return nil
		},
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error { return e.setServices(ctx, v, file) })
		},
	}
	servicesFlag(c, &file)
	return c
}

func servicesFlag(c *cobra.Command, file *string) {
	c.Flags().StringVarP(file, "file", "f", "", "read the services from `FILE`, or from stdin if it is -")
}

func (e *env) setServices(ctx context.Context, v *vault.Vault, file string) error {
	services, err := e.readServices(file)
	if err != nil {
		return err
	}
	return e.changeServices(ctx, v, func() error { return v.SetServices(ctx, vault.Owner(), services) })
}

// changeServices makes a change and prints what became of the services.
func (e *env) changeServices(ctx context.Context, v *vault.Vault, change func() error) error {
	before, err := v.Services(ctx, vault.Owner())
	if err != nil {
		return err
	}
	if err := change(); err != nil {
		return err
	}
	after, err := v.Services(ctx, vault.Owner())
	if err != nil {
		return err
	}
	lines, err := difference(before, after)
	if err != nil {
		return err
	}
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
		src, err := e.readInput(file, "the services", maxServicesFile)
		if err != nil {
			return nil, err
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

func readBounded(name string) ([]byte, error) { return readUpTo(name, maxServicesFile) }

func serviceList(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "print the services as `av service set` reads them",
		Long: `Print the services as YAML. ` + "`av service set -f`" + ` reads it back to the same thing, so that
this is also the way to edit them. No value of a credential is in it.`,
		Example: `  av service list > services.yaml
  av service list --json`,
		Args: noArgs,
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
	jsonFlag(c, &asJSON)
	return c
}
