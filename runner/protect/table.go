// Package protect knows what of a workspace the host's own tools would execute later.
// It finds that before a run, so that it can be closed to the box, and again after it, so
// that nothing new of it goes unseen.
package protect

import "path"

// Pattern is a path that some tool of the host's executes, or takes commands from, without
// anybody asking for it.
type Pattern struct {
	// Path below a project's folder or a git folder. Its last part may have a *.
	Path string
	Why  string
	// Watched is not closed to the box, for work needs it. It is compared all the same.
	Watched bool
}

// Project is what is looked for in the workspace and in the folders below it.
var Project = []Pattern{
	{Path: ".git", Why: "as a file it names the folder that git takes its configuration from"},
	{Path: ".githooks", Why: "where hooks are kept that git is told to run"},
	{Path: ".envrc*", Why: "direnv runs it when the folder is entered, and what it takes in"},
	{Path: "mise*.toml", Why: "mise runs its hooks when the folder is entered"},
	{Path: ".mise*", Why: "the same"},
	{Path: ".config/mise*", Why: "the same"},
	{Path: ".vscode", Why: "tasks that run when the folder is opened, paths of programs, launch configurations"},
	{Path: "*.code-workspace", Why: "the same settings in a file"},
	{Path: ".idea", Why: "run configurations and file watchers of JetBrains' editors"},
	{Path: ".run", Why: "run configurations of JetBrains' editors"},
	{Path: ".fleet", Why: "the same"},
	{Path: ".zed", Why: "tasks and language servers of Zed"},
	{Path: ".helix", Why: "language servers that Helix starts"},
	{Path: "*.sublime-project", Why: "programs that Sublime Text starts"},
	{Path: ".exrc", Why: "vi reads commands from it"},
	{Path: ".vimrc", Why: "the same"},
	{Path: ".nvim.lua", Why: "Neovim runs it"},
	{Path: ".nvimrc", Why: "the same"},
	{Path: ".dir-locals*.el", Why: "Emacs evaluates it"},
	{Path: ".gdbinit", Why: "gdb runs it"},
	{Path: ".lldbinit", Why: "lldb runs it"},
	{Path: ".pdbrc", Why: "Python's debugger runs it"},
	{Path: ".irbrc", Why: "Ruby's shell runs it"},
	{Path: ".pryrc", Why: "the same"},
	{Path: ".Rprofile", Why: "R runs it"},
	{Path: ".ghci", Why: "ghci runs it"},
	{Path: ".devcontainer", Why: "commands that run on the host, and mounts of a container that an editor starts"},
	{Path: ".devcontainer.json", Why: "the same"},
	{Path: ".github/workflows", Why: "runs on the next push, with the repository's secrets"},
	{Path: ".github/actions", Why: "the same"},
	{Path: ".github/hooks", Why: "hooks of Copilot"},
	{Path: ".gitlab-ci.yml", Why: "runs on the next push, with the repository's secrets"},
	{Path: ".circleci", Why: "the same"},
	{Path: ".forgejo/workflows", Why: "the same"},
	{Path: ".gitea/workflows", Why: "the same"},
	{Path: ".woodpecker", Why: "the same"},
	{Path: ".woodpecker.y*ml", Why: "the same"},
	{Path: ".buildkite", Why: "the same"},
	{Path: ".drone.yml", Why: "the same"},
	{Path: ".travis.yml", Why: "the same"},
	{Path: "azure-pipelines*.yml", Why: "the same"},
	{Path: "bitbucket-pipelines.yml", Why: "the same"},
	{Path: "Jenkinsfile", Why: "the same"},
	{Path: ".claude/settings*.json", Why: "hooks and permissions of Claude Code on the host"},
	{Path: ".claude/hooks", Why: "what those hooks run"},
	{Path: ".claude/commands", Why: "commands, skills and agents of Claude Code may bring hooks, permissions and shell commands of their own"},
	{Path: ".claude/skills", Why: "the same"},
	{Path: ".claude/agents", Why: "the same"},
	{Path: ".claude/plugins", Why: "the same"},
	{Path: ".mcp.json", Why: "programs that coding agents start"},
	{Path: ".cursor", Why: "hooks, and programs that Cursor starts"},
	{Path: ".codex", Why: "programs that Codex starts, and what it may do unasked"},
	{Path: ".gemini", Why: "the same of Gemini"},
	{Path: ".opencode", Why: "plug-ins of opencode"},
	{Path: "opencode.json*", Why: "programs that opencode starts"},
	{Path: ".aider.conf.yml", Why: "commands that aider runs"},
	{Path: ".continue", Why: "programs that Continue starts"},
	{Path: ".amp", Why: "the same of Amp"},
	{Path: ".kiro", Why: "hooks, and programs that Kiro starts"},
	{Path: ".roo", Why: "programs that Roo Code starts"},
	{Path: ".clinerules/hooks", Why: "hooks of Cline"},
	{Path: ".crush.json", Why: "programs that Crush starts"},
	{Path: "crush.json", Why: "the same"},
	{Path: ".qwen", Why: "the same of Qwen Code"},
	{Path: ".windsurf", Why: "the same of Windsurf"},
	{Path: ".npmrc", Why: "where npm fetches code from, and the shell that it runs scripts with"},
	{Path: ".yarnrc*", Why: "the program that runs as yarn, and its plug-ins"},
	{Path: ".yarn/releases", Why: "runs as yarn"},
	{Path: ".yarn/plugins", Why: "runs in yarn"},
	{Path: ".pnpmfile.*", Why: "pnpm runs it"},
	{Path: "bunfig.toml", Why: "code that bun loads first"},
	{Path: ".cargo/config*", Why: "programs that cargo runs in the place of rustc and the linker"},
	{Path: "rust-toolchain*", Why: "the folder with the cargo and the rustc that are run"},
	{Path: ".bundle/config", Why: "where bundler fetches code from"},
	{Path: ".pre-commit-config.yaml", Why: "programs that run at each commit"},
	{Path: ".husky", Why: "the same"},
	{Path: "lefthook*", Why: "the same"},
	{Path: ".lefthook*", Why: "the same"},
	{Path: ".overcommit.yml", Why: "the same"},
	{Path: ".lintstagedrc*", Why: "the same"},
	{Path: ".av.yaml", Why: "what av gives the next run"},
}

// GitFolder is what is looked for in every git folder: .git, those of submodules in
// .git/modules, those of worktrees, and bare repositories. What .gitattributes asks for,
// such as a filter, runs only if the configuration names a program for it.
var GitFolder = []Pattern{
	{Path: "config", Why: "hooks, aliases, filters, pagers, ssh commands and credential helpers are programs that git runs"},
	{Path: "config.worktree", Why: "the same"},
	{Path: "hooks", Why: "programs that git runs at a commit, a checkout, a push"},
	{Path: "commondir", Why: "names another folder for git to take configuration and hooks from"},
	{Path: "gitdir", Why: "names the folder that a worktree is in"},
	{Path: "rebase-merge/git-rebase-todo", Why: "`git rebase --continue` runs the commands in it", Watched: true},
}

// Built is what people execute on purpose, and what an agent is there to change. It is
// open to the box, and named only to those who want to hear it.
var Built = []Pattern{
	{Path: "Makefile", Why: "make"}, {Path: "GNUmakefile", Why: "make"}, {Path: "makefile", Why: "make"},
	{Path: "justfile", Why: "just"}, {Path: "Taskfile.y*ml", Why: "task"}, {Path: "Rakefile", Why: "rake"}, {Path: "noxfile.py", Why: "nox"}, {Path: "tox.ini", Why: "tox"},
	{Path: "package.json", Why: "npm"}, {Path: "composer.json", Why: "composer"}, {Path: "Gemfile", Why: "bundler"},
	{Path: "conftest.py", Why: "pytest"}, {Path: "setup.py", Why: "pip"}, {Path: "pyproject.toml", Why: "pip"},
	{Path: "build.rs", Why: "cargo"}, {Path: "CMakeLists.txt", Why: "cmake"}, {Path: "configure", Why: "configure"},
	{Path: "build.gradle*", Why: "gradle"}, {Path: "gradlew", Why: "gradle"}, {Path: "mvnw", Why: "maven"}, {Path: "pom.xml", Why: "maven"},
	{Path: "Dockerfile", Why: "docker build"}, {Path: "docker-compose*.y*ml", Why: "docker compose"}, {Path: "compose*.y*ml", Why: "docker compose"},
	{Path: ".env", Why: "docker compose, and editors for what they start"}, {Path: "flake.nix", Why: "nix"}, {Path: "Vagrantfile", Why: "vagrant"}, {Path: "Procfile", Why: "foreman"},
	{Path: ".bazelrc", Why: "bazel"}, {Path: "tools/bazel", Why: "bazel"}, {Path: ".mvn/*", Why: "maven"}, {Path: "gradle/wrapper/*", Why: "gradle"},
	{Path: "eslint.config.*", Why: "eslint, in editors too"}, {Path: ".eslintrc*", Why: "eslint"}, {Path: "prettier.config.*", Why: "prettier"}, {Path: ".prettierrc*", Why: "prettier"},
	{Path: ".pnp.*", Why: "yarn"},
}

// Covers tells whether a path below a workspace, or a repository in it, is one that the
// host's tools would execute. All of a git folder counts: what lies in it is git's.
func Covers(name string) bool {
	for at := name; at != "." && at != "/"; at = path.Dir(at) {
		if IsDotGit(path.Base(at)) {
			return true
		}
		for _, p := range Project {
			if matchesEnd(p.Path, at) {
				return true
			}
		}
	}
	return false
}

// matchesEnd tells whether the last parts of name are a pattern: the repository that it
// is of may lie anywhere.
func matchesEnd(pattern, name string) bool {
	for pattern != "." {
		if name == "." {
			return false
		}
		if !matches(path.Base(pattern), path.Base(name)) {
			return false
		}
		pattern, name = path.Dir(pattern), path.Dir(name)
	}
	return true
}

// LeadsTo tells whether a path, were it a link, would stand for a folder in which tools look
// for what they execute.
func LeadsTo(name string) bool {
	for _, p := range Project {
		for at := path.Dir(p.Path); at != "."; at = path.Dir(at) {
			if matchesEnd(at, name) {
				return true
			}
		}
	}
	return false
}

// CoversInGit is Covers for a path below a git folder.
func CoversInGit(name string) bool {
	for _, p := range GitFolder {
		for at := name; at != "."; at = path.Dir(at) {
			if same(at, p.Path) {
				return true
			}
		}
	}
	return false
}
