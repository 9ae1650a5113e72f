package netiso

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/netiso/firewall"
	"github.com/av-project/av/netiso/gate"
	"github.com/av-project/av/scripts/require"
)

func prefixes(s ...string) (out []netip.Prefix) {
	for _, p := range s {
		out = append(out, netip.MustParsePrefix(p))
	}
	return out
}

func TestSubnetIsFreeOfNetworksAndRoutes(t *testing.T) {
	pool := netip.MustParsePrefix("10.83.0.0/24") // sixteen subnets
	for _, c := range []struct {
		name string
		used []netip.Prefix
		draw uint32
		want string
	}{
		{"the drawn one", nil, 3, "10.83.0.48/28"},
		{"a draw beyond the pool goes round", nil, 16 + 3, "10.83.0.48/28"},
		{"the next when the drawn one is taken", prefixes("10.83.0.48/28"), 3, "10.83.0.64/28"},
		{"past a taken range", prefixes("10.83.0.32/27", "10.83.0.64/26"), 2, "10.83.0.128/28"},
		{"round the end", prefixes("10.83.0.240/28"), 15, "10.83.0.0/28"},
		{"a route that lies inside", prefixes("10.83.0.53/32"), 3, "10.83.0.64/28"},
	} {
		got, ok := freeSubnet(pool, c.used, c.draw)
		if !ok || got.String() != c.want {
			t.Errorf("%s: got %v, want %s", c.name, got, c.want)
		}
	}
	if got, ok := freeSubnet(pool, prefixes("10.0.0.0/8"), 0); ok {
		t.Errorf("a VPN over the whole pool: got %v", got)
	}
	if got, ok := freeSubnet(netip.MustParsePrefix("10.83.0.0/30"), nil, 0); ok {
		t.Errorf("a pool smaller than a subnet: got %v", got)
	}
}

func TestOwnerIsDrawnOnceForAHome(t *testing.T) {
	home := t.TempDir()
	var group sync.WaitGroup
	names := make([]string, 8)
	for i := range names {
		group.Go(func() { names[i], _ = Owner(home) })
	}
	group.Wait()
	for _, n := range names {
		if n == "" || n != names[0] {
			t.Fatalf("got %q", names)
		}
	}
	other, err := Owner(t.TempDir())
	if err != nil || other == names[0] {
		t.Errorf("another home is %q, %v", other, err)
	}
}

// A copy has the name of the original and not its locks: from there every live run of
// the original would look dead.
func TestCopiedHomeGetsAnOwnerOfItsOwn(t *testing.T) {
	home, second := t.TempDir(), t.TempDir()
	original, err := Owner(home)
	if err != nil {
		t.Fatal(err)
	}
	content, err := os.ReadFile(ownerFile(home))
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(ownerFile(second), content, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := KnownOwner(second); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the copy has a name: %v", err)
	}
	if name, err := Owner(second); err != nil || name == original {
		t.Errorf("the copy is called %q as the original, %v", name, err)
	}
	if name, err := Owner(home); err != nil || name != original {
		t.Errorf("the original is now %q, %v", name, err)
	}
}

func TestLookingForAnOwnerMakesNothing(t *testing.T) {
	home := filepath.Join(t.TempDir(), "none")
	if _, err := KnownOwner(home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("got %v", err)
	}
	if _, err := os.Stat(home); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder was made: %v", err)
	}
}

// readBack is what the script prints where the walls are as they were planned.
func readBack(p firewall.Plan) (rules []string) {
	section := ""
	for _, r := range p.Namespace() {
		head := "# ipv4 " + r.Table
		if r.IPv6 {
			head = "# ipv6 " + r.Table
		}
		if head != section {
			section = head
			rules = append(rules, head)
		}
		rules = append(rules, r.Spec)
	}
	return rules
}

func TestReportThatDiffersFromThePlanIsRefused(t *testing.T) {
	canary, err := NewCanary(netip.MustParseAddr("127.0.0.1"))
	if err != nil {
		t.Fatal(err)
	}
	defer canary.Close()
	p := plan(NewRun("0123456789abcdef"), net.TCPAddrFromAddrPort(netip.MustParseAddrPort("10.83.4.1:40123")))
	good := gate.Report{Rules: readBack(p), ScriptSHA256: "ours"}
	if err := Verify(p, "ours", good, canary); err != nil {
		t.Fatalf("control: %v", err)
	}
	if Verify(p, "another", good, canary) == nil {
		t.Error("another script was accepted")
	}
	if Verify(p, "ours", gate.Report{ScriptSHA256: "ours"}, canary) == nil {
		t.Error("a report without rules was accepted")
	}
	conn, err := net.Dial("tcp4", canary.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	_, _ = conn.Read(make([]byte, 1)) // the canary closes it, having counted
	conn.Close()
	if Verify(p, "ours", good, canary) == nil {
		t.Error("walls with a reachable canary were accepted")
	}
}

func TestLinkThatLeadsOutOfTheBoxIsFound(t *testing.T) {
	lo := gate.Link{Name: "lo", Up: true}
	pair := []gate.Link{lo, {Name: "eth0", Up: true, Peer: "av0"}, {Name: "av0", Up: true, Peer: "eth0"}}
	for _, c := range []struct {
		name  string
		links []gate.Link
		ok    bool
	}{
		{"a pair with both ends inside", pair, true},
		{"a kernel's device for tunnels, which is down", append(pair[:3:3], gate.Link{Name: "tunl0"}), true},
		{"one that is up", append(pair[:3:3], gate.Link{Name: "tunl0", Up: true}), false},
		{"an end whose other one is elsewhere", []gate.Link{lo, {Name: "eth0", Up: true}}, false},
		{"another beside the pair", append(pair[:3:3], gate.Link{Name: "eth1", Up: true}), false},
		{"a device on top of another", append(pair[:3:3], gate.Link{Name: "vlan1", Up: true, Peer: "eth0"}), false},
		{"a peer that is not there", []gate.Link{lo, {Name: "eth0", Up: true, Peer: "gone"}}, false},
	} {
		if err := judgeLinks(c.links); (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
	p := plan(NewRun("0123456789abcdef"), &net.UnixAddr{})
	report := gate.Report{Rules: readBack(p), ScriptSHA256: "ours", Links: pair}
	if err := Verify(p, "ours", report, nil); err != nil {
		t.Errorf("control: %v", err)
	}
	report.Links = append(report.Links, gate.Link{Name: "eth1", Up: true})
	if Verify(p, "ours", report, nil) == nil {
		t.Error("a report of a link that leads out was accepted")
	}
}

// The path of a home may be longer than what a socket's address has room for.
func TestRelaysSocketMayLieDeep(t *testing.T) {
	dir := filepath.Join(t.TempDir(), strings.Repeat("deep/", 40))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	listener, path, err := ListenSocket(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	folder, err := os.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer folder.Close()
	conn, err := net.Dial("unix", fmt.Sprintf("/proc/self/fd/%d/%s", folder.Fd(), filepath.Base(path)))
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o666 {
		t.Errorf("the gate is another user, and has to be able to open it: %v, %v", info, err)
	}
}

func TestRunIsAliveWhileItsLockIsHeld(t *testing.T) {
	home := t.TempDir()
	lease, err := Hold(home, "0000000a")
	if err != nil {
		t.Fatal(err)
	}
	if got, err := take(home, "0000000a"); got != nil || err != nil {
		t.Errorf("a live run was taken: %v, %v", got, err)
	}
	if err := lease.Release(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(lease.Dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the folder is still there: %v", err)
	}
	if got, err := take(home, "0000000a"); got == nil || err != nil {
		t.Errorf("a run that has ended was not taken: %v, %v", got, err)
	}
}

// TestMain makes this binary a process that holds a run's lock until it is killed.
func TestMain(m *testing.M) {
	if home := os.Getenv("AV_TEST_HOLD"); home != "" {
		lease, err := Hold(home, "0000000b")
		fmt.Println(lease != nil, err)
		select {} // until killed
	}
	os.Exit(m.Run())
}

func TestKilledProcessLeavesADeadRun(t *testing.T) {
	home := t.TempDir()
	holder := exec.Command(os.Args[0])
	holder.Env = append(os.Environ(), "AV_TEST_HOLD="+home)
	out, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	if _, err := out.Read(make([]byte, 64)); err != nil {
		t.Fatal(err)
	}
	if got, _ := take(home, "0000000b"); got != nil {
		t.Error("the run was taken while its process lived")
	}
	if err := holder.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = holder.Wait()
	if err := AwaitDeath(home, "0000000b"); err != nil {
		t.Fatal(err)
	}
	if got, err := take(home, "0000000b"); got == nil || err != nil {
		t.Errorf("the dead run was not taken: %v, %v", got, err)
	}
}

func TestStartsAndPrunesSideBySideHarmNoRun(t *testing.T) {
	home := t.TempDir()
	p := &Pruner{Home: home, Owner: "0123456789abcdef"}
	var starts, prunes sync.WaitGroup
	stop := make(chan struct{})
	prunes.Go(func() {
		for {
			select {
			case <-stop:
				return
			default:
			}
			if err := p.Prune(context.Background(), func(l Leftover) { t.Errorf("a live run lost its %s", l.Kind) }); err != nil {
				t.Error(err)
			}
		}
	})
	for i := range 20 {
		starts.Go(func() {
			for j := range 20 {
				lease, err := Hold(home, fmt.Sprintf("%08x", i<<8|j))
				if err != nil {
					t.Errorf("start: %v", err)
					return
				}
				if _, err := os.Stat(filepath.Join(lease.Dir, "lock")); err != nil {
					t.Errorf("a live run's folder: %v", err)
				}
				if err := lease.Release(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	starts.Wait()
	close(stop)
	prunes.Wait()
}

// orphan makes what a run that died has left on the engine.
func orphan(t *testing.T, e *engine.Engine, run Run, labels map[string]string) *Network {
	t.Helper()
	used, err := usedPrefixes(t.Context(), e)
	if err != nil {
		t.Fatal(err)
	}
	subnet, ok := freeSubnet(DefaultPool, used, 0)
	if !ok {
		t.Fatal("no subnet is free")
	}
	id, err := e.CreateNetwork(t.Context(), engine.Network{Name: run.Network(), Bridge: run.Bridge(), Subnet: subnet, Gateway: subnet.Addr().Next(), Labels: labels})
	if err != nil {
		t.Fatal(err)
	}
	network := &Network{engine: e, id: id}
	t.Cleanup(func() { _ = network.Remove(context.Background()) })
	return network
}

func TestPruneRemovesWhatIsDeadAndOursAndNothingElse(t *testing.T) {
	require.Root(t)
	require.Docker(t)
	e, err := engine.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	home := t.TempDir()
	owner, err := Owner(home)
	if err != nil {
		t.Fatal(err)
	}
	dead, live, foreign := NewRun(owner), NewRun(owner), NewRun("fedcba9876543210")
	nameOnly := NewRun(owner)
	lease, err := Hold(home, live.ID)
	if err != nil {
		t.Fatal(err)
	}
	defer lease.Release()
	networks := map[string]*Network{
		"dead": orphan(t, e, dead, dead.Labels()), "live": orphan(t, e, live, live.Labels()),
		"another home's": orphan(t, e, foreign, foreign.Labels()), "unlabelled": orphan(t, e, nameOnly, nil),
	}
	if err := os.MkdirAll(filepath.Join(runsDir(home), dead.ID), 0o700); err != nil {
		t.Fatal(err)
	}
	var removed []string
	p := &Pruner{Home: home, Owner: owner, Engine: e}
	if err := p.Prune(t.Context(), func(l Leftover) { removed = append(removed, l.Kind+" "+l.Run) }); err != nil {
		t.Fatal(err)
	}
	want := fmt.Sprint([]string{"network " + dead.ID, "run folder " + dead.ID})
	if fmt.Sprint(removed) != want {
		t.Errorf("removed %v, want %v", removed, want)
	}
	there, err := e.Networks(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]bool{}
	for _, n := range there {
		ids[n.ID] = true
	}
	for name, n := range networks {
		if ids[n.id] == (name == "dead") {
			t.Errorf("the %s network is there: %v", name, ids[n.id])
		}
	}
	// A second prune finds nothing, and a thing that is gone is no error.
	if err := networks["dead"].Remove(t.Context()); err != nil {
		t.Errorf("remove what is gone: %v", err)
	}
	removed = nil
	if err := p.Prune(t.Context(), func(l Leftover) { removed = append(removed, l.Kind) }); err != nil || len(removed) != 0 {
		t.Errorf("a second prune removed %v, %v", removed, err)
	}
}
