package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/av-project/av/images"
	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/scripts/fakenet"
	"github.com/av-project/av/scripts/require"
)

// otherEngine is a Docker daemon that a test starts for itself, set up as those of other people are.
type otherEngine struct {
	name   string
	what   string // as the page says it
	legacy bool   // all that is called iptables is the older one, and a gate knows no other
	ipv6   bool
	newer  bool // a newer release than this machine's
	flags  []string
}

var otherEngines = []otherEngine{
	{name: "legacy", what: "iptables-legacy on the host and in the box, with the userland proxy", legacy: true},
	{name: "ipv6", what: "Docker Engine 26.1, iptables-nft, IPv6 on (`--ipv6 --fixed-cidr-v6`), without the userland proxy", ipv6: true, newer: true,
		flags: []string{"--ipv6", "--fixed-cidr-v6", "fd00:a1::/64", "--userland-proxy=false"}},
}

// What the test tells itself, when it runs once more beside such a daemon.
const (
	engineVariable = "AV_TEST_ENGINE"
	folderVariable = "AV_TEST_ENGINE_FOLDER"
	builtVariable  = "AV_TEST_BUILT"
)

// beside runs the test that calls it once more, in namespaces of its own: network, mounts, processes. The daemon that is
// started there has its own rules, its own bridges, its own /run and its own data, and this machine's engine sees
// nothing of it. All of it ends with the namespace's first process, and that one with us, however we end.
func (o otherEngine) beside(t *testing.T) {
	t.Helper()
	require.Root(t)
	require.Docker(t)
	require.Net(t)
	require.Dockerd(t)
	for _, program := range []string{"unshare", "nsenter", "ip"} {
		require.Program(t, program)
	}
	// t.TempDir is too long a path for the unix sockets that lie deep in it.
	dir, err := os.MkdirTemp("/tmp", "av-engine-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { clearEngine(t, dir) })
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	path := os.Getenv("PATH")
	if o.legacy {
		path = legacyTools(t, filepath.Join(dir, "tools")) + ":" + path
	}
	if o.newer {
		path = strings.Join(append(require.NewerEngine(t), path), ":")
	}
	began := time.Now()
	saveImages(t, filepath.Join(dir, "images.tar"), filepath.Join(bin, "av"))
	saved := time.Since(began)
	for name, content := range map[string]string{
		"resolv.conf": "nameserver " + fakenet.DNSAddr.String() + "\n",
		// The first process takes in those that lose their parent, as an init does.
		"init": `set -e
mount -t tmpfs none /run
mkdir -p /run/lock "$1/tmp"
mount --bind "$1/resolv.conf" /etc/resolv.conf
ip link set lo up
shift
"$@"
exit $?
`} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	test, _, _ := strings.Cut(t.Name(), "/")
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child", "--mount-proc",
		"bash", filepath.Join(dir, "init"), dir, self, "-test.run", "^"+test+"$", "-test.v", "-test.count=1", "-test.timeout=10m")
	cmd.Env = append(os.Environ(), engineVariable+"="+o.name, folderVariable+"="+dir, builtVariable+"="+bin,
		"TMPDIR="+filepath.Join(dir, "tmp"), "PATH="+path, "DOCKER_HOST=")
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	// The signal comes when the thread ends that has started it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	began = time.Now()
	if err := cmd.Run(); err != nil || !strings.Contains(out.String(), "--- PASS: "+test) {
		log, _ := os.ReadFile(filepath.Join(dir, "dockerd.log"))
		t.Fatalf("on an engine with %s: %v\n%s\nthe daemon said last:\n%s", o.what, err, &out, log[max(0, len(log)-2000):])
	}
	t.Logf("its images took %s, all else %s\n%s", saved.Round(time.Second), time.Since(began).Round(time.Second), &out)
}

// besides tells which daemon we are beside, if we are the test that was run once more.
func besides(t *testing.T) (o otherEngine, dir string, yes bool) {
	t.Helper()
	name := os.Getenv(engineVariable)
	if name == "" {
		return o, "", false
	}
	for _, o := range otherEngines {
		if o.name == name {
			return o, os.Getenv(folderVariable), true
		}
	}
	t.Fatalf("there is no engine %q", name)
	return o, "", false
}

// legacyTools is a folder in which the names of iptables are those of the older one.
func legacyTools(t *testing.T, dir string) string {
	t.Helper()
	if err := os.Mkdir(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	for _, family := range []string{"iptables", "ip6tables"} {
		for _, verb := range []string{"", "-save", "-restore"} {
			program, err := exec.LookPath(family + "-legacy" + verb)
			if err == nil {
				err = os.Symlink(program, filepath.Join(dir, family+verb))
			}
			if err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}

// saveImages writes what the attacks need of images to a file.
func saveImages(t *testing.T, file, av string) {
	t.Helper()
	docker(t, "save", "-o", file, require.Image, attacker(t), gateTag(t, av))
}

// gateTag is the image of av's gate, which is built if it is not there.
func gateTag(t *testing.T, av string) string {
	t.Helper()
	e, err := engine.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	tag, err := images.Builder{Engine: e, Program: av, Say: func(text string) { t.Log(text) }}.Gate(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return tag
}

// start starts the daemon in the namespaces that we are in, and gives it its images. ends makes it end as a user would.
func (o otherEngine) start(t *testing.T, dir string) (ends func()) {
	t.Helper()
	ends = o.daemon(t, dir)
	version := docker(t, "version", "--format", "{{.Server.Version}}")
	if major, err := strconv.Atoi(strings.SplitN(version, ".", 2)[0]); o.newer && (err != nil || major < 26) {
		t.Fatalf("the daemon is no newer one: %s", version)
	}
	t.Logf("the daemon is of version %s", version)
	file := filepath.Join(dir, "images.tar")
	docker(t, "load", "-i", file)
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if o.legacy {
		// The gate prefers nft where the kernel has it, as this one may.
		tag := gateTag(t, filepath.Join(os.Getenv(builtVariable), "av"))
		build := exec.Command("docker", "build", "-q", "--network", "none", "-t", tag, "-")
		build.Stdin = strings.NewReader("FROM " + tag + "\nRUN printf '#!/bin/sh\\necho no nft >&2\\nexit 1\\n' >/usr/sbin/xtables-nft-multi\n")
		if out, err := build.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	return ends
}

// daemon starts the daemon alone.
func (o otherEngine) daemon(t *testing.T, dir string) (ends func()) {
	t.Helper()
	log, err := os.OpenFile(filepath.Join(dir, "dockerd.log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	args := append([]string{"--data-root", filepath.Join(dir, "data"), "--exec-opt", "native.cgroupdriver=cgroupfs", "--cgroup-parent", "/" + filepath.Base(dir)}, o.flags...)
	cmd := exec.Command("dockerd", args...)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = cmd.Wait() }()
	t.Cleanup(func() { _ = cmd.Process.Kill(); <-ended })
	until(t, "the daemon", 2*time.Minute, func() bool {
		select {
		case <-ended:
			t.Fatal("the daemon has ended")
		default:
		}
		return exec.Command("docker", "version").Run() == nil
	})
	return func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-ended
	}
}

// clearEngine removes what does not end by itself: folders, and the groups that its containers were in.
func clearEngine(t *testing.T, dir string) {
	t.Helper()
	groups, err := filepath.Glob("/sys/fs/cgroup/*/" + filepath.Base(dir))
	if err != nil {
		t.Error(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for _, group := range append(groups, "/sys/fs/cgroup/"+filepath.Base(dir)) {
		// Its processes may be dying still.
		for removeGroup(group) != nil && ctx.Err() == nil {
			time.Sleep(50 * time.Millisecond)
		}
	}
	if err := errors.Join(ctx.Err(), os.RemoveAll(dir)); err != nil {
		t.Errorf("clear what a daemon left in %s: %v", dir, err)
	}
}

// removeGroup removes a control group and those within.
func removeGroup(group string) error {
	var folders []string
	err := filepath.WalkDir(group, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			folders = append(folders, path)
		}
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for i := len(folders) - 1; i >= 0; i-- {
		err = errors.Join(err, os.Remove(folders[i]))
	}
	return err
}

// withIPv6 is a control that only an engine with IPv6 can have.
const withIPv6 = "a container on a network with IPv6"

// TestGoldenNothingLeavesTheBoxOnOtherEngines tries the whole table as root in boxes of daemons that are set up in other
// ways than this machine's, with the same controls; and on one of them each wall without the other.
func TestGoldenNothingLeavesTheBoxOnOtherEngines(t *testing.T) {
	t.Parallel()
	if o, dir, yes := besides(t); yes {
		ends := o.start(t, dir)
		if o.ipv6 { // once is enough, and this one is done sooner
			o.restarts(t, dir, ends)
		}
		o.tryAll(t)
		return
	}
	results := make([]string, len(otherEngines))
	t.Run("beside", func(t *testing.T) {
		for i, o := range otherEngines {
			results[i] = "**LEAKED**, or could not be tried"
			t.Run(o.name, func(t *testing.T) {
				t.Parallel() // most of the time is spent in waiting for what must not come
				o.beside(t)
				results[i] = blocked
			})
		}
	})
	compareRegion(t, enginesBegin, enginesEnd, renderEngines(results))
}

func (o otherEngine) tryAll(t *testing.T) {
	w := newAttackWorld(t)
	if o.ipv6 {
		w.six, _ = controlNetwork(t, "--ipv6", "--subnet", "fd00:a2::/64")
	}
	if o.legacy {
		for _, program := range []string{"iptables-nft-save", "iptables"} {
			rules, err := exec.Command(program, map[bool][]string{true: {"-S"}}[program == "iptables"]...).CombinedOutput()
			if err != nil || strings.Contains(string(rules), "DOCKER-USER") != (program == "iptables") {
				t.Fatalf("the daemon uses other tables than it should: %s: %v: %s", program, err, rules)
			}
		}
	}
	w.haveGuests(t)
	var all []attack
	groups := map[string][]int{}
	for _, a := range attackTable() {
		if a.lacks != nil && a.lacks() != "" {
			t.Logf("%s, %s with %s: not tried: %s", a.id, a.try, a.with, a.lacks())
			continue
		}
		if a.control == "" {
			a.control = ordinary
		}
		if a.id == "A9" && o.ipv6 {
			a.control = withIPv6
		}
		groups[a.control] = append(groups[a.control], len(all))
		all = append(all, a)
	}
	t.Run("boxes", func(t *testing.T) {
		for _, who := range roots() {
			t.Run(who.name, func(t *testing.T) {
				t.Parallel()
				for i, got := range w.fromBox(t, all, who.uid, "--relay", who.relay) {
					if got != "" {
						t.Errorf("%s, %s with %s: LEAKED, %s\n\t%s", all[i].id, all[i].try, all[i].with, got, all[i].line)
					}
				}
			})
		}
	})
	if o.legacy {
		eachWallStands(t, w)
	}
	t.Run("controls", func(t *testing.T) {
		for name, group := range groups {
			t.Run(name, func(t *testing.T) {
				t.Parallel()
				w.fromControl(t, name, all, group)
			})
		}
	})
}

// restarts ends the daemon while a run is under way, as an upgrade of it does: the run says so and ends, and what it
// could not take down then is gone with one prune when the daemon is back.
func (o otherEngine) restarts(t *testing.T, dir string, ends func()) {
	home, env, av := home(t)
	r := begin(t, av, env, "run", "--isolation=container", "--image", attacker(t), "--", "bash", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done")
	until(t, "the box", 3*time.Minute, func() bool { return strings.Contains(r.out.String(), "ready") })
	ends()
	if err := r.cmd.Wait(); err == nil || strings.Contains(r.out.String(), "panic") {
		t.Errorf("the run ended with %v: %s", err, r.out)
	}
	t.Logf("the run says: %s", r.out)
	o.daemon(t, dir)
	avOutput(t, av, env, "prune")
	if left := leftOf(home); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
	after := begin(t, av, env, "run", "--isolation=container", "--image", attacker(t), "--", "true")
	if err := after.cmd.Wait(); err != nil {
		t.Errorf("control: afterwards runs run: %v: %s", err, after.out)
	}
}

// roots are those of the users who are root, from each kind of box.
func roots() []user {
	return slices.DeleteFunc(slices.Clone(users), func(u user) bool { return u.uid != 0 })
}

// renderEngines writes the lines of the daemons.
func renderEngines(results []string) string {
	var out strings.Builder
	out.WriteString("\n| a daemon with | tried | |\n|---|---|---|\n")
	for i, o := range otherEngines {
		tried := "every line above"
		for _, u := range roots() {
			tried += ", " + u.name
		}
		if o.legacy {
			tried += "; and one wall without the other"
		}
		if o.ipv6 {
			tried += "; A9 gets through there in " + withIPv6
		}
		fmt.Fprintf(&out, "| %s | %s | %s |\n", o.what, tried, results[i])
	}
	out.WriteString("\n")
	return out.String()
}
