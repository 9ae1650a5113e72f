package runner

import (
	"bytes"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/av-project/av/runner/entry"
)

// Git is what git in a box is told beside what the image and the user tell it.
type Git struct {
	// Hosts are those whose remotes by ssh are taken as remotes by https, which the proxy
	// adds a credential to. No key of the user's is in the box, and no ssh leaves it.
	Hosts []string
	// Name and Email are whose the commits are; empty where the host does not say.
	Name, Email string
}

// gitInBox holds what git in a box is told by av, as commands of its own would tell it: it
// wins over every other file, the repository's among them.
const gitInBox = "/etc/av/gitconfig"

// settings is the content of gitInBox.
func (g Git) settings() []byte {
	var out bytes.Buffer
	// Everything in the box is the agent's own, whoever it belongs to by number.
	fmt.Fprintf(&out, "[safe]\n\tdirectory = *\n")
	// The key that would sign is not in the box, nor is an agent that has it.
	fmt.Fprintf(&out, "[commit]\n\tgpgSign = false\n[tag]\n\tgpgSign = false\n[push]\n\tgpgSign = false\n")
	for _, host := range g.Hosts {
		fmt.Fprintf(&out, "[url %s]\n", quoteGit("https://"+host+"/"))
		for _, remote := range []string{"git@" + host + ":", "ssh://git@" + host + "/", "ssh://git@" + host + ":22/", "ssh://" + host + "/", "git+ssh://git@" + host + "/"} {
			fmt.Fprintf(&out, "\tinsteadOf = %s\n", quoteGit(remote))
		}
	}
	return out.Bytes()
}

// env gives the variables that make git read them, after those that are set already. git
// takes a counted list of settings from the environment, which an image or the user may
// have begun: ours is added to it.
func (g Git) env(set []string) []string {
	count, err := strconv.Atoi(lookup(set, "GIT_CONFIG_COUNT"))
	if err != nil || count < 0 {
		count = 0
	}
	env := []string{
		fmt.Sprintf("GIT_CONFIG_KEY_%d=include.path", count), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", count, gitInBox),
		fmt.Sprintf("GIT_CONFIG_COUNT=%d", count+1),
	}
	// Nobody in the box knows a password: a server that asks for one gets a clear end.
	if lookup(set, "GIT_TERMINAL_PROMPT") == "" {
		env = append(env, "GIT_TERMINAL_PROMPT=0")
	}
	return env
}

// lookup gives the last value of a variable.
func lookup(env []string, name string) string {
	for _, kv := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(kv, name+"="); ok {
			return value
		}
	}
	return ""
}

// systemGitconfig is the file that git reads first, so that everything else wins over it.
const systemGitconfig = "/etc/gitconfig"

// identity is what the box's /etc/gitconfig says of the user, after what the image's own
// says. A repository that has its own name and address keeps them, as it would on the host.
func (g Git) identity(image []byte) []byte {
	if g.Name == "" && g.Email == "" {
		return nil
	}
	out := appendLine(image, "[user]\n")
	if g.Name != "" {
		out = fmt.Appendf(out, "\tname = %s\n", quoteGit(g.Name))
	}
	if g.Email != "" {
		out = fmt.Appendf(out, "\temail = %s\n", quoteGit(g.Email))
	}
	return out
}

// quoteGit writes a value as git's configuration has it.
func quoteGit(value string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`, "\t", `\t`, "\x00", "").Replace(value) + `"`
}

// gitFiles are the files that a box's git reads.
func gitFiles(g Git, image []byte) []entry.File {
	files := []entry.File{file(gitInBox[1:], g.settings())}
	if content := g.identity(image); content != nil {
		files = append(files, file(systemGitconfig[1:], content))
	}
	return files
}
