package main

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/av-project/av/images"
	"github.com/av-project/av/scripts/require"
)

// fakeDebian is what an agent's image is built on in these tests: a Debian in which what
// fetches packages only writes down what it was asked for, so that nothing is fetched.
var fakeDebian = map[string]string{
	"Dockerfile": "FROM " + require.Image + "\nCOPY bin /usr/local/bin\nCOPY in /in\n" +
		"RUN mkdir -p /etc/ssl/certs && : >/etc/ssl/certs/ca-certificates.crt && tar -czf /archive -C / in\n",
	"bin/apt-get": `#!/bin/sh
echo "$@" >>/asked
case "$* $DEBIAN_MIRROR" in *no-such-package*) echo "E: Unable to locate package no-such-package"; exit 100;; esac
`,
	"bin/node":      "#!/bin/sh\necho x64\n",
	"bin/npm":       "#!/bin/sh\nmkdir -p /opt/node/bin\n",
	"bin/curl":      "#!/bin/sh\nfor url; do :; done\necho $url >/opt/agent/asked\ncp /archive /tmp/archive\n",
	"in/fetched":    "#!/bin/sh\necho $(id -un) $(cat /opt/agent/asked)\n",
	"bin/fakeagent": "#!/bin/sh\nid -un; cat /asked\n",
}

// imageWorld is a home with two agents of the user's own, whose names nobody else has.
type imageWorld struct {
	t              *testing.T
	av, base, home string
	env            []string
	good, bad, dir string
}

func newImageWorld(t *testing.T) imageWorld {
	t.Helper()
	dir, env, av := home(t)
	marker := newMarker()
	w := imageWorld{t: t, av: av, home: dir, env: env, good: "good" + marker, bad: "bad" + marker, dir: t.TempDir(), base: "av-test-base:" + marker}
	if err := os.Mkdir(filepath.Join(dir, "agents"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, agent := range map[string]string{
		w.good: "commands: [fakeagent]\ninstall: {debian: [some-tool]}\n", w.bad: "commands: [badagent]\ninstall: {debian: [no-such-package]}\n",
	} {
		text := "name: " + name + "\ntitle: " + name + "\n" + agent
		if err := os.WriteFile(filepath.Join(dir, "agents", name+".yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	files := maps.Clone(fakeDebian)
	// No layer is another test's too, which removes its own at the end.
	files["Dockerfile"] = strings.Replace(files["Dockerfile"], "\n", "\nLABEL test="+marker+"\n", 1)
	buildImage(t, "av-test-base", w.base, tarOf(t, files))
	t.Cleanup(func() { docker(t, "image", "rm", w.base) })
	return w
}

var builtLayer = regexp.MustCompile(`(?m)^ ---> ([0-9a-f]{12})$`)

// run runs av, and sees to it that what it builds is gone at the end.
func (w imageWorld) run(args ...string) (stdout, stderr string, code int) {
	w.t.Helper()
	cmd := exec.Command(w.av, args...)
	cmd.Env, cmd.Dir = w.env, w.dir
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if cmd.ProcessState == nil {
		w.t.Fatal(err)
	}
	var kept string
	if w.base != "" {
		kept = docker(w.t, "image", "inspect", "-f", "{{.Id}}", require.Image, w.base)
	}
	for _, layer := range builtLayer.FindAllStringSubmatch(said.String(), -1) {
		if id := layer[1]; !strings.Contains(kept, id) {
			// The newest first; what a tag stands on goes with that.
			w.t.Cleanup(func() { _ = exec.Command("docker", "image", "rm", id).Run() })
		}
	}
	return string(out), said.String(), cmd.ProcessState.ExitCode()
}

func (w imageWorld) images(of string) (list []images.Built) {
	w.t.Helper()
	out, said, code := w.run("image", "list", "--json")
	if err := json.Unmarshal([]byte(out), &list); err != nil || code != 0 {
		w.t.Fatalf("%v, %d: %s%s", err, code, out, said)
	}
	return slices.DeleteFunc(list, func(b images.Built) bool { return !b.Of(of) })
}

func TestImageOfAnAgentIsBuiltOnAnotherAndRunsUseIt(t *testing.T) {
	t.Parallel()
	w := newImageWorld(t)
	out, said, code := w.run("image", "build", "--agent", w.good, "--from", w.base)
	tag := strings.TrimSpace(out)
	if code != 0 || !strings.HasPrefix(tag, "av-agent-"+w.good+":") {
		t.Fatalf("%d: %s%s", code, out, said)
	}
	t.Cleanup(func() { docker(t, "image", "rm", tag) })
	if list := w.images(w.good); len(list) != 1 || list[0].Image != tag || !list[0].Current {
		t.Errorf("listed are %+v", list)
	}
	// Its command is on the base, and its user is not root.
	out, said, code = w.run("run", "--isolation=container", "--", "fakeagent")
	if code != 0 || !strings.Contains(out, "--no-install-recommends some-tool\n") || strings.Contains(said, "building the image av-agent-") {
		t.Errorf("%d: %s%s", code, out, said)
	}
	if user := docker(t, "image", "inspect", "-f", "{{.Config.User}}", tag); user != "agent" {
		t.Errorf("its user is %q", user)
	}

	// A build that fails leaves the image that was there, and none where there was none.
	before := docker(t, "image", "inspect", "-f", "{{.Id}}", tag)
	for _, args := range [][]string{{"--agent", w.bad}, {"--agent", w.good, "--build-arg", "DEBIAN_MIRROR=http://no-such-package.test/"}} {
		out, said, code = w.run(append([]string{"image", "build", "--from", w.base}, args...)...)
		if code != exitFailed || out != "" {
			t.Errorf("%q: %d, %q", args, code, out)
		}
		_, failure, _ := strings.Cut(said, "av: error: ")
		for _, want := range []string{"the build's last lines:\n", "E: Unable to locate package no-such-package\n", "\nav: hint: ", "--from IMAGE"} {
			if !strings.Contains(failure, want) {
				t.Errorf("%q: it does not say %q:\n%s", args, want, said)
			}
		}
	}
	if list := w.images(w.bad); len(list) != 0 {
		t.Errorf("it is taken for an image: %+v", list)
	}
	if now := docker(t, "image", "inspect", "-f", "{{.Id}}", tag); now != before {
		t.Errorf("the image is another: %s, %s", before, now)
	}
}

// An archive is taken for what it is by its digest, wherever it was fetched.
func TestImageHoldsWhatAnArchiveBrought(t *testing.T) {
	t.Parallel()
	w := newImageWorld(t)
	arch := docker(t, "version", "-f", "{{.Server.Arch}}")
	archive := docker(t, "run", "--rm", w.base, "sh", "-c", "sha256sum /archive")[:64]
	const address = "https://vendor.test/mine-1.0.0.tar.gz"
	write := func(digest, arch string) {
		t.Helper()
		text := fmt.Sprintf("name: %s\ntitle: Mine\ncommands: [fetched]\ninstall: {archive: {programs: [in/fetched], %s: {url: %q, sha256: %q}}}\n", w.good, arch, address, digest)
		if err := os.WriteFile(filepath.Join(w.home, "agents", w.good+".yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for name, c := range map[string]struct{ digest, arch, want string }{
		"another's":             {strings.Repeat("0", 64), arch, "install.sh: " + address + " is not what it was when av was made"},
		"for another processor": {archive, map[string]string{"amd64": "arm64", "arm64": "amd64"}[arch], "install.sh: the vendor has no archive for " + arch},
	} {
		write(c.digest, c.arch)
		if out, said, code := w.run("image", "build", "--agent", w.good, "--from", w.base); code != exitFailed || out != "" || !strings.Contains(said, c.want) {
			t.Errorf("%s: %d: %s%s", name, code, out, said)
		}
	}
	write(archive, arch)
	for _, mirror := range []string{"", "https://mirror.test/mine.tar.gz"} {
		args := []string{"image", "build", "--agent", w.good, "--from", w.base}
		if mirror != "" {
			args = append(args, "--build-arg", "ARCHIVE_URL="+mirror)
		}
		out, said, code := w.run(args...)
		if code != 0 {
			t.Fatalf("%d: %s%s", code, out, said)
		}
		tag := strings.TrimSpace(out)
		t.Cleanup(func() { _ = exec.Command("docker", "image", "rm", tag).Run() })
		if said := docker(t, "run", "--rm", tag, "fetched"); said != "agent "+cmp.Or(mirror, address) {
			t.Errorf("it says %q", said)
		}
	}
}

// Only what is av's, of an agent that is known here, old and in no container's use is removed.
func TestPruneRemovesImagesThatNothingUses(t *testing.T) {
	t.Parallel()
	dir, env, av := home(t)
	marker := newMarker()
	name := "a" + marker
	w := imageWorld{t: t, av: av, env: env, dir: t.TempDir()}
	for _, agent := range []string{name, "b" + marker} {
		if err := errors.Join(os.MkdirAll(filepath.Join(dir, "agents"), 0o700),
			os.WriteFile(filepath.Join(dir, "agents", agent+".yaml"), []byte("name: "+agent+"\ntitle: x\ncommands: ["+agent+"]\ninstall: {debian: [tool]}\n"), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	current := images.Recipe{Name: name, Debian: []string{"tool"}}.Tag()
	of := "av-agent-" + name
	for tag, label := range map[string]string{
		of + ":old": of, of + ":renamed": of, of + ":used": of, current: of,
		of + ":unlabelled": "", "av-test-on-" + marker + ":1": of, // inherits the label
		"av-agent-b" + marker + ":old": "av-agent-b" + marker, "av-agent-c" + marker + ":old": "av-agent-c" + marker,
	} {
		dockerfile := "FROM " + require.Image + "\nLABEL test=" + tag + "\n"
		if label != "" {
			dockerfile += "LABEL av.image=" + label + "\n"
		}
		cmd := exec.Command("docker", "build", "-q", "-t", tag, "-")
		cmd.Stdin = strings.NewReader(dockerfile)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		t.Cleanup(func() { _ = exec.Command("docker", "image", "rm", tag).Run() })
	}
	mine := "av-test-mine-" + marker + ":1"
	docker(t, "tag", of+":renamed", mine)
	t.Cleanup(func() { docker(t, "image", "rm", mine) })
	id := docker(t, "create", of+":used", "true") // never started: it is in use all the same
	removed := false
	remove := func() {
		if !removed {
			removed = true
			docker(t, "rm", id)
		}
	}
	t.Cleanup(remove)
	prune := func() []string {
		t.Helper()
		out, said, code := w.run("image", "prune", "--agent", name)
		if code != 0 {
			t.Fatalf("%d: %s%s", code, out, said)
		}
		lines := strings.Fields(strings.ReplaceAll(out, "removed ", ""))
		slices.Sort(lines)
		return lines
	}
	if got := prune(); !slices.Equal(got, []string{of + ":old", of + ":renamed"}) {
		t.Errorf("removed are %q", got)
	}
	stay := []string{of + ":used", current, of + ":unlabelled", "av-test-on-" + marker + ":1", mine, "av-agent-b" + marker + ":old", "av-agent-c" + marker + ":old"}
	docker(t, append([]string{"image", "inspect", "-f", "{{.Id}}"}, stay...)...)
	if out, err := exec.Command("docker", "image", "inspect", of+":old").CombinedOutput(); err == nil {
		t.Errorf("it is still there: %s", out)
	}
	// Control: it was the container that kept it.
	remove()
	if got := prune(); !slices.Equal(got, []string{of + ":used"}) {
		t.Errorf("then removed are %q", got)
	}
	docker(t, append([]string{"image", "inspect", "-f", "{{.Id}}"}, stay[1:]...)...)
}
