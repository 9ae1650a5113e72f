package main

import (
	"errors"
	"fmt"
	"strings"

	"github.com/av-project/av/netiso"
)

// liveRun finds a run of this home that is alive by its id, or as much of it as names
// one alone.
func (e *env) liveRun(id string) (netiso.Note, error) {
	live, err := netiso.Live(e.home)
	if err != nil {
		return netiso.Note{}, err
	}
	return runNamed(live, id)
}

func runNamed(live []netiso.Note, id string) (found netiso.Note, err error) {
	var names []string
	for _, n := range live {
		if n.Run == id {
			return n, nil
		}
		if strings.HasPrefix(n.Run, id) {
			found = n
			names = append(names, n.Run)
		}
	}
	switch len(names) {
	case 0:
		return found, withHint(fmt.Errorf("no run %q is alive", id), "`av ps` lists those that are")
	case 1:
		return found, nil
	}
	return netiso.Note{}, withHint(fmt.Errorf("%q begins the ids of several runs: %s", id, list(names, ", ")), "say more of the one that is meant")
}

// oneRun takes the one argument that names a run.
func oneRun(usage string, args []string) error {
	if len(args) != 1 || args[0] == "" {
		return withHint(errors.New("name one run"), usage+"; `av ps` lists them")
	}
	return nil
}
