package netiso

import (
	"net/netip"
	"runtime"
	"slices"
	"testing"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"

	"github.com/av-project/av/scripts/require"
)

// A VPN's routes may stand in a table of their own, where `ip route` shows none of them.
func TestRoutesOfEveryTableAreSeen(t *testing.T) {
	require.Root(t)
	require.Net(t)
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // never unlocked: the thread and its namespace end with this goroutine
		space, err := netns.New()
		if err != nil {
			t.Error(err)
			return
		}
		defer space.Close()
		lo, err := netlink.LinkByName("lo")
		if err == nil {
			err = netlink.LinkSetUp(lo)
		}
		if err != nil {
			t.Error(err)
			return
		}
		add := func(prefix string, table int) {
			dst, err := netlink.ParseIPNet(prefix)
			if err == nil {
				err = netlink.RouteAdd(&netlink.Route{LinkIndex: lo.Attrs().Index, Dst: dst, Table: table, Scope: netlink.SCOPE_LINK})
			}
			if err != nil {
				t.Errorf("%s: %v", prefix, err)
			}
		}
		sees := func(prefix string) bool {
			routes, err := hostRoutes()
			if err != nil {
				t.Error(err)
			}
			return slices.Contains(routes, netip.MustParsePrefix(prefix))
		}
		if sees("10.83.0.16/28") || sees("10.83.1.0/24") {
			t.Error("a route is seen before it is there")
		}
		add("10.83.0.16/28", 0)
		add("10.83.1.0/24", 52)
		add("0.0.0.0/1", 0)
		if !sees("10.83.0.16/28") {
			t.Error("a route of the main table is not seen")
		}
		if !sees("10.83.1.0/24") {
			t.Error("a route of another table is not seen")
		}
		if sees("0.0.0.0/1") {
			t.Error("half a default route is taken for a network")
		}
	}()
	<-done
}
