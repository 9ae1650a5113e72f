package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/catalog"
	"github.com/av-project/av/vault/policy"
)

// addFlags are what `av service add` can be told.
type addFlags struct {
	file     string
	as       string
	params   []string
	readOnly bool
	bytesOut string
}

func serviceAdd(e *env) *cobra.Command {
	var f addFlags
	c := &cobra.Command{
		Use:   "add NAME | add -f FILE",
		Short: "add a service from the catalog or from a file",
		Long: `Add a service of the catalog by its name, or all services of a file, behind those that
are there. ` + "`av service catalog`" + ` shows the names.

A credential that the service needs has to be in the vault; on a terminal you are asked
for one that is not. The catalog also knows the hosts that it belongs to: a credential
that is bound to none yet is bound to those, so that no other service can send it
elsewhere.

--read-only takes the narrow variant that only reads, where the API can tell.
--max-bytes-out bounds how many bytes one session may send to its hosts together, heads
included: see docs/services.md.`,
		Example: `  av service add github --read-only
  av service add openai --max-bytes-out 50MB
  av service add zendesk --param tenant=acme --as support
  av service add -f internal.yaml`,
		Args: func(c *cobra.Command, args []string) error {
			switch {
			case len(args) > 1, len(args) == 0 && f.file == "":
				return withHint(errors.New("name one service of the catalog, or a file"), "av service add NAME, or av service add -f FILE; `av service catalog` shows the names")
			case len(args) == 1 && f.file != "", f.file != "" && (f.as != "" || len(f.params) > 0 || f.readOnly || f.bytesOut != ""):
				return withHint(errors.New("a name, --as, --param, --read-only and --max-bytes-out are for the catalog, and -f is for a file"), "use one or the other")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if f.file != "" {
				return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
					services, err := e.readServices(f.file)
					if err != nil {
						return err
					}
					return e.changeServices(ctx, v, func() error { return v.AddServices(ctx, vault.Owner(), services...) })
				})
			}
			entry, services, err := f.entry(args[0])
			if err != nil {
				return err
			}
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error { return e.addEntry(ctx, v, entry, services) })
		},
	}
	servicesFlag(c, &f.file)
	flags := c.Flags()
	flags.StringVar(&f.as, "as", "", "call the service `NAME` instead of what the catalog calls it")
	flags.StringArrayVar(&f.params, "param", nil, "fill `NAME=VALUE` in, such as tenant=acme")
	flags.BoolVar(&f.readOnly, "read-only", false, "let it read and not write")
	flags.StringVar(&f.bytesOut, "max-bytes-out", "", "let a session send `SIZE` to its hosts and no more, such as 10MB")
	return c
}

// entry is the catalog's entry as the flags want it, and the services of it to add.
func (f addFlags) entry(name string) (entry catalog.Entry, services []policy.Service, err error) {
	if entry, err = catalog.Find(name); err != nil {
		return entry, nil, err
	}
	params := map[string]string{}
	for _, param := range f.params {
		key, value, ok := strings.Cut(param, "=")
		if _, twice := params[key]; !ok || key == "" || twice {
			return entry, nil, withHint(fmt.Errorf("--param %q is not NAME=VALUE, or not the first of its name", param), "such as --param tenant=acme")
		}
		params[key] = value
	}
	if entry, err = entry.With(params); err != nil {
		return entry, nil, err
	}
	services = slices.Clone(entry.Services)
	if f.readOnly {
		if len(entry.ReadOnly) == 0 {
			return entry, nil, withHint(fmt.Errorf("%s has no read-only variant: its API does not tell reading from writing by method and path", name),
				"make a key at "+entry.KeyURL+" that may only read, and add it without --read-only")
		}
		services = slices.Clone(entry.ReadOnly)
	}
	if f.bytesOut != "" {
		n, err := readBudget(f.bytesOut)
		if err != nil {
			return entry, nil, fmt.Errorf("--max-bytes-out: %w", err)
		}
		for i := range services {
			services[i].MaxBytesOut = n
		}
	}
	if f.as != "" {
		if !policy.ValidName(f.as) {
			return entry, nil, withHint(fmt.Errorf("--as: %q is no name for a service", f.as), "use a-z, 0-9 and hyphens inside, up to 64")
		}
		rename(services, entry.Name, f.as)
	}
	return entry, services, nil
}

// rename calls the services of an entry after another name: what of theirs is not the
// entry's own stays behind it.
func rename(services []policy.Service, entry, as string) {
	for i := range services {
		rest, own := strings.CutPrefix(services[i].Name, entry)
		switch {
		case len(services) == 1:
			services[i].Name = as
		case own:
			services[i].Name = as + rest
		default:
			services[i].Name = as + "-" + services[i].Name
		}
	}
}

// addEntry adds services of the catalog, with the credentials that they need.
func (e *env) addEntry(ctx context.Context, v *vault.Vault, entry catalog.Entry, services []policy.Service) error {
	before, err := v.Services(ctx, vault.Owner())
	if err != nil {
		return err
	}
	for _, s := range services {
		// Before a credential is asked for, and typed for nothing.
		if named(before, s.Name) >= 0 {
			return withHint(fmt.Errorf("there is a service %s already", s.Name), "choose another name with --as, or `av service remove "+s.Name+"` first")
		}
	}
	list, err := v.Credentials(ctx, vault.Owner())
	if err != nil {
		return err
	}
	var settings []vault.Setting
	for _, c := range entry.Credentials {
		if !slices.ContainsFunc(services, func(s policy.Service) bool { return slices.Contains(s.Keys(), c.Key) }) {
			continue
		}
		i := slices.IndexFunc(list, func(known vault.Credential) bool { return known.Key == c.Key })
		switch {
		case i < 0:
			value, err := e.wanted(ctx, v, entry, c)
			if err != nil {
				return err
			}
			settings = append(settings, vault.Setting{Key: c.Key, Value: value, Hosts: c.Hosts})
		case bindable(list[i], c, before):
			settings = append(settings, vault.Setting{Key: c.Key, Hosts: c.Hosts})
		}
	}
	if len(settings) > 0 {
		if err := v.Set(ctx, vault.Owner(), settings...); err != nil {
			return err
		}
		for _, s := range settings {
			e.tell("bound %s to %s", s.Key, strings.Join(s.Hosts, ", "))
		}
	}
	if err := e.changeServices(ctx, v, func() error { return v.AddServices(ctx, vault.Owner(), services...) }); err != nil {
		return err
	}
	if entry.Note != "" {
		e.tell("note: %s", entry.Note)
	}
	return nil
}

// bindable tells whether a credential shall be bound to the catalog's hosts: it is bound
// to none, and no service of the vault sends it elsewhere, which would then fail.
func bindable(known vault.Credential, c catalog.Credential, services []policy.Service) bool {
	if len(known.Hosts) > 0 || len(c.Hosts) == 0 {
		return false
	}
	for _, s := range services {
		if slices.Contains(s.Keys(), c.Key) && !slices.ContainsFunc(c.Hosts, func(h string) bool { return policy.Within(s.Host, h) }) {
			return false
		}
	}
	return true
}

// wanted asks for a credential that is not there.
func (e *env) wanted(ctx context.Context, v *vault.Vault, entry catalog.Entry, c catalog.Credential) (vault.Value, error) {
	where := ""
	if entry.KeyURL != "" {
		where = "; it is made at " + entry.KeyURL
	}
	if !e.onTerminal() {
		return vault.Value{}, withHint(fmt.Errorf("%s needs the credential %s, which is not in the vault", entry.Name, c.Key),
			"av credential set "+c.Key+where)
	}
	// A wrong password shall not cost whoever typed the value.
	if err := v.Unlock(ctx, vault.Owner()); err != nil {
		return vault.Value{}, err
	}
	e.tell("%s needs the credential %s%s", entry.Name, c.Key, where)
	typed, err := e.askValue(ctx, c.Key)
	if err != nil {
		return vault.Value{}, err
	}
	defer clear(typed)
	return vault.NewValue(typed), nil
}
