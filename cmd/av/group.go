package main

import (
	"maps"
	"slices"

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
	}
	c.AddCommand(commands...)
	return c
}

// noArgs is cobra's NoArgs with a hint.
func noArgs(c *cobra.Command, args []string) error {
	if err := cobra.NoArgs(c, args); err != nil {
		return withHint(err, "see `"+c.CommandPath()+" --help`")
	}
	return nil
}

func sorted[V any](m map[string]V) []string { return slices.Sorted(maps.Keys(m)) }
