package main

import (
	"fmt"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"github.com/av-project/av/images"
	"github.com/av-project/av/images/agents"
	"github.com/av-project/av/vault/catalog"
	"github.com/av-project/av/vault/policy"
)

func agentsCommand(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "agents",
		Short: "list the coding agents that av knows",
		Long: `List the coding agents that av knows: by which command each is recognised, what is
installed for it, and which services of the catalog it can use.

Your own go into files in $AV_HOME/agents, one each; docs/agents.md shows what may
stand there. One of yours replaces av's of the same name.`,
		Example: `  av agents
  av agents --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			set, err := e.agents()
			if err != nil {
				return err
			}
			if asJSON {
				return e.printJSON(set)
			}
			rows := make([][]string, len(set))
			for i, a := range set {
				services := make([]string, len(a.Credentials))
				for j, s := range a.Credentials {
					services[j] = s.Service
				}
				rows[i] = []string{a.Name, strings.Join(a.Commands, " "), strings.Join(services, " "), a.Install.String(), a.Source}
			}
			return e.table([]string{"AGENT", "COMMAND", "SERVICES", "INSTALLS", "FILE"}, rows)
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

// agents are av's and the user's own. What they say of the vault's side is read here,
// where both sides are known.
func (e *env) agents() (agents.Set, error) {
	set, err := agents.Load(filepath.Join(e.home, "agents"))
	if err != nil {
		return nil, err
	}
	for _, a := range set {
		if a.Source == "" {
			continue // av's own are checked by the tests: to read the catalog takes its time
		}
		if err := checkAgent(a); err != nil {
			return nil, err
		}
		if err := e.checkShare(a); err != nil {
			return nil, elseHint(fmt.Errorf("%s: share: %w", a.Source, err), "docs/agents.md shows what may stand there")
		}
	}
	return set, nil
}

func checkAgent(a agents.Agent) error {
	where := a.Source
	if where == "" {
		where = "agent " + a.Name
	}
	if _, err := allowed(a); err != nil {
		return elseHint(fmt.Errorf("%s: %w", where, err), "name HOST or HOST:PORT in its allow")
	}
	for _, s := range a.Credentials {
		entry, err := catalog.Find(s.Service)
		if err == nil && len(entry.Parameters) > 0 {
			err = withHint(fmt.Errorf("the service %s differs from customer to customer", s.Service), "leave it out, and set the service up with `av service add "+s.Service+"`")
		}
		if err != nil {
			return elseHint(fmt.Errorf("%s: %w", where, err), "`av service catalog` shows the names")
		}
	}
	return nil
}

// allowed are the hosts that an agent reaches without a credential.
func allowed(a agents.Agent) (list []policy.Target, err error) {
	for _, host := range a.Allow {
		t, err := policy.ParseTarget(host, policy.DefaultPort)
		if err != nil {
			return nil, err
		}
		list = append(list, t)
	}
	return list, nil
}

// recipe is what an agent's image is built of.
func recipe(a agents.Agent) images.Recipe {
	return images.Recipe{Name: a.Name, NPM: a.Install.NPM, Debian: a.Install.Debian, Pip: a.Install.Pip,
		Archive: a.Install.Archive.Words(), Programs: a.Install.Archive.Programs}
}
