package runner

import (
	"fmt"
	"slices"
)

// plainRuntimes start a command in the kernel's own network namespace, so that the rules
// in it hold. Others may bring a network stack (gVisor) or a whole kernel (Kata), which
// take the namespace's link for themselves: past its rules, and past the gate.
var plainRuntimes = []string{"runc", "crun", "youki", "io.containerd.runc.v2", "io.containerd.runtime.v1.linux"}

// check refuses what cannot be run, before anything is made.
func (s *Spec) check() error {
	if len(s.Share) == 0 {
		return nil
	}
	own, err := userHome()
	if err == nil {
		s.Share, err = checkShares(s.Share, own, s.Home)
	}
	return err
}

// CheckRuntime refuses a runtime for which the walls in the namespace may not be there,
// unless those on the host, which are proved too, have to stand.
func CheckRuntime(name string, walls HostWalls) error {
	if slices.Contains(plainRuntimes, name) || walls == WallsRequire {
		return nil
	}
	return &strangeRuntime{name}
}

type strangeRuntime struct{ name string }

func (s *strangeRuntime) Error() string {
	return fmt.Sprintf("the runtime %q is not known to keep to the rules of the run's network namespace", s.name)
}
func (s *strangeRuntime) Hint() string {
	return "add --host-walls=require, whose rules hold whatever the runtime does; or use --runtime runc"
}
