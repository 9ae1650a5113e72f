// Package agents knows coding agents: how each is installed, which credentials it takes, and
// what makes it start without a login and without a question. It is data; it acts on nothing,
// and it holds no credential: what it calls one is a stand-in.
package agents

import (
	"fmt"
	"path"
	"slices"
	"strings"
)

// Generic is the agent that is none: any command, in av's base image.
const Generic = "generic"

// Agent is one of them, as its file describes it.
type Agent struct {
	Name  string `json:"name"`
	Title string `json:"title"`
	// Note is what someone should know before using it; most have none.
	Note string `json:"note,omitempty"`
	// Tested says that the real program is run in av's own tests.
	Tested bool `json:"tested"`
	// Commands are the names of programs by which it is recognised.
	Commands []string `json:"commands"`
	Install  Install  `json:"install"`
	// Credentials are those that it can use. Of those for the same host, the first that the
	// vault has is taken.
	Credentials []Slot `json:"credentials"`
	// Allow are hosts that it needs and that take no credential.
	Allow []string `json:"allow,omitempty"`
	// State is where it keeps what it knows, in HOME.
	State []string `json:"state"`
	// Share are the parts of its state that --home=share puts into the box.
	Share Share             `json:"share,omitzero"`
	Env   map[string]string `json:"env,omitempty"`
	Files []File            `json:"files,omitempty"`
	// Source is the file it was read from, if it is the user's own.
	Source string `json:"source,omitempty"`
}

// Install is how its programs get into an image. All of it may be empty: such an agent needs
// an image of the user's.
type Install struct {
	NPM     []string `json:"npm,omitempty"`
	Debian  []string `json:"debian,omitempty"`
	Pip     []string `json:"pip,omitempty"`
	Archive Archive  `json:"archive,omitzero"`
}

// Archive is a tar that the vendor offers for download, for those that are in no registry.
type Archive struct {
	// Programs are the paths in it of what is put on the PATH.
	Programs []string `json:"programs"`
	AMD64    Download `json:"amd64,omitzero"`
	ARM64    Download `json:"arm64,omitzero"`
}

// Download is one file at a fixed address, known by its digest: whoever has the address in
// their hand can then not put another in its place.
type Download struct {
	URL    string `json:"url"`
	SHA256 string `json:"sha256"`
}

// None tells whether there is no recipe.
func (i Install) None() bool { return len(i.NPM)+len(i.Debian)+len(i.Pip)+len(i.Archive.Programs) == 0 }

// Words are the archive as one line of words: for each architecture its name (Debian's), its
// address and its digest.
func (a Archive) Words() (words []string) {
	for _, d := range a.downloads() {
		if d.URL != "" {
			words = append(words, d.arch, d.URL, d.SHA256)
		}
	}
	return words
}

type archDownload struct {
	arch string
	Download
}

func (a Archive) downloads() []archDownload {
	return []archDownload{{"amd64", a.AMD64}, {"arm64", a.ARM64}}
}

func (i Install) String() string {
	var parts []string
	for _, p := range []struct {
		by   string
		list []string
	}{{"npm", i.NPM}, {"apt", i.Debian}, {"pip", i.Pip}} {
		if len(p.list) > 0 {
			parts = append(parts, p.by+" "+strings.Join(p.list, " "))
		}
	}
	for _, d := range i.Archive.downloads() {
		if d.URL != "" {
			return strings.Join(append(parts, d.URL), "; ") // one stands for both
		}
	}
	return strings.Join(parts, "; ")
}

// Slot is a credential that an agent can use.
type Slot struct {
	// Service is the entry of the catalog that says where it goes.
	Service string `json:"service"`
	// Env and Files hold stand-ins: the agent wants to see a key before it starts, and the
	// proxy replaces what it sends.
	Env   map[string]string `json:"env,omitempty"`
	Files []File            `json:"files,omitempty"`
}

// File is put into HOME before the agent starts.
type File struct {
	Path    string `json:"path"`
	Content string `json:"content"`
}

// Share lists paths in the user's own home: nothing that the host would run later may be
// among those to write, and no login among either.
type Share struct {
	Write []string `json:"write,omitempty"`
	Read  []string `json:"read,omitempty"`
}

// All are the paths, those to write first.
func (s Share) All() []string { return slices.Concat(s.Write, s.Read) }

func (s Share) String() string {
	var parts []string
	if len(s.Write) > 0 {
		parts = append(parts, "to write: "+quoted(s.Write))
	}
	if len(s.Read) > 0 {
		parts = append(parts, "to read: "+quoted(s.Read))
	}
	return strings.Join(parts, "; ")
}

// Set is all that are known, the user's own first.
type Set []Agent

// Find returns the agent of that name.
func (s Set) Find(name string) (Agent, error) {
	if i := slices.IndexFunc(s, func(a Agent) bool { return a.Name == name }); i >= 0 {
		return s[i], nil
	}
	return Agent{}, &unknown{name, s.Names()}
}

// Names are in the order in which lists show them.
func (s Set) Names() (names []string) {
	for _, a := range s {
		names = append(names, a.Name)
	}
	return names
}

// Infer returns the agent whose command it is, by its last name; else the generic one. A
// program that is named by where it lies from here, or in the workspace, is the workspace's,
// whatever it calls itself, and is lent nothing for its name.
func (s Set) Infer(command string) Agent {
	if strings.Contains(command, "/") && (!path.IsAbs(command) || strings.HasPrefix(path.Clean(command), "/workspace/")) {
		return Agent{Name: Generic}
	}
	base := path.Base(command)
	for _, a := range s {
		if slices.Contains(a.Commands, base) {
			return a
		}
	}
	return Agent{Name: Generic}
}

type unknown struct {
	name  string
	names []string
}

func (u *unknown) Error() string { return fmt.Sprintf("there is no agent %q", u.name) }
func (u *unknown) Hint() string {
	return "there are " + strings.Join(u.names, ", ") + "; `av agents` shows them"
}

// Table renders agents for docs/agents.md.
func Table(set Set) string {
	var b strings.Builder
	b.WriteString("| agent | command | what is installed | credentials | state in HOME | of it `--home=share` shares | tried |\n|---|---|---|---|---|---|---|\n")
	for _, a := range set {
		var services []string
		for _, s := range a.Credentials {
			services = append(services, "`"+s.Service+"`")
		}
		tried := "not in the tests"
		switch {
		case a.Tested:
			tried = "the real program, in the tests"
		case a.Name == Generic:
			tried = "yes"
		}
		installs := a.Install.String()
		if installs == "" {
			installs = "nothing"
		}
		fmt.Fprintf(&b, "| `%s` %s | %s | %s | %s | %s | %s | %s |\n", a.Name, a.Title, quoted(a.Commands), installs, strings.Join(services, ", "), quoted(a.State), a.Share, tried)
	}
	return b.String()
}

func quoted(words []string) string {
	if len(words) == 0 {
		return ""
	}
	return "`" + strings.Join(words, "` `") + "`"
}
