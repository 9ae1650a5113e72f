package agents

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

var (
	agentName   = regexp.MustCompile(`^[a-z][a-z0-9-]{0,31}$`)
	commandName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+-]{0,63}$`)
	envName     = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]{0,127}$`)
	// The packages stand in a shell's command line when an image is built, where none of
	// these letters means anything. Each is of one version: what is built tomorrow is what
	// was tried today.
	npmPackage    = regexp.MustCompile(`^(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*@[0-9]+\.[0-9]+\.[0-9]+[A-Za-z0-9.+-]*$`)
	debianPackage = regexp.MustCompile(`^[a-z0-9][a-z0-9+.-]+(=[A-Za-z0-9.+:~-]+)?$`)
	downloadURL   = regexp.MustCompile(`^https?://[A-Za-z0-9][A-Za-z0-9.:-]*/[A-Za-z0-9/._~%+-]+\.(tar\.(gz|bz2|xz)|tgz)$`)
	sha256Hex     = regexp.MustCompile(`^[0-9a-f]{64}$`)
	programPath   = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+/-]*$`)
	pipPackage    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]*==[0-9][A-Za-z0-9.+!]*$`)
)

// check says what is wrong with an agent and where in its document; nothing where all is well.
func (a Agent) check() (where, text string) {
	switch {
	case a.Name == "":
		return "$", "the agent has no name"
	case !agentName.MatchString(a.Name):
		return "$.name", fmt.Sprintf("%q is no name for an agent: use a-z, 0-9 and hyphens, up to 32", a.Name)
	case a.Title == "":
		return "$", "the agent has no title"
	case a.Source != "":
		return "$.source", "its source is not for the file to say"
	case len(a.Commands) == 0 && a.Name != Generic:
		return "$", "the agent has no commands"
	}
	for i, c := range a.Commands {
		if !commandName.MatchString(c) {
			return fmt.Sprintf("$.commands[%d]", i), fmt.Sprintf("%q is no name of a program", c)
		}
	}
	for _, list := range []struct {
		key   string
		names []string
		want  *regexp.Regexp
		shape string
	}{
		{"npm", a.Install.NPM, npmPackage, "NAME@1.2.3"},
		{"debian", a.Install.Debian, debianPackage, "NAME or NAME=VERSION"},
		{"pip", a.Install.Pip, pipPackage, "NAME==1.2.3"},
	} {
		for i, p := range list.names {
			if !list.want.MatchString(p) {
				return fmt.Sprintf("$.install.%s[%d]", list.key, i), fmt.Sprintf("%q is not %s", p, list.shape)
			}
		}
	}
	if where, text := a.Install.Archive.check(); text != "" {
		return "$.install.archive" + where, text
	}
	for i, dir := range a.State {
		if !inHome(dir) {
			return fmt.Sprintf("$.state[%d]", i), fmt.Sprintf("%q is no place in HOME", dir)
		}
	}
	if where, text := a.checkShare(); text != "" {
		return where, text
	}
	if where, text := checkStart("$", a.Env, a.Files); text != "" {
		return where, text
	}
	for i, s := range a.Credentials {
		here := fmt.Sprintf("$.credentials[%d]", i)
		if s.Service == "" {
			return here, "the credential names no service of the catalog"
		}
		if where, text := checkStart(here, s.Env, s.Files); text != "" {
			return where, text
		}
	}
	return "", ""
}

// check wants an archive that can be one alone: an address and the digest of what lies there.
func (a Archive) check() (where, text string) {
	words := a.Words()
	switch {
	case len(a.Programs) > 0 && len(words) == 0:
		return "", "the archive has no address: give amd64, arm64 or both"
	case len(a.Programs) == 0 && len(words) > 0:
		return "", "the archive has no programs: give the paths in it of those to put on the PATH"
	}
	for i, p := range a.Programs {
		if !programPath.MatchString(p) || !inHome(p) || !commandName.MatchString(filepath.Base(p)) {
			return fmt.Sprintf(".programs[%d]", i), fmt.Sprintf("%q is no path of a program in the archive", p)
		}
	}
	for _, d := range a.downloads() {
		switch {
		case d.Download == Download{}:
		case !downloadURL.MatchString(d.URL):
			return "." + d.arch + ".url", fmt.Sprintf("%q is no address of a .tar.gz, .tar.bz2 or .tar.xz", d.URL)
		case !sha256Hex.MatchString(d.SHA256):
			return "." + d.arch + ".sha256", fmt.Sprintf("%q is no SHA-256 in 64 digits of 0-9 and a-f", d.SHA256)
		}
	}
	return "", ""
}

// checkShare wants parts of the agent's own state, and not all of it: that has its login.
// Which folders of a home have keys in them, whoever puts them into a box knows.
func (a Agent) checkShare() (where, text string) {
	all := a.Share.All()
	for i, name := range all {
		where := fmt.Sprintf("$.share.write[%d]", i)
		if n := len(a.Share.Write); i >= n {
			where = fmt.Sprintf("$.share.read[%d]", i-n)
		}
		if !inHome(name) {
			return where, fmt.Sprintf("%q is no place in HOME", name)
		}
		if !slices.ContainsFunc(a.State, func(dir string) bool { return strings.HasPrefix(name, dir+"/") }) {
			return where, fmt.Sprintf("%q is not a part of the agent's state: name what lies in one of its folders, and none of them as a whole", name)
		}
		for _, other := range all[:i] {
			if name == other || strings.HasPrefix(name, other+"/") || strings.HasPrefix(other, name+"/") {
				return where, fmt.Sprintf("%q and %q are one, or one lies in the other", other, name)
			}
		}
	}
	return "", ""
}

// checkStart looks at what is set and put in before the start.
func checkStart(where string, env map[string]string, files []File) (string, string) {
	for name, value := range env {
		if !envName.MatchString(name) || strings.Contains(value, "\x00") {
			return where + ".env", fmt.Sprintf("%q is no variable", name)
		}
	}
	for i, f := range files {
		here := fmt.Sprintf("%s.files[%d]", where, i)
		if !inHome(f.Path) {
			return here, fmt.Sprintf("%q is no place in HOME", f.Path)
		}
		if slices.ContainsFunc(files[:i], func(o File) bool { return o.Path == f.Path }) {
			return here, fmt.Sprintf("there are two files %s", f.Path)
		}
	}
	return "", ""
}

func inHome(name string) bool {
	return filepath.IsLocal(name) && filepath.Clean(name) == name && name != "."
}
