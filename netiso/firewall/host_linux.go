package firewall

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	"github.com/coreos/go-iptables/iptables"
	"golang.org/x/sys/unix"
)

// lockWait is how long, in seconds, another program may hold the tables.
const lockWait = 5

// The two backends, by the end of their programs' names.
const (
	nft    = "nft"
	legacy = "legacy"
)

// OpenHost reaches the host's own tables. It needs CAP_NET_ADMIN.
func OpenHost() (Host, error) {
	if err := MayChange(); err != nil {
		return Host{}, err
	}
	own, err := ownBackend()
	if err != nil {
		return Host{}, err
	}
	first, err := openBackend(own, "iptables")
	if err != nil {
		return Host{}, err
	}
	host := Host{Backends: []Backend{first}}
	other := nft
	if own == nft {
		other = legacy
	}
	if _, err := exec.LookPath("iptables-" + other + "-restore"); err != nil || !inUse(other) {
		return host, nil
	}
	second, err := openBackend(other, "iptables-"+other)
	if err != nil {
		return Host{}, err
	}
	host.Backends = append(host.Backends, second)
	return host, nil
}

// ownBackend tells which backend the host's iptables is: distributions make the name a
// link. Programs from before there were two are the legacy one.
func ownBackend() (string, error) {
	path, err := exec.LookPath("iptables")
	if err == nil {
		path, err = filepath.EvalSymlinks(path)
	}
	if err != nil {
		return "", fmt.Errorf("find iptables: %w", err)
	}
	if strings.Contains(filepath.Base(path), nft) {
		return nft, nil
	}
	return legacy, nil
}

// inUse tells whether the backend that is not the host's own can hold rules. To ask the
// legacy programs would make their tables, for good, where there are none.
func inUse(backend string) bool {
	if backend == nft {
		return exec.Command("iptables-nft", "-S").Run() == nil // else the kernel has none
	}
	made, err := legacyTables()
	return err != nil || slices.Contains(made, "filter")
}

// legacyTables lists the legacy tables of the calling thread's network namespace.
func legacyTables() ([]string, error) {
	names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	return strings.Fields(string(names)), err
}

func openBackend(name, program string) (Backend, error) {
	v4, err := openTable(iptables.ProtocolIPv4, program)
	if err != nil {
		return Backend{}, err
	}
	b := Backend{Name: name, V4: v4}
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil {
		v6, err := openTable(iptables.ProtocolIPv6, "ip6"+strings.TrimPrefix(program, "ip"))
		if err != nil {
			return Backend{}, err
		}
		b.V6 = v6
	}
	return b, nil
}

// table is one family's filter table in one backend.
type table struct {
	ipt           *iptables.IPTables
	restore, save string // the programs that go-iptables does not offer
}

func openTable(family iptables.Protocol, program string) (table, error) {
	ipt, err := iptables.New(iptables.IPFamily(family), iptables.Timeout(lockWait), iptables.Path(program))
	if err != nil {
		return table{}, fmt.Errorf("find %s: %w", program, err)
	}
	t := table{ipt: ipt}
	if t.restore, err = exec.LookPath(program + "-restore"); err == nil {
		t.save, err = exec.LookPath(program + "-save")
	}
	if err != nil {
		return table{}, fmt.Errorf("find what belongs to %s: %w", program, err)
	}
	return t, nil
}

// MayChange is ErrNotAllowed if this process lacks the capability that the tables want.
// Root in a container of a CI system often does.
func MayChange() error {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var sets [2]unix.CapUserData
	if err := unix.Capget(&header, &sets[0]); err != nil {
		return fmt.Errorf("ask for our capabilities: %w", err)
	}
	if sets[0].Effective&(1<<unix.CAP_NET_ADMIN) == 0 {
		return ErrNotAllowed
	}
	return nil
}

func (t table) Restore(lines []string) error {
	cmd := exec.Command(t.restore, "--noflush", "--wait", fmt.Sprint(lockWait))
	cmd.Stdin = strings.NewReader("*filter\n" + strings.Join(lines, "\n") + "\nCOMMIT\n")
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", t.restore, err, strings.TrimSpace(string(out)))
	}
	return nil
}

func (t table) Save(ctx context.Context) ([]string, error) {
	return save(ctx, t.save, "-c", "-t", "filter")
}

// save runs one of the programs that list tables.
func save(ctx context.Context, program string, args ...string) ([]string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	var complaint strings.Builder
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", program, err, strings.TrimSpace(complaint.String()))
	}
	return strings.Split(strings.TrimSpace(string(out)), "\n"), nil
}

func (t table) ChainExists(chain string) (bool, error) {
	return t.ipt.ChainExists("filter", chain)
}

func (t table) DeleteIfExists(chain string, spec ...string) error {
	return t.ipt.DeleteIfExists("filter", chain, spec...)
}

func (t table) RemoveChain(chain string) error { return t.ipt.ClearAndDeleteChain("filter", chain) }
