package main

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// group is a command that only has others: alone it shows them, and it refuses a
// name that is none of theirs, which cobra would answer with help and exit code 0.
func group(name, short string, commands ...*cobra.Command) *cobra.Command {
	c := &cobra.Command{
		Use:   name,
		Short: short,
		Args:  noArgs,
		RunE:  func(c *cobra.Command, _ []string) error { return c.Help() },

		DisableFlagsInUseLine: true,
	}
	c.AddCommand(commands...)
	return c
}

// noArgs refuses arguments. Those of a group are mistyped commands; others are not repeated,
// for one may be a password: `av init hunter2`.
func noArgs(c *cobra.Command, args []string) error {
	hint := "see `" + c.CommandPath() + " --help`"
	switch {
	case len(args) == 0:
		return nil
	case !c.HasSubCommands():
		return withHint(fmt.Errorf("`%s` takes no argument", c.CommandPath()), hint)
	}
	c.SuggestionsMinimumDistance = 1
	if len(args[0]) > 4 { // set is two letters from get
		c.SuggestionsMinimumDistance = 2
	}
	if near := c.SuggestionsFor(args[0]); len(near) > 0 {
		hint = "did you mean " + strings.Join(near, " or ") + "? " + hint
	}
	return withHint(fmt.Errorf("unknown command %q for %q", args[0], c.CommandPath()), hint)
}

// helpCommand is cobra's, with an error for what there is no help for.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND...]",
		Short:   "say more about a command",
		Long:    "Say more about a command.",
		Example: "  av help service set",
		RunE: func(c *cobra.Command, args []string) error {
			about, rest, err := c.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return withHint(errors.New("there is no help on that"), "`av help` lists the commands")
			}
			about.InitDefaultHelpFlag() // which cobra adds to a command that runs
			return about.Help()
		},
	}
}

// jsonFlag is the flag that every list has.
func jsonFlag(c *cobra.Command, to *bool) { c.Flags().BoolVar(to, "json", false, "print JSON") }

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
