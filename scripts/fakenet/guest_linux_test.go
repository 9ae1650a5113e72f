package fakenet

import (
	"net/netip"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/scripts/require"
)

func TestAGuestIsThereForItsNetworkAlone(t *testing.T) {
	require.Docker(t)
	n := open(t)
	const address = "192.0.2.77" // RFC 5737's too: no machine needs it
	out, err := exec.Command("docker", "network", "inspect", "bridge", "--format", "{{(index .IPAM.Config 0).Subnet}}").Output()
	if err != nil {
		t.Fatal(err)
	}
	if err := n.Guest(netip.MustParseAddr(address), netip.MustParsePrefix(strings.TrimSpace(string(out)))); err != nil {
		t.Fatal(err)
	}
	marker := newMarker()
	visit := exec.Command("docker", "run", "--rm", require.Image, "bash", "-c", "echo "+marker+" >/dev/tcp/"+address+"/80")
	if out, err := visit.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if _, err := n.Sinks().Wait(within(t, time.Minute), marker, TCP); err != nil {
		t.Error(err)
	}
	toHere := func() string {
		t.Helper()
		out, err := exec.Command("ip", "route", "get", address).CombinedOutput()
		if err != nil && !strings.Contains(string(out), "unreachable") {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if route := toHere(); strings.Contains(route, hostLink) {
		t.Errorf("this machine's own way leads there too: %s", route)
	}
	if err := n.Close(); err != nil {
		t.Fatal(err)
	}
	if rules, err := exec.Command("ip", "rule").Output(); err != nil || strings.Contains(string(rules), address) {
		t.Errorf("after Close: %v\n%s", err, rules)
	}
}
