package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/netiso/engine"
)

func homeCommand(e *env) *cobra.Command {
	c := group("home", "list and remove the homes that --home=persist keeps", homeList(e), homeRemove(e))
	c.Long = `A run with --home=persist has a HOME of its own on the engine, one for each folder and
command. What an agent leaves there, its next run in that folder finds, and runs. Prune
does not remove it.`
	return c
}

func homeList(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "list the kept homes",
		Long:  `List the homes that runs of this av home have kept: whose they are, and whether a run has one now.`,
		Example: `  av home list
  av home list --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withHomes(c.Context(), func(_ *engine.Engine, homes []netiso.KeptHome) error {
				if asJSON {
					if homes == nil {
						homes = []netiso.KeptHome{}
					}
					return e.printJSON(homes)
				}
				return e.printHomes(homes)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func (e *env) printHomes(homes []netiso.KeptHome) error {
	if len(homes) == 0 {
		e.tell("no home is kept")
		return nil
	}
	rows := make([][]string, len(homes))
	for i, h := range homes {
		state := "free"
		if h.InUse {
			state = "in use"
		}
		rows[i] = []string{h.Name, h.Agent, h.UID, state, at(h.Made), h.Folder}
	}
	return e.table([]string{"HOME", "COMMAND", "UID", "STATE", "MADE", "FOLDER"}, rows)
}

func homeRemove(e *env) *cobra.Command {
	var all bool
	c := &cobra.Command{
		Use:   "remove HOME...",
		Short: "remove kept homes, with all that is in them",
		Long:  `Remove kept homes by the names that ` + "`av home list`" + ` shows. One that a run has is not removed.`,
		Example: `  av home remove av-home-0123456789abcdef
  av home remove --all`,
		Args: func(c *cobra.Command, args []string) error {
			if all == (len(args) > 0) {
				return withHint(errors.New("name the homes, or say --all"), "`av home list` shows them")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return e.withHomes(c.Context(), func(eng *engine.Engine, homes []netiso.KeptHome) error {
				chosen, err := chooseHomes(homes, args)
				for _, h := range chosen {
					failed := netiso.RemoveHome(c.Context(), eng, e.home, h)
					if failed == nil {
						fmt.Fprintln(e.stdout, "removed "+h.Name)
					}
					err = errors.Join(err, failed)
				}
				return err
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "remove all of them")
	return c
}

// chooseHomes gives the homes of these names; all of them where none is named.
func chooseHomes(homes []netiso.KeptHome, names []string) (chosen []netiso.KeptHome, err error) {
	if len(names) == 0 {
		return homes, nil
	}
	byName := map[string]netiso.KeptHome{}
	for _, h := range homes {
		byName[h.Name] = h
	}
	for _, name := range names {
		h, ok := byName[name]
		if !ok {
			return nil, withHint(fmt.Errorf("no kept home is called %q", name), "`av home list` shows them")
		}
		chosen = append(chosen, h)
	}
	return chosen, nil
}

// withHomes lists the kept homes of this av home for one act.
func (e *env) withHomes(ctx context.Context, act func(*engine.Engine, []netiso.KeptHome) error) error {
	owner, err := netiso.KnownOwner(e.home)
	if errors.Is(err, fs.ErrNotExist) {
		return act(nil, nil) // no run has come from here
	}
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	eng, err := engine.Connect(ctx)
	if err != nil {
		return err
	}
	defer eng.Close()
	homes, err := netiso.KeptHomes(ctx, eng, e.home, owner)
	if err != nil {
		return err
	}
	return act(eng, homes)
}
