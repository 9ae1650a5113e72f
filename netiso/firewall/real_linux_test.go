package firewall_test

import (
	"errors"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"github.com/av-project/av/images"
	"github.com/av-project/av/netiso/firewall"
	"github.com/av-project/av/scripts/require"
)

// The two programs by which a kernel's two sets of tables are changed.
var programs = []string{"iptables-nft", "iptables-legacy"}

// namespace gives the test a network of its own, in which it is the host or the box.
// The thread keeps it, and ends with the test's goroutine.
func namespace(t *testing.T) {
	t.Helper()
	require.Root(t)
	require.Net(t)
	for _, p := range programs {
		require.Program(t, p)
	}
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	do(t, "ip link set lo up")
}

// do runs a command line in the namespace.
func do(t *testing.T, line string) string {
	t.Helper()
	words := strings.Fields(line)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

// legacyTables lists the legacy tables of the test's namespace. To list their rules
// would make those that are not there.
func legacyTables(t *testing.T) []string {
	t.Helper()
	names, err := os.ReadFile("/proc/thread-self/net/ip_tables_names")
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return strings.Fields(string(names))
}

// box makes the namespace look like a run's, and puts up the walls with a program.
func box(t *testing.T, p firewall.Plan, program string) []string {
	t.Helper()
	if !p.Linkless() {
		link(t, p)
	}
	script := exec.Command("/bin/sh", "-s")
	script.Env = append(append(os.Environ(), p.Params()...), "IPTABLES="+program)
	script.Stdin = strings.NewReader(string(images.FirewallScript()))
	var complaint strings.Builder
	script.Stderr = &complaint
	out, err := script.Output()
	if err != nil {
		t.Fatalf("the script with %s: %v: %s", program, err, complaint.String())
	}
	return strings.Split(string(out), "\n")
}

// link is what an engine gives a box on a network.
func link(t *testing.T, p firewall.Plan) {
	t.Helper()
	do(t, "ip link add eth0 type veth peer name other")
	do(t, "ip link set other up")
	do(t, "ip address add 10.83.4.2/28 dev eth0")
	do(t, "ip link set eth0 up")
	do(t, "ip route add default via "+p.Relay.Addr().String())
	if err := send(unix.SOCK_DGRAM, 0); err != nil {
		t.Fatalf("control: without walls a packet leaves: %v", err)
	}
}

// both tries what there is to try for a box on a network and for one without a link, with
// either program.
func both(t *testing.T, try func(t *testing.T, p firewall.Plan, program string)) {
	for name, p := range map[string]firewall.Plan{"on a network": examplePlan(), "without a link": linkless()} {
		for _, program := range programs {
			t.Run(name+", "+program, func(t *testing.T) {
				namespace(t)
				try(t, p, program)
			})
		}
	}
}

// send sends one packet to a host that is not there.
func send(kind, protocol int) error {
	fd, err := unix.Socket(unix.AF_INET, kind|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return unix.Sendto(fd, []byte{8, 0, 0, 0, 0, 0, 0, 1}, 0, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{203, 0, 113, 66}})
}

func TestScriptPutsUpThePlannedWallsInEitherBackend(t *testing.T) {
	both(t, func(t *testing.T, p firewall.Plan, program string) {
		if err := p.Verify(box(t, p, program)); err != nil {
			t.Error(err)
		}
		if made := legacyTables(t); (len(made) > 0) != (program == "iptables-legacy") {
			t.Errorf("the legacy tables are %q", made)
		}
	})
}

// One packet of a kind, three of the next, so that a mix-up shows.
func TestEachKindOfPacketIsRefusedAndCountedApart(t *testing.T) {
	both(t, func(t *testing.T, p firewall.Plan, program string) {
		box(t, p, program)
		said, err := exec.Command(program, "-V").Output()
		if err != nil {
			t.Fatal(err)
		}
		version := strings.TrimSpace(string(said))
		read := func() firewall.Refused {
			t.Helper()
			counted, err := p.ReadNamespace(t.Context(), "/proc/thread-self/ns/net", program, version)
			if err != nil {
				t.Fatal(err)
			}
			return counted
		}
		if got := read(); got != (firewall.Refused{}) {
			t.Errorf("before anything was sent: %+v", got)
		}
		for _, c := range []struct{ times, kind, protocol int }{
			{1, unix.SOCK_DGRAM, 0}, {3, unix.SOCK_RAW, unix.IPPROTO_ICMP}, {5, unix.SOCK_RAW, unix.IPPROTO_GRE},
		} {
			for range c.times {
				if err := send(c.kind, c.protocol); err != unix.EPERM {
					t.Errorf("protocol %d: %v, want it to be refused", c.protocol, err)
				}
			}
		}
		// It is caught, and refused there, for no gate listens.
		fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 443, Addr: [4]byte{203, 0, 113, 66}}); err != unix.ECONNREFUSED {
			t.Errorf("a connection: %v", err)
		}
		want := firewall.Refused{UDP: 1, ICMP: 3, Other: 5, CaughtTCP: 1}
		if diff := cmp.Diff(want, read()); diff != "" {
			t.Error(diff)
		}
		do(t, program+" -D OUTPUT -p udp -j REJECT --reject-with icmp-port-unreachable")
		if got, err := p.ReadNamespace(t.Context(), "/proc/thread-self/ns/net", program, version); !errors.Is(err, firewall.ErrChanged) {
			t.Errorf("walls of which one is gone count %+v, %v", got, err)
		}
		// An older program lists a rule that is there as another one.
		if _, err := p.ReadNamespace(t.Context(), "/proc/thread-self/ns/net", program, "iptables v1.8.7 (nf_tables)"); err == nil || errors.Is(err, firewall.ErrChanged) {
			t.Errorf("walls that another version made: %v", err)
		}
	})
}

// An engine on the legacy backend leads 127.0.0.11 to its resolver in a table beside ours.
// Where that one is asked first, names would not be asked of the gate.
func TestScriptClearsTheEnginesRulesInTheOtherBackend(t *testing.T) {
	namespace(t)
	do(t, "iptables-legacy -t nat -A OUTPUT -d 127.0.0.11 -p udp --dport 53 -j DNAT --to-destination 127.0.0.11:40000")
	p := examplePlan()
	if err := p.Verify(box(t, p, "iptables-nft")); err != nil {
		t.Error(err)
	}
	if got := do(t, "iptables-legacy -t nat -S"); strings.Contains(got, "DNAT") {
		t.Errorf("the engine's rule stands:\n%s", got)
	}
	// What stands now answers on port 53, by the walls' own rule.
	gate, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(gate)
	if err := unix.Bind(gate, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	asker, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(asker)
	if err := unix.Sendto(asker, []byte("name"), 0, &unix.SockaddrInet4{Port: 53, Addr: [4]byte{127, 0, 0, 11}}); err != nil {
		t.Fatal(err)
	}
	heard := make([]byte, 8)
	if n, _, err := unix.Recvfrom(gate, heard, 0); err != nil || string(heard[:n]) != "name" {
		t.Errorf("the gate heard %q, %v", heard[:max(n, 0)], err)
	}
}
