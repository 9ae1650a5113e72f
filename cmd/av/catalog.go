package main

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault/catalog"
	"github.com/av-project/av/vault/policy"
)

func serviceCatalog(e *env) *cobra.Command {
	var asJSON, presets bool
	c := &cobra.Command{
		Use:   "catalog [SEARCH...]",
		Short: "show well-known services, and how to add them",
		Long: `Show the services that av knows: all, or those that have every word of SEARCH in their
name, title, category, host or key. Of the one that you name, or if only one is found,
everything is shown: where its key is made, the variable that its own tools read, and
what it would add.

--presets shows what tools need, for ` + "`av run --preset`" + `. Nothing is looked up: all of it is
part of av.`,
		Example: `  av service catalog
  av service catalog git
  av service catalog github
  av service catalog --presets`,
		RunE: func(_ *cobra.Command, args []string) error {
			if presets {
				return e.printPresets(args, asJSON)
			}
			found := catalog.Search(strings.Join(args, " "))
			if len(found) == 0 {
				return withHint(fmt.Errorf("nothing in the catalog has %q", strings.Join(args, " ")), "`av service catalog` shows all of it; `av service set --help` says how to write a service of your own")
			}
			if asJSON {
				return e.printJSON(found)
			}
			if i := slices.IndexFunc(found, func(c catalog.Entry) bool { return len(args) == 1 && c.Name == args[0] }); i >= 0 {
				if len(found) > 1 {
					e.tell("%s of the catalog also have %q in them: `av service catalog` shows all", count(len(found)-1, "other service"), args[0])
				}
				return e.printEntry(found[i])
			}
			if len(found) == 1 {
				return e.printEntry(found[0])
			}
			rows := make([][]string, len(found))
			for i, entry := range found {
				rows[i] = []string{entry.Name, entry.Title, strings.Join(keysOf(entry), ", "), strings.Join(hostsOf(entry.Services), ", ")}
			}
			return e.table([]string{"NAME", "TITLE", "KEY", "HOST"}, rows)
		},
	}
	jsonFlag(c, &asJSON)
	c.Flags().BoolVar(&presets, "presets", false, "show what tools need instead")
	return c
}

func keysOf(entry catalog.Entry) (keys []string) {
	for _, c := range entry.Credentials {
		keys = append(keys, c.Key)
	}
	return keys
}

func hostsOf(services []policy.Service) (hosts []string) {
	for _, s := range services {
		if host := targetName(s.Target()); !slices.Contains(hosts, host) {
			hosts = append(hosts, host)
		}
	}
	return hosts
}

// printEntry shows all that the catalog knows about one service.
func (e *env) printEntry(entry catalog.Entry) error {
	var b strings.Builder
	fmt.Fprintf(&b, "%s: %s\n", entry.Name, entry.Title)
	if entry.Note != "" {
		fmt.Fprintf(&b, "note: %s\n", entry.Note)
	}
	if entry.KeyURL != "" {
		fmt.Fprintf(&b, "key: %s\n", entry.KeyURL)
	}
	for _, c := range entry.Credentials {
		fmt.Fprintf(&b, "credential: %s", c.Key)
		if len(c.Env) > 0 {
			fmt.Fprintf(&b, " (its tools read %s)", strings.Join(c.Env, ", "))
		}
		b.WriteByte('\n')
	}
	add := "av service add " + entry.Name
	for _, p := range entry.Parameters {
		fmt.Fprintf(&b, "parameter: %s, such as %s\n", p.Name, p.Example)
		add += " --param " + p.Name + "=" + p.Example
	}
	readOnly := "none"
	if len(entry.ReadOnly) > 0 {
		readOnly = "--read-only"
	}
	fmt.Fprintf(&b, "read-only: %s\nadd: %s\n", readOnly, add)
	if _, err := fmt.Fprint(e.stdout, cleanLines(b.String())); err != nil {
		return err
	}
	services, err := policy.Marshal(entry.Services)
	if err != nil {
		return err
	}
	_, err = e.stdout.Write(services)
	return err
}

func (e *env) printPresets(names []string, asJSON bool) error {
	list := catalog.Presets()
	if len(names) > 0 {
		list = nil
		for _, name := range names {
			p, err := catalog.FindPreset(name)
			if err != nil {
				return err
			}
			list = append(list, p)
		}
	}
	if asJSON {
		return e.printJSON(list)
	}
	rows := make([][]string, len(list))
	for i, p := range list {
		rows[i] = []string{p.Name, p.Title, strings.Join(p.Services, ", "), targetNames(p.Allow)}
	}
	return e.table([]string{"NAME", "TITLE", "SERVICES", "ALLOWS"}, rows)
}
