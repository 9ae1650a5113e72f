package fakenet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/scripts/require"

	"github.com/vishvananda/netlink"
)

// childEnv makes the test program be a child that holds a fake internet until it is killed.
const childEnv = "AV_FAKENET_TEST_CHILD"

func child() {
	if _, err := New(context.Background()); err != nil {
		fmt.Println(err)
		if errors.Is(err, ErrNeedsRoot) {
			fmt.Println("ErrNeedsRoot")
		}
		os.Exit(1)
	}
	fmt.Println("ready")
	select {}
}

func startChild(t *testing.T, program string, attr *syscall.SysProcAttr) (cmd *exec.Cmd, says *bufio.Scanner) {
	t.Helper()
	cmd = exec.CommandContext(within(t, 5*time.Minute), program)
	cmd.Env = append(os.Environ(), childEnv+"=1")
	cmd.SysProcAttr = attr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd, bufio.NewScanner(out)
}

// killChild starts a child, sees it have its fake internet, and kills it.
func killChild(t *testing.T) {
	t.Helper()
	cmd, says := startChild(t, os.Args[0], nil)
	if !says.Scan() || says.Text() != "ready" {
		t.Fatalf("the child says %q", says.Text())
	}
	if !linkIsThere() {
		t.Error("there is no link avfake0 while the child is up")
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	cmd.Wait()
}

func linkIsThere() bool {
	_, err := net.InterfaceByName("avfake0")
	return err == nil
}

func TestCloseTakesTheLinkAway(t *testing.T) {
	n := open(t)
	if !linkIsThere() {
		t.Fatal("there is no link avfake0 while the fake internet is up")
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if linkIsThere() {
		t.Error("the link avfake0 is still there")
	}
	open(t) // and there is room for the next
}

func TestAKilledProcessLeavesNothing(t *testing.T) {
	require.Root(t)
	require.Net(t)
	killChild(t)
	ctx := within(t, 10*time.Second)
	for linkIsThere() {
		select {
		case <-ctx.Done():
			t.Fatal("the link avfake0 is still there after 10 s")
		case <-time.After(time.Millisecond):
		}
	}
}

func TestTheNextFakeInternetNeedNotWaitForTheKernelToClearUp(t *testing.T) {
	require.Root(t)
	require.Net(t)
	killChild(t)
	n := open(t)
	if err := n.Settle(within(t, 10*time.Second)); err != nil {
		t.Error(err)
	}
}

func TestThereIsOneFakeInternetAtATime(t *testing.T) {
	open(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, err := New(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("a second one: %v", err)
	}
}

func TestALinkInThePlaceOfTheLockIsNotFollowed(t *testing.T) {
	path := t.TempDir() + "/lock"
	if err := os.Symlink("/dev/null", path); err != nil {
		t.Fatal(err)
	}
	if f, err := lock(t.Context(), path); err == nil {
		f.Close()
		t.Error("the link was followed")
	}
}

func TestWithoutRootThereIsAClearError(t *testing.T) {
	require.Root(t) // to become somebody else
	dir, err := os.MkdirTemp("/tmp", "fakenet")
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	self, err := os.ReadFile(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	program := dir + "/child" // what go test built lies where nobody else may look
	if err := os.WriteFile(program, self, 0o755); err != nil {
		t.Fatal(err)
	}
	cmd, says := startChild(t, program, &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}})
	var last string
	for says.Scan() {
		last = says.Text()
	}
	if err := cmd.Wait(); err == nil || last != "ErrNeedsRoot" {
		t.Errorf("%v, last line %q", err, last)
	}
}

// The range is kept for examples, and somebody uses it all the same: on one machine a package mirror had an address
// of it, and was out of reach while a fake internet was up.
func TestTheRestOfTheRangeIsNotTaken(t *testing.T) {
	open(t)
	link, err := netlink.LinkByName(hostLink)
	if err != nil {
		t.Fatal(err)
	}
	leadsIn := func(address string) bool {
		routes, err := netlink.RouteGet(net.ParseIP(address))
		return err == nil && len(routes) > 0 && routes[0].LinkIndex == link.Attrs().Index
	}
	if !leadsIn(SinkAddr.String()) {
		t.Error("control: the sink is not on the link")
	}
	if leadsIn("203.0.113.80") {
		t.Error("an address that is not ours leads into the fake internet")
	}
}
