package main

import (
	"errors"
	"fmt"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/scripts/fakenet"
	"github.com/av-project/av/scripts/require"
)

// The walls let one user through to the relay. That root in a box cannot be that user is in
// the attack table; here it is, by the power of the host's root, and gets nothing from it.
func TestGatesUserGetsNothingFromTheRelayWithoutTheRunsCertificate(t *testing.T) {
	t.Parallel()
	require.Program(t, "nsenter")
	require.Program(t, "setpriv")
	dir, env, av := home(t)
	box := start(t, av, withRelay(env, "bridge"), "echo ready; read line")
	defer box.stdin.Close()
	owner, err := netiso.KnownOwner(dir)
	if err != nil {
		t.Fatal(err)
	}
	gate := docker(t, "ps", "-q", "--filter", "label=av.owner="+owner, "--filter", "name=-gate$")
	pid := docker(t, "inspect", "-f", "{{.State.Pid}}", gate)
	network := docker(t, "network", "ls", "-q", "--filter", "label=av.owner="+owner)
	gateway := docker(t, "network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", network)
	listening, err := exec.Command("ss", "-Hltn", "src", gateway).Output()
	if err != nil || len(strings.Fields(string(listening))) < 4 {
		t.Fatalf("find the relay at %s: %v: %s", gateway, err, listening)
	}
	relay := strings.Fields(string(listening))[3]
	beside := listenOnHost(t)
	as := func(uid int, args ...string) string {
		t.Helper()
		out, _ := exec.Command("nsenter", append([]string{"--net=/proc/" + pid + "/ns/net", "setpriv", fmt.Sprintf("--reuid=%d", uid), "--clear-groups"}, args...)...).CombinedOutput()
		return strings.TrimSpace(string(out))
	}
	curl := []string{"curl", "-sS", "-m", "10", "-o", "/dev/null", "-w", "%{http_code} %{http_connect}", "--proxy-insecure"}
	// It gets as far as a handshake, so that the walls are not what is tried here, and no further.
	if got := as(netiso.GateUID, append(curl, "-x", "https://"+relay, "https://nowhere.test/")...); !strings.HasSuffix(got, "000 407") {
		t.Errorf("the gate's user without a certificate: %q", got)
	}
	if got := as(netiso.GateUID, append(curl, "-x", "http://"+relay, "https://nowhere.test/")...); strings.Contains(got, "200") {
		t.Errorf("the gate's user without TLS: %q", got)
	}
	// Another user is not even let through to that.
	if got := as(1234, append(curl, "-x", "https://"+relay, "https://nowhere.test/")...); strings.HasSuffix(got, "407") {
		t.Errorf("another user reached the relay: %q", got)
	}
	marker := newMarker()
	as(netiso.GateUID, "curl", "-sS", "-m", "5", "--noproxy", "*", fmt.Sprintf("http://%s:%d/%s", gateway, beside.tcp, marker))
	as(netiso.GateUID, "bash", "-c", fmt.Sprintf("echo %s >/dev/udp/%s/%d", marker, gateway, beside.udp))
	beside.settle(t)
	if seen := beside.seen(marker); seen != "" {
		t.Errorf("the gate's user reached the host beside the relay: %s", seen)
	}
	// Control: the same from the host itself is seen.
	if out, err := exec.Command("bash", "-c", fmt.Sprintf("echo %s >/dev/tcp/%s/%d", marker, gateway, beside.tcp)).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	until(t, "the control", 10*time.Second, func() bool { return beside.seen(marker) != "" })
}

// What root makes in the workspace, or of a file of the user's, is the user's when the run
// has ended, and runs with nobody's rights, even where it has given the folder itself to
// root; what it made links to is not touched.
func TestFilesThatRootMadeInTheWorkspaceAreGivenToItsOwner(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	outside := filepath.Join(t.TempDir(), "root's own")
	if err := os.WriteFile(outside, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	tool := filepath.Join(t.TempDir(), "tool")
	if err := errors.Join(os.WriteFile(tool, nil, 0o755), os.Chown(tool, 1001, 1001)); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(av, "run", "--isolation=container", "--root", "--mount", tool+":/tool", "--", "bash", "-c",
		`id -u; mkdir -p a/b && touch f a/b/g && cp /bin/true s && chmod 6755 s && chown 33:33 f && chmod 700 a && ln -s "$0" link
		cat s >/tool; chown 0:0 /tool; chmod 4755 /tool; chown 0:0 . && ls -lnd . && ls -ln && ls -ln /tool`, outside)
	cmd.Env, cmd.Dir = env, t.TempDir()
	if err := os.Chown(cmd.Dir, 1000, 1000); err != nil {
		t.Fatal(err)
	}
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.HasPrefix(string(out), "0\n") {
		t.Fatalf("%v: %s", err, out)
	}
	// Control: in the box they were root's.
	for _, want := range []string{"-rwsr-sr-x 1  0  0 ", "-rwsr-xr-x 1 0 0 ", "drwxr-xr-x 3 0 0 "} {
		if !strings.Contains(string(out), want) {
			t.Errorf("the box does not show %q:\n%s", want, out)
		}
	}
	if info, err := os.Stat(tool); err != nil || info.Mode() != 0o755 || info.Sys().(*syscall.Stat_t).Uid != 1001 {
		t.Errorf("the file that was mounted: %v, %+v", err, info)
	}
	list, err := exec.Command("find", cmd.Dir, outside, "-printf", "%P %U:%G %m\n").Output()
	if err != nil {
		t.Fatal(err)
	}
	if !strings.HasPrefix(string(list), " 1000:1000 755\n") {
		t.Errorf("the folder itself:\n%s", list)
	}
	for _, want := range []string{"f 1000:1000 ", "a 1000:1000 700\n", "a/b/g 1000:1000 ", "s 1000:1000 755\n", "link 1000:1000 ", "\n 0:0 600\n"} {
		if !strings.Contains(string(list), want) {
			t.Errorf("no %q in\n%s", want, list)
		}
	}
}

// A package manager is root, becomes a user of its own to fetch, makes files of many owners
// and users, and starts what a package brings along.
func TestAptInstallsAsRootInTheBox(t *testing.T) {
	t.Parallel()
	require.Program(t, "dpkg-deb")
	r := newReach(t, "nothing.test")
	r.write(r.hosts, fmt.Sprintf("127.0.0.1 localhost\n%s deb.debian.org\n", fakenet.DNSAddr))
	mirror, tree := t.TempDir(), filepath.Join(t.TempDir(), "tree")
	build := func(script string) string {
		t.Helper()
		cmd := exec.Command("sh", "-ec", script)
		cmd.Dir = mirror
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	r.write(filepath.Join(mirror, "control"), "Package: av-test\nVersion: 1.0\nArchitecture: all\nMaintainer: a <a@a.test>\nDescription: a test\n")
	r.write(filepath.Join(mirror, "postinst"), "#!/bin/sh\nset -e\nuseradd --system av-test-daemon\nchown av-test-daemon:nogroup /usr/bin/av-test-program\nchmod 4755 /usr/bin/av-test-program\n")
	build(`mkdir -p ` + tree + `/DEBIAN ` + tree + `/usr/bin; cp control postinst ` + tree + `/DEBIAN; chmod 755 ` + tree + `/DEBIAN/postinst
		printf '#!/bin/sh\necho installed and run\n' >` + tree + `/usr/bin/av-test-program; chmod 755 ` + tree + `/usr/bin/av-test-program
		dpkg-deb --root-owner-group --build ` + tree + ` av-test.deb
		{ cat control; echo "Filename: ./av-test.deb"; echo "Size: $(stat -c %s av-test.deb)"; echo "SHA256: $(sha256sum av-test.deb | cut -d' ' -f1)"; } >Packages
		printf 'Date: %s\nSHA256:\n %s %s Packages\n' "$(LC_ALL=C date -u '+%a, %d %b %Y %H:%M:%S UTC')" "$(sha256sum Packages | cut -d' ' -f1)" "$(stat -c %s Packages)" >Release`)
	ln, err := r.internet.Listen(netip.AddrPortFrom(fakenet.DNSAddr, 80))
	if err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: http.StripPrefix("/debian", http.FileServer(http.Dir(mirror))), ReadHeaderTimeout: time.Minute}
	served := make(chan struct{})
	go func() { defer close(served); _ = server.Serve(ln) }()
	t.Cleanup(func() { server.Close(); <-served })
	const install = `echo "deb [trusted=yes] http://deb.debian.org/debian ./" >/tmp/list
		apt="apt-get -q -o Dir::Etc::sourcelist=/tmp/list -o Dir::Etc::sourceparts=- -o APT::Update::Error-Mode=any"
		$apt update && $apt install -y av-test; av-test-program; stat -c '%U %a' /usr/bin/av-test-program; ls -ln /var/cache/apt/archives/partial -d`
	out, _ := r.box(install, "--root", "--preset", "debian")
	if !strings.Contains(out, "installed and run\n") || !strings.Contains(out, "av-test-daemon 4755\n") || strings.Contains(out, "W: ") {
		t.Errorf("apt says\n%s", out)
	}
	// Control: without --root the same is refused.
	out, _ = r.box(install+"; true", "--preset", "debian")
	if strings.Contains(out, "installed and run\n") {
		t.Errorf("an ordinary user installed it:\n%s", out)
	}
}

// Without --read-only root in the box writes wherever it likes in it, which is the control.
func TestReadOnlyBoxKeepsTheImagesFilesEvenFromRoot(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	run := func(flags ...string) string {
		t.Helper()
		const script = `for f in /usr/bin/planted /etc/planted /etc/passwd /planted /tmp/f /var/tmp/f /run/f ~/f /workspace/f /dev/shm/f; do
			if { echo >>"$f"; } 2>/dev/null; then echo "$f written"; else echo "$f kept"; fi; done
			printf '#!/bin/sh\necho executed' >/tmp/program; chmod +x /tmp/program; /tmp/program; git config --get safe.directory; id -un`
		cmd := exec.Command(av, append(append([]string{"run", "--quiet", "--isolation=container"}, flags...), "--", "sh", "-c", script)...)
		cmd.Env, cmd.Dir = env, t.TempDir()
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	const rest = "/tmp/f written\n/var/tmp/f written\n/run/f written\n/home/agent/f written\n/workspace/f written\n/dev/shm/f written\nexecuted\n*\n"
	const kept = "/usr/bin/planted kept\n/etc/planted kept\n/etc/passwd kept\n/planted kept\n" + rest + "root\n"
	for _, flags := range [][]string{{"--read-only", "--root"}, {"--read-only"}} {
		if got := run(flags...); got != kept {
			t.Errorf("%v:\n%s", flags, got)
		}
	}
	if got := run("--root"); got != strings.ReplaceAll(kept, "kept", "written") {
		t.Errorf("the control:\n%s", got)
	}
}

// Without --root the command has no capability, but where root runs av in a folder of root's
// it is root by number, and so is whose right to run as its owner it leaves.
func TestCommandThatIsRootByNumberLeavesNoRightToBeRoot(t *testing.T) {
	t.Parallel()
	_, env, av := home(t)
	cmd := exec.Command(av, "run", "--isolation=container", "--", "sh", "-c", "cp /bin/true s && chmod 6755 s && ls -ln s")
	cmd.Env, cmd.Dir = env, t.TempDir()
	out, err := cmd.CombinedOutput()
	if err != nil || !strings.Contains(string(out), "-rwsr-sr-x 1 0 0 ") {
		t.Fatalf("control: in the box it is no such file: %v: %s", err, out)
	}
	if info, err := os.Stat(filepath.Join(cmd.Dir, "s")); err != nil || info.Mode() != 0o755 {
		t.Errorf("%v, %v", info.Mode(), err)
	}
}
