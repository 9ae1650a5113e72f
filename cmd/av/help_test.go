package main

import (
	"io"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

func TestEveryCommandSaysWhatItDoesAndShowsHow(t *testing.T) {
	e := &env{stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }}
	seen := 0
	var look func(*cobra.Command)
	look = func(c *cobra.Command) {
		for _, sub := range c.Commands() {
			look(sub)
		}
		if c.Hidden || c.HasSubCommands() {
			return
		}
		seen++
		if c.Long == "" || !strings.Contains(c.Example, c.CommandPath()) {
			t.Errorf("`%s` has no long help, or no example of itself", c.CommandPath())
		}
		for line := range strings.Lines(c.Long) {
			if len([]rune(line)) > 100 {
				t.Errorf("`%s --help` has a line of %d characters: %q", c.CommandPath(), len(line), line)
			}
		}
	}
	for _, c := range commands(e) {
		root := &cobra.Command{Use: "av"}
		root.AddCommand(c)
		look(c)
	}
	if seen < 30 {
		t.Errorf("looked at %d commands", seen)
	}
}

func TestEveryListCanBeJSON(t *testing.T) {
	e := &env{stdout: io.Discard, stderr: io.Discard, getenv: func(string) string { return "" }}
	seen := 0
	for _, group := range commands(e) {
		for _, c := range append(group.Commands(), group) {
			if name := c.Name(); name == "list" || name == "history" || name == "catalog" || name == "logs" || name == "test" || name == "import" {
				seen++
				if c.Flags().Lookup("json") == nil {
					t.Errorf("%s has no --json", c.CommandPath())
				}
			}
		}
	}
	if seen < 8 {
		t.Errorf("looked at %d commands", seen)
	}
}
