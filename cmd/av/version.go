package main

import (
	"fmt"
	"runtime"

	"github.com/spf13/cobra"
)

// version is set by the linker, see the Makefile.
var version = "unreleased"

func versionCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "print av's version",
		Long:    "Print av's version, and the system and processor that it was built for.",
		Example: "  av version",
		Args:    noArgs,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintf(e.stdout, "av %s %s/%s\n", version, runtime.GOOS, runtime.GOARCH)
			return err
		},
	}
}
