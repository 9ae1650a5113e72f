package hostpath

import (
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

func TestPathThatGivesMoreThanItsFilesIsRefused(t *testing.T) {
	h := Host{AVHome: "/home/me/.av", Homes: []string{"/home/me", "/root"}}
	env := map[string]string{"SSH_AUTH_SOCK": "/tmp/ssh-XYZ/agent.1", "DOCKER_HOST": "unix:///home/me/sockets/docker.sock", "DBUS_SESSION_BUS_ADDRESS": "unix:path=/srv/bus/socket,guid=1"}
	for _, name := range agentVariables {
		h.addSocket(env[name])
	}
	h = h.With(h.AVHome, "unix:///srv/engine/docker.sock")
	for real, want := range map[string]string{
		"/home/me/project": "", "/srv/data": "", "/tmp/x": "", "/home/me/.config/app": "", "/home/me/project/.npmrc": "", "/home/me/.claude/skills": "", "/opt/tool": "",
		"/": "whole file system", "/home/me/.av": "vault", "/home/me/.av/runs": "vault", "/home/me": "vault", "/home": "vault",
		"/tmp/ssh-XYZ": "socket", "/tmp": "socket", "/home/me/sockets": "socket", "/srv/bus/socket": "socket", "/srv/engine": "socket", "/srv": "socket",
		"/proc/1": "/proc", "/sys": "/sys", "/dev/shm": "/dev", "/run/user/1000": "/run", "/var": "of the host", "/usr": "of the host", "/etc/ssl": "/etc",
		"/var/lib/docker/volumes": "docker", "/var/lib/containerd": "containerd", "/tmp/.X11-unix": "X11",
		"/home/me/.ssh": "keys", "/home/me/.ssh/id_ed25519": "keys", "/home/you/.ssh": "keys", "/home/me/.gnupg": "keys", "/home/me/.aws/credentials": "keys",
		"/home/me/.config/gcloud": "keys", "/home/me/.config": "keys", "/home/me/.docker": "keys", "/home/me/.docker/config.json": "keys", "/home/me/.kube": "keys",
		"/home/me/.netrc": "keys", "/home/me/.npmrc": "keys", "/home/me/.claude": "keys", "/home/me/.codex/auth.json": "keys", "/root/.ssh": "keys", "/root": "keys",
	} {
		err := h.Judge(Mount, real)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", real, err, want)
		}
	}
}

// Root, by sudo in somebody's home for one, has another HOME than the one that it is in.
func TestKeysOfOtherUsersStayOutOfTheBox(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{"alice/.ssh", "alice/project", "www/html"} {
		if err := os.MkdirAll(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	passwd := "root:x:0:0:root:/root:/bin/bash\nnobody:x:1:1::/:/x\nalice:x:1000:1000:Alice,,,:" + base + "/alice:/bin/sh\nwww:x:33:33:www:" + base + "/www/:/usr/sbin/nologin\nbroken\nrel:x:1:1::home:/x\n"
	h := Host{AVHome: "/home/me/.av", Others: homesIn(passwd)}
	if want := []string{"/root", base + "/alice", base + "/www"}; !slices.Equal(h.Others, want) {
		t.Fatalf("%v, want %v", h.Others, want)
	}
	for name, sound := range map[string]bool{"alice": false, "": false, "alice/.ssh": false, "alice/project": true, "www": true, "www/html": true} {
		if err := h.Judge(Workspace, filepath.Join(base, name)); (err == nil) != sound {
			t.Errorf("%q: %v", name, err)
		}
	}
}

func TestPlaceInTheBoxThatIsTakenIsRefused(t *testing.T) {
	for target, sound := range map[string]bool{
		"/data": true, "/home/agent/.cache/go": true, "/etc/app": true, "/srv/x/y": true, "/tmp/x": true,
		"": false, "data": false, "./data": false, "/data/": false, "/data/../etc": false, "//data": false, "/data\n": false,
		"/": false, "/proc": false, "/proc/self": false, "/sys": false, "/dev/shm": false, "/run/x": false, "/etc": false, "/etc/av": false, "/etc/av/x": false,
		"/etc/ssl": false, "/etc/ssl/certs/ca-certificates.crt": false, "/etc/passwd": false, "/etc/hosts": false, "/etc/resolv.conf": false,
		"/home": false, "/home/agent": false, "/workspace": false, "/workspace/x": false, "/sbin": false,
	} {
		if err := CheckTarget(target); (err == nil) != sound {
			t.Errorf("%q: %v", target, err)
		}
	}
}

func TestMountsAreReadAsTheyAreWritten(t *testing.T) {
	for text, want := range map[string]string{
		"/a:/data": "/a /data false", "/a:/data:ro": "/a /data true", "/a:/data:rw": "/a /data false", "./x:/data": "/here/x /data false", "x:/data": "/here/x /data false",
		"../x:/data": "/x /data false", "~/x:/data:ro": "/home/me/x /data true", "/a/../b:/data": "/b /data false",
		"": "", "/a": "", ":/data": "", "/a:": "", "/a:/data:": "", "/a:/data:z": "", "/a:/data:ro:ro": "", "/a:data": "", "/a:/workspace": "", "/a\x00:/data": "",
	} {
		source, target, readOnly, err := ParseMount(text, "/here", "/home/me")
		got := ""
		if err == nil {
			got = source + " " + target + " " + map[bool]string{true: "true", false: "false"}[readOnly]
		}
		if got != want {
			t.Errorf("%q: %q, %v; want %q", text, got, err, want)
		}
	}
	at := func(target string) MountAt { return MountAt{Target: target} }
	for _, c := range []struct {
		mounts []MountAt
		sound  bool
	}{
		{nil, true}, {[]MountAt{at("/a"), at("/b"), at("/ab")}, true},
		{[]MountAt{at("/a"), at("/a")}, false}, {[]MountAt{at("/a"), at("/a/b")}, false}, {[]MountAt{at("/a/b"), at("/c"), at("/a")}, false},
	} {
		if err := CheckTogether(c.mounts); (err == nil) != c.sound {
			t.Errorf("%v: %v", c.mounts, err)
		}
	}
}

func TestLinksAndSocketsAreNoSources(t *testing.T) {
	base := t.TempDir()
	folder := filepath.Join(base, "folder")
	if err := os.MkdirAll(filepath.Join(folder, "in"), 0o755); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(folder, "in", "file")
	if err := os.WriteFile(file, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": "folder/in/file", "way": "folder", "gone": "nothing"} {
		if err := os.Symlink(target, filepath.Join(base, name)); err != nil {
			t.Fatal(err)
		}
	}
	listener, err := net.Listen("unix", filepath.Join(base, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := unix.Mkfifo(filepath.Join(base, "pipe"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		file: "", folder: "", "/": "",
		filepath.Join(base, "link"): "symbolic link", filepath.Join(base, "way", "in"): "symbolic link", filepath.Join(base, "way"): "symbolic link",
		filepath.Join(base, "gone"): "symbolic link", filepath.Join(base, "none"): "is not there", filepath.Join(base, "socket"): "socket", filepath.Join(base, "pipe"): "neither",
		"/dev/null": "neither",
	} {
		p, err := Pin(name)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %+v, %v", name, p, err)
		}
	}
	_, err = Pin(filepath.Join(base, "way", "in"))
	if hint := err.(interface{ Hint() string }).Hint(); !strings.Contains(hint, filepath.Join(folder, "in")) {
		t.Errorf("the hint does not name the folder that is meant: %s", hint)
	}
}

func TestWhatIsMountedIsHeldAgainstWhatWasLookedAt(t *testing.T) {
	base := t.TempDir()
	for _, name := range []string{"one", "two"} {
		if err := os.Mkdir(filepath.Join(base, name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	one, two := filepath.Join(base, "one"), filepath.Join(base, "two")
	p, err := Pin(one)
	if err != nil {
		t.Fatal(err)
	}
	proof := Proof{Target: one, Dev: p.Dev, Ino: p.Ino}
	if err := Prove([]Proof{proof}); err != nil {
		t.Fatalf("the same folder: %v", err)
	}
	writable := proof
	writable.ReadOnly = true
	if err := Prove([]Proof{proof, writable}); err == nil || !strings.Contains(err.Error(), "written to") {
		t.Errorf("a folder that is not read-only: %v", err)
	}
	other := proof
	other.Target = two
	if err := Prove([]Proof{other}); err == nil || !strings.Contains(err.Error(), "another file") {
		t.Errorf("another folder: %v", err)
	}
	// A link to the very folder is not the folder: behind it the mount is elsewhere.
	if err := os.Symlink(one, filepath.Join(base, "link")); err != nil {
		t.Fatal(err)
	}
	linked := proof
	linked.Target = filepath.Join(base, "link")
	if err := Prove([]Proof{linked}); err == nil {
		t.Error("a link was followed")
	}
}
