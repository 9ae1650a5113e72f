package runner

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/av-project/av/runner/hostpath"
)

func TestWorkspaceThatHoldsPowerOverTheHostIsRefused(t *testing.T) {
	root := t.TempDir()
	home := filepath.Join(root, "user", ".av")
	project := filepath.Join(root, "user", "project")
	link := filepath.Join(root, "link")
	sockets := filepath.Join(root, "sockets")
	for _, dir := range []string{home, project, sockets} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Symlink(home, link); err != nil {
		t.Fatal(err)
	}
	engine := "unix://" + filepath.Join(sockets, "docker.sock")
	for dir, sound := range map[string]bool{
		project:                        true,
		home:                           false,
		filepath.Join(root, "user"):    false, // av's home lies in it
		link:                           false, // leads to av's home
		sockets:                        false,
		root:                           false,
		"/":                            false,
		"/proc":                        false,
		"/proc/self":                   false,
		"/etc":                         false,
		"/run":                         false,
		"/var/run":                     false,
		filepath.Join(root, "no-such"): false,
	} {
		got, err := checkWorkspace(dir, hostpath.Host{}.With(home, engine))
		if (err == nil) != sound || sound && got != project {
			t.Errorf("%s: %q, %v", dir, got, err)
		}
	}
}
