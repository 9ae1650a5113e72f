package engine

import (
	"encoding/json"
	"slices"
	"sync"

	"github.com/moby/profiles/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// socketFamilies are those that a command in a box needs. Packets of any other are
// none that the walls see: AF_VSOCK speaks with the hypervisor past every network
// namespace, AF_SMC with the network card, and AF_ALG is kernel surface for nothing.
var socketFamilies = []uint64{unix.AF_UNIX, unix.AF_INET, unix.AF_INET6, unix.AF_NETLINK}

// seccompProfile is Moby's newest default profile, whatever the engine's age, with
// fewer families of sockets; for root in the box also with fewer users to become.
func seccompProfile(root bool) (string, error) {
	if root {
		return rootProfile()
	}
	return plainProfile()
}

var (
	plainProfile = sync.OnceValues(func() (string, error) { return render(false) })
	rootProfile  = sync.OnceValues(func() (string, error) { return render(true) })
)

func render(root bool) (string, error) {
	profile := seccomp.DefaultProfile()
	for _, rule := range profile.Syscalls {
		// socketcall(2) has the family behind a pointer, where no filter looks. Only
		// 32-bit programs older than glibc 2.23 need it.
		rule.Names = slices.DeleteFunc(rule.Names, func(name string) bool { return name == "socket" || name == "socketcall" })
	}
	profile.Syscalls = slices.DeleteFunc(profile.Syscalls, func(rule *seccomp.Syscall) bool { return len(rule.Names) == 0 })
	for _, family := range socketFamilies {
		profile.Syscalls = append(profile.Syscalls, &seccomp.Syscall{LinuxSyscall: specs.LinuxSyscall{
			Names: []string{"socket"}, Action: specs.ActAllow,
			Args: []specs.LinuxSeccompArg{{Index: 0, Value: family, Op: specs.OpEqualTo}},
		}})
	}
	if root {
		limitUsers(profile)
	}
	rendered, err := json.Marshal(profile)
	return string(rendered), err
}
