package main

import (
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/scripts/require"
)

// pool draws a small range that nothing on this machine leads to.
func pool(t testing.TB, bits int) netip.Prefix {
	t.Helper()
	routes, err := netlink.RouteListFiltered(netlink.FAMILY_V4, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	if err != nil {
		t.Fatal(err)
	}
	for {
		drawn := netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(128 + rand.IntN(96)), byte(rand.IntN(256)), 0}), bits).Masked()
		taken := slices.ContainsFunc(routes, func(r netlink.Route) bool {
			if r.Dst == nil {
				return false
			}
			size, _ := r.Dst.Mask.Size()
			addr, ok := netip.AddrFromSlice(r.Dst.IP.To4())
			return ok && size >= 8 && netip.PrefixFrom(addr, size).Overlaps(drawn)
		})
		if !taken {
			return drawn
		}
	}
}

func TestRunsNetworkKeepsOffTheHostsRoutes(t *testing.T) {
	dir, env, av := home(t)
	env = withRelay(env, "bridge")
	warm(t, av, env)
	two := pool(t, 27) // of two runs' networks
	env = append(env, netiso.PoolVariable+"="+two.String())
	first := netip.PrefixFrom(two.Addr(), 28)
	a := first.Addr().As4()
	a[3] += 16
	second := netip.PrefixFrom(netip.AddrFrom4(a), 28)
	dst, err := netlink.ParseIPNet(first.String())
	if err != nil {
		t.Fatal(err)
	}
	// It leads nowhere and stands on no link, as those that a VPN keeps for itself.
	route := &netlink.Route{Dst: dst, Type: unix.RTN_UNREACHABLE}
	if err := netlink.RouteAdd(route); err != nil {
		t.Fatal(err)
	}
	var once sync.Once
	remove := func() {
		once.Do(func() {
			if err := netlink.RouteDel(route); err != nil {
				t.Error(err)
			}
		})
	}
	defer remove()
	o := startOne(t, av, env, "read line; echo $line")
	var live []netiso.Note
	until(t, "the run to run", 2*time.Minute, func() bool {
		live = alive(t, av, env)
		return len(live) == 1 && live[0].State == netiso.Running
	})
	if live[0].Subnet != second.String() {
		t.Errorf("the run is on %s; %s is a route's, and %s was free", live[0].Subnet, first, second)
	}
	// Now nothing is free.
	exhausted := exec.Command(av, "run", "--isolation=container", "--", "true")
	exhausted.Env, exhausted.Dir = env, t.TempDir()
	out, err := exhausted.CombinedOutput()
	if exhausted.ProcessState.ExitCode() != 125 || !strings.Contains(string(out), "av: error: no subnet of "+two.String()+" is free") ||
		!strings.Contains(string(out), "av: hint: run `av prune`") || strings.Count(string(out), "error:") != 1 {
		t.Errorf("with all taken: %v: %s", err, out)
	}
	if left := deadOf(t, dir, av, env); left != "" {
		t.Errorf("the refused run left\n%s", left)
	}
	// Control: without the route, the first is taken when the second is.
	remove()
	other := startOne(t, av, env, "read line; echo $line")
	until(t, "the other run to run", 2*time.Minute, func() bool {
		return slices.ContainsFunc(alive(t, av, env), func(n netiso.Note) bool { return n.Subnet == first.String() && n.State == netiso.Running })
	})
	survive(t, []*one{o, other})
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}

func TestPoolThatIsNoneEndsBeforeAnythingIsMade(t *testing.T) {
	dir, env, av := home(t)
	for _, bad := range []string{"10.83.0.0/29", "203.0.113.0/24", "nonsense"} {
		cmd := exec.Command(av, "run", "--isolation=container", "--", "true")
		cmd.Env, cmd.Dir = append(env, netiso.PoolVariable+"="+bad), t.TempDir()
		out, err := cmd.CombinedOutput()
		if cmd.ProcessState.ExitCode() != 125 || !complaint.Match(out) {
			t.Errorf("%s: %v: %s", bad, err, out)
		}
	}
	if _, err := os.Stat(filepath.Join(dir, "runs")); !os.IsNotExist(err) {
		t.Errorf("something was made: %v", err)
	}
}

// Whoever may use the engine can give a running box a second network, or a first one.
func TestBoxThatIsConnectedToAnotherNetworkEnds(t *testing.T) {
	for _, relay := range []string{"socket", "bridge"} {
		t.Run(relay, func(t *testing.T) { connected(t, relay) })
	}
}

func connected(t *testing.T, relay string) {
	dir, env, av := home(t)
	env = withRelay(env, relay)
	name := fmt.Sprintf("second-%d-%d", os.Getpid(), rand.Int32())
	docker := func(args ...string) string {
		t.Helper()
		out, err := exec.Command("docker", args...).CombinedOutput()
		if err != nil {
			t.Fatalf("docker %v: %v: %s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	id := docker("network", "create", "--internal", "--subnet", pool(t, 28).String(), name)
	t.Cleanup(func() { _ = exec.Command("docker", "network", "rm", id).Run() })
	r := start(t, av, env, "echo ready; read line; echo $line; sleep 1000")
	live := alive(t, av, env)
	if len(live) != 1 {
		t.Fatalf("alive: %v", live)
	}
	// Control: that another container is connected to that network ends nothing.
	other := docker("create", "--network", "none", require.Image, "true")
	t.Cleanup(func() { _ = exec.Command("docker", "rm", "-f", other).Run() })
	docker("network", "disconnect", "none", other)
	docker("network", "connect", id, other)
	if _, err := io.WriteString(r.stdin, "still-here\n"); err != nil {
		t.Fatal(err)
	}
	until(t, "the command to answer", time.Minute, func() bool { return strings.Contains(r.out.String(), "still-here") })

	gate := "av-" + live[0].Run + "-gate"
	docker("network", "connect", id, gate)
	_ = r.cmd.Wait()
	if out := r.out.String(); r.cmd.ProcessState.ExitCode() != 125 || !strings.Contains(out, fmt.Sprintf("av: error: the box was connected to the network %q", name)) ||
		!strings.Contains(out, "av: hint: ") {
		t.Errorf("got %v: %s", r.cmd.ProcessState, out)
	}
	if left := leftOf(dir); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	// Nothing of the box stays on the network that it was put on, which could not be removed then.
	docker("rm", "-f", other)
	docker("network", "rm", id)
}
