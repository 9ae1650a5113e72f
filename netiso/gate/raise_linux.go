package gate

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"time"
	"unsafe"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// raise puts the walls up, tries them, gives up the power over them, and tries
// them again. Any surprise is an error, and the box is not used.
func raise(ctx context.Context, c Config, s *server) (Report, error) {
	if c.NoWalls {
		// The privileges that walls would have needed go all the same.
		return Report{}, drop()
	}
	report, err := runScript(ctx, c)
	if err != nil {
		return report, err
	}
	if report.Links, err = links(); err != nil {
		return report, err
	}
	if report.Tried, err = s.tryAsOther(c.Canary); err != nil {
		return report, err
	}
	if err := drop(); err != nil {
		return report, fmt.Errorf("give up the gate's privileges: %w", err)
	}
	if err := powerless(ctx, report.Backend); err != nil {
		return report, err
	}
	return report, s.tryAsGate(ctx, c)
}

// links lists the namespace's network interfaces.
func links() ([]Link, error) {
	list, err := netlink.LinkList()
	if err != nil {
		return nil, fmt.Errorf("list the network interfaces: %w", err)
	}
	names := map[int]string{}
	for _, l := range list {
		names[l.Attrs().Index] = l.Attrs().Name
	}
	var out []Link
	for _, l := range list {
		a := l.Attrs()
		link := Link{Name: a.Name, Up: a.Flags&net.FlagUp != 0}
		// The index of a peer elsewhere may be that of another interface here.
		if a.NetNsID < 0 {
			link.Peer = names[a.ParentIndex]
		}
		out = append(out, link)
	}
	return out, nil
}

// The two programs that can hold the walls, see iptables(8).
const (
	nft    = "iptables-nft"
	legacy = "iptables-legacy"
)

// scriptEnv is what the firewall's programs find in their environment. The legacy ones
// want a file to lock, and the gate's only place to write is its own memory.
var scriptEnv = []string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin", "XTABLES_LOCKFILE=/dev/shm/xtables.lock"}

// runScript puts the walls up with nf_tables, or with the tables from before where the
// kernel has no others.
func runScript(ctx context.Context, c Config) (Report, error) {
	report, err := runScriptWith(ctx, c, nft)
	if err == nil || exec.CommandContext(ctx, "/usr/sbin/"+nft, "-S").Run() == nil {
		return report, err
	}
	report, second := runScriptWith(ctx, c, legacy)
	if second != nil {
		return report, errors.Join(err, second)
	}
	return report, nil
}

// runScriptWith runs init-firewall.sh and takes the rules that it reads back. The
// digest is of the bytes that ran: the file is read once and given to the shell.
func runScriptWith(ctx context.Context, c Config, backend string) (Report, error) {
	script, err := os.ReadFile(c.Script)
	if err != nil {
		return Report{}, fmt.Errorf("read the firewall script: %w", err)
	}
	digest := sha256.Sum256(script)
	cmd := exec.CommandContext(ctx, "/bin/sh", "-s")
	cmd.Env = slices.Concat(scriptEnv, c.Params, []string{"IPTABLES=" + backend})
	cmd.Stdin = bytes.NewReader(script)
	var rules, complaint bytes.Buffer
	cmd.Stdout, cmd.Stderr = &rules, &complaint
	if err := cmd.Run(); err != nil {
		return Report{}, fmt.Errorf("put up the walls with %s: %w: %s", backend, err, strings.TrimSpace(complaint.String()))
	}
	version := exec.CommandContext(ctx, "/usr/sbin/"+backend, "-V")
	version.Env = scriptEnv
	said, err := version.Output()
	if err != nil {
		return Report{}, fmt.Errorf("ask %s for its version: %w", backend, err)
	}
	return Report{
		Version:      strings.TrimSpace(string(said)),
		Rules:        strings.Split(strings.TrimSpace(rules.String()), "\n"),
		ScriptSHA256: hex.EncodeToString(digest[:]),
		Backend:      backend,
	}, nil
}

// tryAsOther attacks the walls as a user that is not the gate's: a TCP connection
// must land at the gate's own door, UDP and ICMP must be refused.
func (s *server) tryAsOther(canary netip.AddrPort) (tried Tried, err error) {
	conn, err := net.DialTimeout("tcp4", canary.String(), s.probe)
	if err != nil {
		return tried, fmt.Errorf("a connection was not caught: %w", err)
	}
	defer conn.Close()
	tried.TCP++
	if err := s.catch.SetDeadline(time.Now().Add(s.probe)); err != nil {
		return tried, err
	}
	caught, err := s.catch.AcceptTCP()
	if err != nil {
		return tried, errors.New("a connection was not caught: it went past the gate")
	}
	defer reset(caught)
	target, err := originalTarget(caught)
	if err != nil {
		return tried, err
	}
	if target != canary {
		return tried, fmt.Errorf("a caught connection lost its target: want %s, got %s", canary, target)
	}
	if err := s.catch.SetDeadline(time.Time{}); err != nil {
		return tried, err
	}
	if err := sendDatagram(canary, 0, &tried.UDP); err == nil {
		return tried, errors.New("a UDP packet was let through")
	}
	// Ping sockets need no capability, so that dropping NET_RAW does not stop ICMP.
	if err := sendDatagram(canary, unix.IPPROTO_ICMP, &tried.ICMP); err == nil {
		return tried, errors.New("an ICMP packet was let through")
	}
	// The hypervisor is reached past every namespace; only seccomp keeps it away.
	if fd, err := unix.Socket(unix.AF_VSOCK, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err == nil {
		unix.Close(fd)
		return tried, errors.New("a socket to the hypervisor (AF_VSOCK) can be opened")
	}
	return tried, nil
}

// sendDatagram sends one packet by UDP (protocol 0) or ICMP and gives the error
// with which the kernel refused it. A kernel that offers the agent no such socket
// has refused too, and has counted no packet.
func sendDatagram(to netip.AddrPort, protocol int, sent *int64) error {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, protocol)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	*sent++
	echo := []byte{8, 0, 0, 0, 0, 0, 0, 1} // an echo request; the kernel fills in the rest
	return unix.Sendto(fd, echo, 0, &unix.SockaddrInet4{Port: int(to.Port()), Addr: to.Addr().As4()})
}

// drop gives up every capability and root itself, in all threads, for good.
func drop() error {
	if err := unix.Prctl(unix.PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0); err != nil {
		return fmt.Errorf("set no-new-privileges: %w", err)
	}
	for capability := range uintptr(unix.CAP_LAST_CAP + 1) {
		_, _, errno := syscall.AllThreadsSyscall(unix.SYS_PRCTL, unix.PR_CAPBSET_DROP, capability, 0)
		if errno != 0 && errno != unix.EINVAL { // EINVAL: a capability that this kernel does not have
			return fmt.Errorf("drop capability %d: %w", capability, errno)
		}
	}
	if err := syscall.Setgroups(nil); err != nil {
		return fmt.Errorf("drop groups: %w", err)
	}
	if err := syscall.Setresgid(GID, GID, GID); err != nil {
		return fmt.Errorf("set group: %w", err)
	}
	// From root to another user in all three ids: the kernel clears the permitted
	// and effective sets (capabilities(7)).
	if err := syscall.Setresuid(UID, UID, UID); err != nil {
		return fmt.Errorf("set user: %w", err)
	}
	// Engines before 20.10.14 left capabilities inheritable (CVE-2022-24769).
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var none [2]unix.CapUserData
	_, _, errno := syscall.AllThreadsSyscall(unix.SYS_CAPSET, uintptr(unsafe.Pointer(&header)), uintptr(unsafe.Pointer(&none[0])), 0)
	if errno != 0 {
		return fmt.Errorf("drop capabilities: %w", errno)
	}
	return nil
}

// powerless proves that what was dropped is gone: by what the kernel says of every
// thread, and by trying to open the walls.
func powerless(ctx context.Context, backend string) error {
	threads, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return err
	}
	for _, t := range threads {
		status, err := os.ReadFile("/proc/self/task/" + t.Name() + "/status")
		if errors.Is(err, os.ErrNotExist) {
			continue // the thread has ended
		}
		if err != nil {
			return err
		}
		for line := range strings.Lines(string(status)) {
			name, value, _ := strings.Cut(line, ":")
			value = strings.TrimSpace(value)
			if strings.HasPrefix(name, "Cap") && strings.Trim(value, "0") != "" {
				return fmt.Errorf("the gate kept a capability: %s %s", name, value)
			}
			if name == "NoNewPrivs" && value != "1" {
				return errors.New("the gate may still gain privileges")
			}
		}
	}
	if syscall.Setuid(0) == nil {
		return errors.New("the gate could become root again")
	}
	// The program that did it a moment ago: another could fail for lack of a kernel's half.
	change := exec.CommandContext(ctx, "/usr/sbin/"+backend, "-I", "OUTPUT", "-j", "ACCEPT")
	// Not at the lock of the legacy tables, which is root's, but at the tables themselves.
	change.Env = append(slices.Clone(scriptEnv), "XTABLES_LOCKFILE=/dev/shm/gate.lock")
	if change.Run() == nil {
		return errors.New("the gate could change a rule after it had dropped its privileges")
	}
	return nil
}

// tryAsGate checks what the gate's own user can reach: the relay and nothing
// beside it, and names only through the gate itself.
func (s *server) tryAsGate(ctx context.Context, c Config) error {
	// In a box without a link the gate's user is nobody special, and what it opens is
	// caught like everybody's.
	if !c.Relay.IsValid() {
		return s.tryOwnWays(ctx, c)
	}
	if conn, err := net.DialTimeout("tcp4", c.Canary.String(), s.probe); err == nil {
		conn.Close()
		return fmt.Errorf("the walls leave %s open beside the relay", c.Canary)
	}
	return s.tryOwnWays(ctx, c)
}

// tryOwnWays checks that the relay answers, and that names are asked of the gate. A relay
// over the link is tried by av, for that begins after the report.
func (s *server) tryOwnWays(ctx context.Context, c Config) error {
	if !c.Stream {
		conn, err := s.relay.dial(ctx)
		if err != nil {
			return fmt.Errorf("the relay cannot be reached: %w", err)
		}
		conn.Close()
	}
	// The namespace's own resolver file is used, as the agent's programs use it.
	ctx, cancel := context.WithTimeout(ctx, s.probe)
	defer cancel()
	addresses, err := new(net.Resolver).LookupNetIP(ctx, "ip4", "walls.av.internal.")
	if err == nil && !pool.Contains(addresses[0].Unmap()) {
		err = fmt.Errorf("answered from elsewhere: %s", addresses[0])
	}
	if err != nil {
		return fmt.Errorf("names are not asked of the gate: %w", err)
	}
	return nil
}
