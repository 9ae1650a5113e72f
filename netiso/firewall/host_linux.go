package firewall

import (
	"fmt"
	"os"

	"github.com/coreos/go-iptables/iptables"
)

// OpenHost reaches the host's own tables. It needs CAP_NET_ADMIN.
func OpenHost() (Host, error) {
	v4, err := iptables.New(iptables.IPFamily(iptables.ProtocolIPv4), iptables.Timeout(5))
	if err != nil {
		return Host{}, fmt.Errorf("find iptables: %w", err)
	}
	if _, err := v4.ListChains("filter"); err != nil {
		return Host{}, fmt.Errorf("read the host's rules: %w", err)
	}
	host := Host{V4: table{v4}}
	if _, err := os.Stat("/proc/net/if_inet6"); err == nil {
		v6, err := iptables.New(iptables.IPFamily(iptables.ProtocolIPv6), iptables.Timeout(5))
		if err != nil {
			return Host{}, fmt.Errorf("find ip6tables: %w", err)
		}
		host.V6 = table{v6}
	}
	return host, nil
}

// table is one family's filter table.
type table struct{ ipt *iptables.IPTables }

func (t table) NewChain(chain string) error { return t.ipt.NewChain("filter", chain) }
func (t table) ChainExists(chain string) (bool, error) {
	return t.ipt.ChainExists("filter", chain)
}
func (t table) Append(chain string, spec ...string) error {
	return t.ipt.Append("filter", chain, spec...)
}
func (t table) InsertFirst(chain string, spec ...string) error {
	return t.ipt.Insert("filter", chain, 1, spec...)
}
func (t table) DeleteIfExists(chain string, spec ...string) error {
	return t.ipt.DeleteIfExists("filter", chain, spec...)
}
func (t table) RemoveChain(chain string) error { return t.ipt.ClearAndDeleteChain("filter", chain) }
func (t table) List(chain string) ([]string, error) {
	return t.ipt.List("filter", chain)
}
