package main

import (
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/av-project/av/runner"
	"github.com/av-project/av/vault/policy"
)

// boxFlags say who the command is in its box, and what it may take of the machine.
type boxFlags struct {
	root     bool
	readOnly bool
	home     string
	memory   string
	cpus     string
	pids     string
	runtime  string
}

func (f *boxFlags) add(c *cobra.Command) {
	flags := c.Flags()
	flags.BoolVar(&f.root, "root", false, "make the command root in its box, so that it may install packages")
	flags.BoolVar(&f.readOnly, "read-only", false, "leave the image's own files as they are: only the workspace, HOME, /tmp, /var/tmp and /run can be written to")
	flags.StringVar(&f.home, "home", "ephemeral", "HOME in the box: `ephemeral` (memory), persist (kept for this folder and command) or share (parts of your own)")
	flags.StringVar(&f.memory, "memory", "", "what the box may take of memory: `SIZE`, such as 4GiB (default: three quarters of the machine's)")
	flags.StringVar(&f.cpus, "cpus", "", "how many processors' worth of time: `N`, such as 1.5 (default: all but half of one)")
	flags.StringVar(&f.pids, "pids", "", "how many processes and threads: `N` (default 4096)")
	flags.StringVar(&f.runtime, "runtime", "", "the engine's runtime `NAME` for the box, such as crun (default: the engine's own)")
}

const (
	// minMemory is what a shell and a small program need.
	minMemory = 32 << 20
	minPids   = 16
	maxPids   = 1 << 22 // what a kernel has at most
	leastCPUs = 0.05
)

var runtimeName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// put checks the flags, and puts what they say into a run.
func (f boxFlags) put(isolation string, spec *runner.Spec) (err error) {
	if isolation == "host" {
		return f.needless()
	}
	spec.Root, spec.ReadOnly, spec.Runtime = f.root, f.readOnly, f.runtime
	if f.runtime != "" && !runtimeName.MatchString(f.runtime) {
		return withHint(fmt.Errorf("--runtime %q is not a runtime's name", f.runtime), "`docker info` lists the engine's")
	}
	if f.runtime != "" {
		if err := runner.CheckRuntime(f.runtime, spec.HostWalls); err != nil {
			return err
		}
	}
	if f.memory != "" {
		if spec.Limits.Memory, err = policy.ParseSize(f.memory); err != nil {
			return elseHint(fmt.Errorf("--memory: %w", err), "write it as 4GiB")
		}
		if spec.Limits.Memory < minMemory {
			return withHint(fmt.Errorf("--memory %s is too little to start a command in", f.memory), "give 32MiB or more")
		}
	}
	if f.cpus != "" {
		n, err := strconv.ParseFloat(f.cpus, 64)
		if err != nil || math.IsNaN(n) || math.IsInf(n, 0) || n < leastCPUs {
			return withHint(fmt.Errorf("--cpus %q is not a number of processors", f.cpus), "write it as 2 or 1.5")
		}
		spec.Limits.CPUs = n
	}
	if f.pids != "" {
		n, err := strconv.ParseInt(f.pids, 10, 64)
		if err != nil || n < minPids || n > maxPids {
			return withHint(fmt.Errorf("--pids %q is not a number from %d to %d", f.pids, minPids, maxPids), "write it as 4096")
		}
		spec.Limits.Pids = n
	}
	return f.checkHome()
}

// needless refuses what means nothing without a box: who says it believes that there is one.
func (f boxFlags) needless() error {
	for _, flag := range []struct {
		name string
		set  bool
	}{
		{"--root", f.root}, {"--read-only", f.readOnly}, {"--home=" + f.home, f.home != "ephemeral"}, {"--memory", f.memory != ""},
		{"--cpus", f.cpus != ""}, {"--pids", f.pids != ""}, {"--runtime", f.runtime != ""},
	} {
		if flag.set {
			return withHint(errors.New(flag.name+" needs a container"), "add --isolation=container")
		}
	}
	return nil
}
