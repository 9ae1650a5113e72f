package main

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"

	"github.com/av-project/av/images/agents"
	"github.com/av-project/av/runner"
	"github.com/av-project/av/runner/hostpath"
)

// checkHome looks at the choice alone: what it means is known when the agent is.
func (f boxFlags) checkHome() error {
	switch f.home {
	case "ephemeral", "persist", "share":
		return nil
	}
	return withHint(fmt.Errorf("unknown choice %q for --home", f.home), "use --home=ephemeral, persist or share")
}

// putHome says what HOME in the box is. A home is kept for a command, and shared is what the
// agent's file lists: nothing for a program that only calls itself as one.
func (f boxFlags) putHome(e *env, a agents.Agent, command string, spec *runner.Spec) error {
	switch f.home {
	case "persist":
		spec.KeptHome = &runner.KeptHome{Agent: filepath.Base(command)}
		return nil
	case "share":
	default:
		return nil
	}
	if len(a.Share.All()) == 0 {
		return e.nothingToShare(a, command)
	}
	home := e.getenv("HOME")
	if !filepath.IsAbs(home) {
		return withHint(errors.New("--home=share: it is not known where your home is"), "set HOME")
	}
	if err := e.checkShare(a); err != nil {
		return err
	}
	for i, name := range a.Share.All() {
		spec.Share = append(spec.Share, runner.Share{Source: filepath.Join(home, name), Target: name, ReadOnly: i >= len(a.Share.Write)})
	}
	return nil
}

func (e *env) nothingToShare(a agents.Agent, command string) error {
	set, err := e.agents()
	if err != nil {
		return err
	}
	set = slices.DeleteFunc(set, func(a agents.Agent) bool { return len(a.Share.All()) == 0 })
	why := "av does not know what of " + a.Title + " could be shared"
	if a.Name == agents.Generic {
		why = filepath.Base(command) + " is no agent's command, and nothing of yours is shared with it"
	}
	return withHint(errors.New("--home=share: "+why),
		"av shares parts of "+list(set.Names(), " and ")+" (--agent NAME says which the command is); --home=persist keeps a home of the box's own")
}

// checkShare refuses an agent's file that would share keys, or av's own folder.
func (e *env) checkShare(a agents.Agent) error {
	host := hostpath.ThisHost(e.home, e.getenv)
	for _, name := range a.Share.All() {
		if err := host.Judge(hostpath.Share, filepath.Join(e.getenv("HOME"), name)); err != nil {
			return err
		}
	}
	return nil
}
