package firewall

import (
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/coreos/go-iptables/iptables"
	"golang.org/x/sys/unix"
)

// lockWait is how long, in seconds, another program may hold the tables.
const lockWait = 5

// OpenHost reaches the host's own tables. It needs CAP_NET_ADMIN.
func OpenHost() (Host, error) {
	if err := mayChange(); err != nil {
		return Host{}, err
	}
	v4, err := openTable(iptables.ProtocolIPv4, "iptables-restore")
	if err != nil {
		return Host{}, err
	}
	host := Host{V4: v4}
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil {
		v6, err := openTable(iptables.ProtocolIPv6, "ip6tables-restore")
		if err != nil {
			return Host{}, err
		}
		host.V6 = v6
	}
	return host, nil
}

// table is one family's filter table.
type table struct {
	ipt     *iptables.IPTables
	restore string // the path of the program that go-iptables does not offer
}

func openTable(family iptables.Protocol, restore string) (table, error) {
	ipt, err := iptables.New(iptables.IPFamily(family), iptables.Timeout(lockWait))
	if err != nil {
		return table{}, fmt.Errorf("find iptables: %w", err)
	}
	path, err := exec.LookPath(restore)
	if err != nil {
		return table{}, fmt.Errorf("find %s: %w", restore, err)
	}
	return table{ipt, path}, nil
}

// mayChange tells whether this process has the capability that the tables want. Root
// in a container of a CI system often has not.
func mayChange() error {
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

func (t table) ChainExists(chain string) (bool, error) {
	return t.ipt.ChainExists("filter", chain)
}

func (t table) DeleteIfExists(chain string, spec ...string) error {
	return t.ipt.DeleteIfExists("filter", chain, spec...)
}

func (t table) RemoveChain(chain string) error { return t.ipt.ClearAndDeleteChain("filter", chain) }

func (t table) List(chain string) ([]string, error) { return t.ipt.List("filter", chain) }
