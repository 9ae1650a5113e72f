package engine

import (
	"slices"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// becomes are the system calls that make a process another user, by how many ids they
// take: real, effective, saved, or the one that files and sockets are judged by. Those
// with 32 are what 32-bit programs call; what they call without it takes 16 bits.
var becomes = map[string]uint{
	"setuid": 1, "setuid32": 1, "setfsuid": 1, "setfsuid32": 1,
	"setreuid": 2, "setreuid32": 2, "setresuid": 3, "setresuid32": 3,
}

// limitUsers keeps root in a box from being the gate's user, 65533, whom the walls let
// through to the relay. A filter can allow what is listed, and not all but one: so these
// are the users that can be. Only bits are compared, because a comparison by size is
// wrong in old versions of the library that compiles the filter (CVE-2019-9893), and
// because a kernel looks at 32 bits of what may be 64 in the register: an id with any of
// the upper bits set is not one of these, except "leave it as it is", in both widths.
func limitUsers(profile *seccomp.Seccomp) {
	for _, rule := range profile.Syscalls {
		rule.Names = slices.DeleteFunc(rule.Names, func(name string) bool { return becomes[name] > 0 })
	}
	profile.Syscalls = slices.DeleteFunc(profile.Syscalls, func(rule *seccomp.Syscall) bool { return len(rule.Names) == 0 })
	for _, ids := range []uint{1, 2, 3} {
		var names []string
		for name, takes := range becomes {
			if takes == ids {
				names = append(names, name)
			}
		}
		slices.Sort(names)
		for _, args := range allowedUsers(ids) {
			profile.Syscalls = append(profile.Syscalls, &seccomp.Syscall{LinuxSyscall: specs.LinuxSyscall{
				Names: names, Action: specs.ActAllow, Args: args,
			}})
		}
	}
}

// allowedUsers gives every combination of allowed values of the first n arguments. The
// conditions of one rule are all to be met, and of several rules one is enough.
func allowedUsers(n uint) [][]specs.LinuxSeccompArg {
	if n == 0 {
		return [][]specs.LinuxSeccompArg{nil}
	}
	var all [][]specs.LinuxSeccompArg
	for _, before := range allowedUsers(n - 1) {
		for _, one := range []struct{ mask, value uint64 }{
			{^uint64(0x7fff), 0},     // 0 to 32767: the system's users, and those of people
			{^uint64(0), 65534},      // nobody
			{0xffffffff, 0xffffffff}, // -1: no change
		} {
			all = append(all, append(slices.Clone(before), specs.LinuxSeccompArg{
				Index: n - 1, Value: one.mask, ValueTwo: one.value, Op: specs.OpMaskedEqual,
			}))
		}
	}
	return all
}
