package runner

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/scripts/require"
)

func TestBoxLeavesTheMachineUsableUnlessSomebodySaysOtherwise(t *testing.T) {
	machine := engine.Machine{Memory: 16 << 30, CPUs: 4}
	for _, c := range []struct {
		name  string
		given Limits
		on    engine.Machine
		want  engine.Limits
		fails string
	}{
		{"nothing said", Limits{}, machine, engine.Limits{Memory: 12 << 30, CPUs: 3.5, PidsLimit: 4096}, ""},
		{"one processor", Limits{}, engine.Machine{Memory: 1 << 30, CPUs: 1}, engine.Limits{Memory: 768 << 20, CPUs: 0.75, PidsLimit: 4096}, ""},
		{"all said", Limits{1 << 30, 4, 100}, machine, engine.Limits{Memory: 1 << 30, CPUs: 4, PidsLimit: 100}, ""},
		{"more memory than there is", Limits{Memory: 17 << 30}, machine, engine.Limits{}, "--memory asks"},
		{"more processors than there are", Limits{CPUs: 5}, machine, engine.Limits{}, "--cpus asks"},
	} {
		got, err := c.given.on(c.on)
		if c.fails != "" {
			if err == nil || !strings.Contains(err.Error(), c.fails) {
				t.Errorf("%s: %v", c.name, err)
			}
			continue
		}
		c.want.SharedSize, c.want.Expendable = sharedSize, true
		if err != nil || got != c.want {
			t.Errorf("%s: %+v, %v", c.name, got, err)
		}
	}
}

func TestRuntimeThatMayBypassTheNamespaceNeedsTheWallsOnTheHost(t *testing.T) {
	for _, name := range []string{"runc", "crun", "youki", "io.containerd.runc.v2"} {
		if err := CheckRuntime(name, WallsAuto); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"runsc", "kata-runtime", "io.containerd.runsc.v1", "mine", "RUNC"} {
		if CheckRuntime(name, WallsAuto) == nil || CheckRuntime(name, WallsOff) == nil {
			t.Errorf("%s is let through", name)
		}
		if err := CheckRuntime(name, WallsRequire); err != nil {
			t.Errorf("%s behind the host's walls: %v", name, err)
		}
	}
}

func TestRootInTheBoxHasNothingThatReachesBeyondIt(t *testing.T) {
	for _, c := range rootCapabilities {
		never := strings.HasPrefix(c.name, "SYS_") || slices.Contains([]string{"NET_ADMIN", "NET_RAW", "MKNOD", "SETPCAP", "SETFCAP", "DAC_READ_SEARCH"}, c.name)
		if c.given && never || c.why == "" {
			t.Errorf("%+v", c)
		}
	}
	page, err := os.ReadFile("../docs/isolation.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range rootCapabilities {
		given := "no"
		if c.given {
			given = "yes"
		}
		if row := "| " + c.name + " | " + given + " | " + c.why + " |\n"; !strings.Contains(string(page), row) {
			t.Errorf("docs/isolation.md has no row %s", row)
		}
	}
}

func TestGitsSettingsAreAddedToThoseThatAreSet(t *testing.T) {
	g := Git{Hosts: []string{"git.example.test"}}
	for _, c := range []struct {
		set  []string
		want string
	}{
		{nil, "GIT_CONFIG_KEY_0=include.path GIT_CONFIG_VALUE_0=/etc/av/gitconfig GIT_CONFIG_COUNT=1 GIT_TERMINAL_PROMPT=0"},
		{[]string{"GIT_CONFIG_COUNT=9", "GIT_CONFIG_COUNT=2", "GIT_TERMINAL_PROMPT=1"}, "GIT_CONFIG_KEY_2=include.path GIT_CONFIG_VALUE_2=/etc/av/gitconfig GIT_CONFIG_COUNT=3"},
		{[]string{"GIT_CONFIG_COUNT=many"}, "GIT_CONFIG_KEY_0=include.path GIT_CONFIG_VALUE_0=/etc/av/gitconfig GIT_CONFIG_COUNT=1 GIT_TERMINAL_PROMPT=0"},
	} {
		if got := strings.Join(g.env(c.set), " "); got != c.want {
			t.Errorf("after %q: %s", c.set, got)
		}
	}
	if got := g.identity([]byte("[core]")); got != nil {
		t.Errorf("nobody's identity is %q", got)
	}
	// git itself reads what was written, whatever is in a name.
	git := require.Client(t, "git")
	g.Name, g.Email = "Ada \"the\" \\ First\n[core]\n\tsshCommand = evil", "a@b.test # c"
	dir := t.TempDir()
	file := filepath.Join(dir, "config")
	if err := os.WriteFile(file, append(g.identity([]byte("[core]\n\tpager = less")), g.settings()...), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(git, "config", "--file", file, "--null", "--list").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"user.name\n" + g.Name + "\x00", "user.email\n" + g.Email + "\x00", "core.pager\nless\x00", "url.https://git.example.test/.insteadof\ngit@git.example.test:\x00"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("git does not read %q in %q", want, out)
		}
	}
	if strings.Contains(string(out), "core.sshcommand") {
		t.Error("a name has become another setting")
	}
}

func TestFoldersThatABoxMayWriteToAreGivenBackOnce(t *testing.T) {
	got := writable([]engine.Bind{
		{Source: "/p", Target: "/workspace"}, {Source: "/p/.git", Target: "/workspace/.git"}, {Source: "/p/.git/hooks", ReadOnly: true},
		{Source: "/main/.git"}, {Source: "/data", ReadOnly: true}, {Source: "/pp"}, {Source: "/pp"},
	})
	if want := []string{"/p", "/main/.git", "/pp"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestOnlyWhatHasChangedAndIsAnothersIsGivenAway(t *testing.T) {
	since := time.Unix(1000, 0)
	for _, c := range []struct {
		name    string
		owner   uint32
		mode    uint32
		changed time.Time
		want    bool
	}{
		{"root's, made in the run", 0, unix.S_IFREG | 0o644, since, true},
		{"root's, from before", 0, unix.S_IFREG | 0o644, since.Add(-1), false},
		{"the user's own", 1000, unix.S_IFREG | 0o644, since, false},
		{"the user's own, running with its rights", 1000, unix.S_IFREG | unix.S_ISUID | 0o755, since, true},
		{"such a one from before", 1000, unix.S_IFREG | unix.S_ISUID | 0o755, since.Add(-1), false},
		{"a folder whose group is handed on", 1000, unix.S_IFDIR | unix.S_ISGID | 0o755, since, false},
		{"another's link", 33, unix.S_IFLNK | 0o777, since, true},
	} {
		if got := needsOwner(c.owner, c.mode, c.changed, 1000, since); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	// In a folder of root's own, only the right to run as root goes.
	for mode, want := range map[uint32]bool{unix.S_IFREG | 0o755: false, unix.S_IFREG | unix.S_ISUID | 0o755: true} {
		for _, owner := range []uint32{0, 33} {
			if got := needsOwner(owner, mode, since, 0, since); got != want {
				t.Errorf("root's folder, a file of %d's with mode %o: %v", owner, mode, got)
			}
		}
	}
}

// Root in the box can give the folder itself away, so whose it is must be known before.
func TestWhoseAFolderIsIsAskedBeforeTheRun(t *testing.T) {
	require.Root(t)
	dir := t.TempDir()
	file, link := filepath.Join(dir, "file"), filepath.Join(dir, "link")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Symlink(file, link), os.Chown(dir, 1000, 1001), os.Chown(file, 1002, 1003)); err != nil {
		t.Fatal(err)
	}
	var stat unix.Stat_t
	if err := unix.Lstat(dir, &stat); err != nil {
		t.Fatal(err)
	}
	got := owned([]string{dir, file, link, filepath.Join(dir, "none")}, false)
	if len(got) != 2 || got[0].path != dir || got[0].Owned != (Owned{1000, 1001, stat.Dev, stat.Ino}) || got[1].path != file || got[1].UID != 1002 || got[1].GID != 1003 {
		t.Errorf("got %+v", got)
	}
	if got := writable([]engine.Bind{{Source: file}, {Source: "/usr", ReadOnly: true}}); !slices.Equal(got, []string{file}) {
		t.Errorf("of what is shared: %q", got)
	}
	// To an engine without root, whoever runs it is root.
	if got := owned([]string{dir}, true); got[0].UID != 0 || got[0].GID != 0 {
		t.Errorf("without root: %+v", got)
	}
}

// Whoever owns the folder above could put another in its place, and be given what is in there.
func TestOwnRefusesWhatTookThePlaceOfAFolder(t *testing.T) {
	require.Root(t)
	dir := filepath.Join(t.TempDir(), "dir")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	to := owned([]string{dir}, false)[0].Owned
	to.UID, to.GID = 1000, 1000
	if err := errors.Join(os.Rename(dir, dir+" before"), os.Mkdir(dir, 0o700)); err != nil {
		t.Fatal(err)
	}
	if err := Own(t.Context(), dir, to, time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), "not what was there") || ownerOf(t, dir) != 0 {
		t.Errorf("got %v, and it is %d's", err, ownerOf(t, dir))
	}
	if err := Own(t.Context(), dir+" before", to, time.Unix(0, 0)); err != nil || ownerOf(t, dir+" before") != 1000 {
		t.Errorf("control: %v, and it is %d's", err, ownerOf(t, dir+" before"))
	}
}

func TestOwnGivesAFileAway(t *testing.T) {
	require.Root(t)
	file := filepath.Join(t.TempDir(), "file")
	if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chmod(file, 0o755|os.ModeSetuid)); err != nil {
		t.Fatal(err)
	}
	to := owned([]string{file}, false)[0].Owned
	to.UID = 1000
	if err := Own(t.Context(), file, to, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(file); err != nil || ownerOf(t, file) != 1000 || info.Mode() != 0o755 {
		t.Errorf("it is %d's, %v, %v", ownerOf(t, file), info, err)
	}
}

func ownerOf(t *testing.T, path string) uint32 {
	t.Helper()
	var stat unix.Stat_t
	if err := unix.Lstat(path, &stat); err != nil {
		t.Fatal(err)
	}
	return stat.Uid
}

func TestOwnFollowsNoLinkAndEndsAtItsDepth(t *testing.T) {
	require.Root(t)
	outside, dir := filepath.Join(t.TempDir(), "outside"), t.TempDir()
	if err := os.Mkdir(outside, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(dir, "link")); err != nil {
		t.Fatal(err)
	}
	to := owned([]string{dir}, false)[0].Owned
	to.UID, to.GID = 1000, 1000
	if err := Own(t.Context(), dir, to, time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	if link := filepath.Join(dir, "link"); ownerOf(t, link) != 1000 || ownerOf(t, dir) != 1000 || ownerOf(t, outside) != 0 {
		t.Errorf("the link's owner is %d, the folder's %d, that of what it leads to %d", ownerOf(t, link), ownerOf(t, dir), ownerOf(t, outside))
	}
	// A path of that length has to be made piece by piece.
	at, err := unix.Open(dir, unix.O_DIRECTORY, 0)
	for i := 0; err == nil && i <= maxOwnDepth+1; i++ {
		if err = unix.Mkdirat(at, "d", 0o700); err == nil {
			var next int
			next, err = unix.Openat(at, "d", unix.O_DIRECTORY, 0)
			unix.Close(at)
			at = next
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	unix.Close(at)
	if err := Own(t.Context(), dir, to, time.Unix(0, 0)); err == nil || !strings.Contains(err.Error(), "folders deep") {
		t.Errorf("got %v", err)
	}
}

func TestSharedPathsAreTheUsersOwnAndNoLinks(t *testing.T) {
	user, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	avHome := filepath.Join(user, ".av")
	for _, dir := range []string{".claude/projects", ".av", ".ssh"} {
		if err := os.MkdirAll(filepath.Join(user, dir), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(filepath.Join(user, ".ssh"), filepath.Join(user, ".claude", "led")); err != nil {
		t.Fatal(err)
	}
	at := func(path, target string) Share { return Share{Source: filepath.Join(user, path), Target: target} }
	for _, c := range []struct {
		name  string
		share Share
		fails string
	}{
		{"a folder", at(".claude/projects", ".claude/projects"), ""},
		{"one that is not there", at(".claude/none", ".claude/none"), ""},
		{"a link", at(".claude/led", ".claude/led"), "is a link"},
		{"av's own folder", at(".av", ".av"), "with the vault"},
		{"all of the home, with it", at(".", "all"), "with the vault"},
		{"a place outside of HOME", at(".ssh", "../../etc"), "is no place in HOME"},
		{"HOME itself", at(".ssh", "."), "is no place in HOME"},
	} {
		_, err := checkShares([]Share{c.share}, user, avHome)
		if c.fails == "" && err != nil || c.fails != "" && (err == nil || !strings.Contains(err.Error(), c.fails)) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
