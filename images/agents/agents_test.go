package agents

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func load(t *testing.T, dir string) Set {
	t.Helper()
	set, err := Load(dir)
	if err != nil {
		t.Fatal(err)
	}
	return set
}

func TestEveryAgentThatIsPromisedIsThere(t *testing.T) {
	set := load(t, t.TempDir())
	want := []string{"aider", "amp", "claude", "codex", "copilot", "cursor-agent", "gemini", "generic", "goose", "opencode"}
	if got := slices.Sorted(slices.Values(set.Names())); !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}

func TestAgentIsRecognisedByItsCommandsLastName(t *testing.T) {
	set := load(t, t.TempDir())
	for command, want := range map[string]string{
		"claude": "claude", "/opt/agent/bin/claude": "claude", "./codex": Generic, "tools/claude": Generic, "/workspace/claude": Generic, "/opt/../workspace/bin/claude": Generic, "/workspaces/claude": "claude", "cursor-agent": "cursor-agent",
		"bash": Generic, "claude-wrapper": Generic, "Claude": Generic, "generic": Generic,
	} {
		if got := set.Infer(command).Name; got != want {
			t.Errorf("%s is taken for %s", command, got)
		}
	}
}

// What no agent may lack to start unasked: the stand-in of the key is one that it was told it may use.
func TestClaudeKnowsTheEndOfItsStandIn(t *testing.T) {
	claude, err := load(t, t.TempDir()).Find("claude")
	if err != nil {
		t.Fatal(err)
	}
	var state struct {
		CustomAPIKeyResponses struct{ Approved []string }
		Projects              map[string]struct{ HasTrustDialogAccepted bool }
	}
	if err := json.Unmarshal([]byte(claude.Files[0].Content), &state); err != nil {
		t.Fatal(err)
	}
	key := claude.Credentials[0].Env["ANTHROPIC_API_KEY"]
	if approved := state.CustomAPIKeyResponses.Approved; len(approved) != 1 || approved[0] != key[len(key)-20:] || !state.Projects["/workspace"].HasTrustDialogAccepted {
		t.Errorf("%q, and %+v", key, state)
	}
}

func TestFilesOfAgentsThatAreJSONAreJSON(t *testing.T) {
	for _, a := range load(t, t.TempDir()) {
		files := slices.Clone(a.Files)
		for _, s := range a.Credentials {
			files = append(files, s.Files...)
		}
		for _, f := range files {
			if strings.HasSuffix(f.Path, ".json") && !json.Valid([]byte(f.Content)) {
				t.Errorf("%s: %s is no JSON", a.Name, f.Path)
			}
		}
	}
}

const own = "name: mine\ntitle: My agent\ncommands: [mine]\ninstall:\n  npm: [\"mine@1.2.3\"]\ncredentials: []\nstate: [.mine]\n"

func write(t *testing.T, name, text string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return dir
}

func TestUsersOwnAgentGoesBeforeThoseOfAv(t *testing.T) {
	dir := write(t, "claude.yaml", strings.NewReplacer("name: mine", "name: claude\ntested: true", "[mine]", "[claude, mine]").Replace(own))
	set := load(t, dir)
	for _, command := range []string{"claude", "mine"} {
		if a := set.Infer(command); a.Title != "My agent" || a.Source != filepath.Join(dir, "claude.yaml") || a.Tested {
			t.Errorf("%s: %+v", command, a)
		}
	}
	if n := len(set); n != len(load(t, t.TempDir())) {
		t.Errorf("there are %d agents", n)
	}
}

func TestAgentThatCannotBeReadIsRefusedWithFileAndLine(t *testing.T) {
	for name, c := range map[string]struct{ old, new, want string }{
		"an unknown key":               {"title:", "titel: x\ntitle:", `[2:1] unknown field "titel"`},
		"no yaml":                      {"title: My", "title: [My", "mine.yaml: ["},
		"another name":                 {"name: mine", "name: yours", ":1: the agent yours is in a file called mine.yaml"},
		"no name":                      {"name: mine", "note: mine", ":1: the agent has no name"},
		"no commands":                  {"commands: [mine]", "commands: []", ": the agent has no commands"},
		"a path as a command":          {"[mine]\ninstall", "[/bin/mine]\ninstall", `:3: "/bin/mine" is no name of a program`},
		"a version that is open":       {"mine@1.2.3", "mine@latest", `:5: "mine@latest" is not NAME@1.2.3`},
		"no version":                   {"mine@1.2.3", "mine", `:5: "mine" is not NAME@1.2.3`},
		"a command for the shell":      {"mine@1.2.3", "mine@1.2.3; id", `:5: "mine@1.2.3; id" is not`},
		"another for the shell":        {"mine@1.2.3", "$(id)@1.2.3", `:5: "$(id)@1.2.3" is not`},
		"an option of npm":             {"mine@1.2.3", "--registry=x@1.2.3", `:5: "--registry=x@1.2.3" is not`},
		"a state that is not his":      {"[.mine]", "[../x]", `:7: "../x" is no place in HOME`},
		"a file elsewhere":             {"state:", "files:\n- {path: /etc/passwd, content: x}\nstate:", `"/etc/passwd" is no place in HOME`},
		"a variable":                   {"state:", "env: {\"A=B\": x}\nstate:", `"A=B" is no variable`},
		"a key that is not of share":   {"state:", "share: {all: [.mine/x]}\nstate:", `unknown field "all"`},
		"a share elsewhere":            {"state:", "share: {read: [.mine/../x]}\nstate:", `:7: ".mine/../x" is no place in HOME`},
		"a share of all of its state":  {"state:", "share: {write: [.mine]}\nstate:", `:7: ".mine" is not a part of the agent's state`},
		"a share of another's":         {"state:", "share: {read: [.mine/a, .ssh/config]}\nstate:", `:7: ".ssh/config" is not a part`},
		"a share of what begins alike": {"state:", "share: {read: [.minebut/a]}\nstate:", `:7: ".minebut/a" is not a part`},
		"a share of the whole home":    {"state:", "share: {read: [.]}\nstate:", `:7: "." is no place in HOME`},
		"a share that lies in another": {"state:", "share: {write: [.mine/a/b], read: [.mine/a]}\nstate:", `:7: ".mine/a/b" and ".mine/a" are one, or one lies in the other`},
		"two documents":                {"state:", "---\nstate:", "more than one document"},
		"nothing":                      {own, "", "it is empty"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := write(t, "mine.yaml", strings.Replace(own, c.old, c.new, 1))
			_, err := Load(dir)
			if err == nil || !strings.Contains(err.Error(), c.want) || !strings.HasPrefix(err.Error(), filepath.Join(dir, "mine.yaml")) {
				t.Errorf("got %v", err)
			}
		})
	}
	const digest = "df11eb9f525a1b62dea24fc2896b597b3111ad8a95729660817483ff3b96cb2e"
	good := "\n  archive: {programs: [a/mine], arm64: {url: \"https://x.test/a-1.2%2B3.tar.bz2\", sha256: " + digest + "}}\ncredentials"
	for name, c := range map[string]struct{ old, new, want string }{
		"no programs":           {"[a/mine]", "[]", `: the archive has no programs`},
		"no address":            {"arm64: {url: \"https://x.test/a-1.2%2B3.tar.bz2\", sha256: " + digest + "}", "", `: the archive has no address`},
		"a program elsewhere":   {"a/mine", "../mine", `:6: "../mine" is no path of a program`},
		"two words":             {"a/mine", "a/mine b", `:6: "a/mine b" is no path of a program`},
		"an address of words":   {"a-1", "a 1", `is no address of a .tar.gz`},
		"an address in a shell": {"a-1", "$(id)", `is no address of a .tar.gz`},
		"an option":             {"https://", "-o", `is no address of a .tar.gz`},
		"no tar":                {".tar.bz2", ".deb", `is no address of a .tar.gz`},
		"no digest":             {digest, "\"\"", `"" is no SHA-256`},
		"a short digest":        {digest, digest[:40], `is no SHA-256`},
	} {
		t.Run("archive: "+name, func(t *testing.T) {
			text := strings.Replace(own, "\ncredentials", strings.Replace(good, c.old, c.new, 1), 1)
			if _, err := Load(write(t, "mine.yaml", text)); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v", err)
			}
		})
	}
	set, err := Load(write(t, "mine.yaml", strings.Replace(own, "\ncredentials", good, 1)))
	if err != nil || !slices.Equal(set[0].Install.Archive.Words(), []string{"arm64", "https://x.test/a-1.2%2B3.tar.bz2", digest}) {
		t.Errorf("control: %v, %+v", err, set)
	}
	set, err = Load(write(t, "mine.yaml", own+"share: {write: [.mine/talks], read: [.mine/rules.md]}\n"))
	if err != nil || !slices.Equal(set[0].Share.All(), []string{".mine/talks", ".mine/rules.md"}) {
		t.Errorf("control: %v, %+v", err, set)
	}
}

func TestTwoAgentsCannotHaveOneCommand(t *testing.T) {
	dir := write(t, "mine.yaml", own)
	if err := os.WriteFile(filepath.Join(dir, "yours.yaml"), []byte(strings.Replace(own, "name: mine", "name: yours", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "yours.yaml:3: the command mine is the agent mine's already") {
		t.Errorf("got %v", err)
	}
}

func TestFileOfAnAgentIsReadUpToItsCeiling(t *testing.T) {
	if _, err := Load(write(t, "mine.yaml", own+"#"+strings.Repeat("x", maxFile-len(own)-1))); err != nil {
		t.Errorf("control: %v", err)
	}
	if _, err := Load(write(t, "mine.yaml", own+"#"+strings.Repeat("x", maxFile-len(own)))); err == nil {
		t.Error("a longer one is read")
	}
	dir := write(t, "mine.yaml", own)
	for i := range maxOwn {
		name := "a" + strings.Repeat("b", i%30) + string(rune('a'+i/30))
		if err := os.WriteFile(filepath.Join(dir, name+".yaml"), []byte(strings.ReplaceAll(own, "mine]", name+"]")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := Load(dir); err == nil || !strings.Contains(err.Error(), "more than 100") {
		t.Errorf("more files: %v", err)
	}
}

// The table in docs/agents.md is of the data.
func TestDocsShowEveryAgent(t *testing.T) {
	text, err := os.ReadFile("../../docs/agents.md")
	if err != nil {
		t.Fatal(err)
	}
	_, after, _ := strings.Cut(string(text), "<!-- agents -->\n")
	table, _, found := strings.Cut(after, "<!-- end -->")
	set := load(t, t.TempDir())
	slices.SortFunc(set, func(a, b Agent) int { return strings.Compare(a.Name, b.Name) })
	want := Table(set)
	if !found || table != want {
		t.Errorf("the table is not of the data, which would be\n%s", want)
	}
}
