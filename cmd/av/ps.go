package main

import (
	"fmt"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/netiso"
)

func psCommand(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "ps",
		Short: "list the runs that are alive",
		Long: `List the runs of this av home that are alive: those whose process holds the run's lock.
It opens no vault and asks for no password, and no Docker engine. What a dead run
left is not shown here, but by ` + "`av prune --dry-run`" + `.`,
		Example: `  av ps
  av ps --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			defer e.tellKept()
			live, err := netiso.Live(e.home)
			if err != nil {
				return err
			}
			if asJSON {
				if live == nil {
					live = []netiso.Note{}
				}
				return e.printJSON(live)
			}
			return e.printRuns(live, time.Now())
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func (e *env) printRuns(live []netiso.Note, now time.Time) error {
	if len(live) == 0 {
		e.tell("no run is alive")
		return nil
	}
	rows := make([][]string, len(live))
	for i, n := range live {
		command := ""
		if n.Command != "" {
			command = filepath.Base(n.Command)
		}
		if n.Detached {
			n.State += ", detached"
		}
		rows[i] = []string{n.Run, n.State, at(n.Began), age(now.Sub(n.Began)), command, n.Isolation, n.Image, n.Subnet, n.Folder}
	}
	return e.table([]string{"RUN", "STATE", "BEGAN", "AGE", "COMMAND", "ISOLATION", "IMAGE", "SUBNET", "FOLDER"}, rows)
}

// age is how long something has lasted, in its two largest units. A clock that was put
// back makes nothing younger than new.
func age(d time.Duration) string {
	d = max(d, 0)
	const day = 24 * time.Hour
	switch {
	case d >= day:
		return fmt.Sprintf("%dd%dh", d/day, d%day/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}
