package protect

import (
	"io"
	"path"
	"slices"
	"strings"

	"github.com/av-project/av/runner/nofollow"
)

// maxConfig is how much of a configuration of git is looked through for paths, in bytes.
const maxConfig = 256 << 10

// setting is one of a configuration's.
type setting struct{ section, key, value string }

// settings reads a configuration of git as far as its lines make sense. It needs to be no
// more careful than its owner: what an agent writes there is reported as such.
func settings(text string) (list []setting) {
	section := ""
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "[") {
			end := strings.LastIndex(line, "\"]") + 1
			if end == 0 {
				end = strings.IndexByte(line, ']')
			}
			if end < 0 {
				continue
			}
			section, line = strings.ToLower(line[1:end]), strings.TrimSpace(line[end+1:])
		}
		if key, value, ok := strings.Cut(line, "="); ok {
			list = append(list, setting{section, strings.ToLower(strings.TrimSpace(key)), strings.Trim(strings.TrimSpace(value), `"`)})
		}
	}
	return list
}

// commands tells whether git takes hooks or more settings from the path that is set.
func (s setting) commands() bool {
	return s.section == "core" && s.key == "hookspath" || s.key == "path" && strings.HasPrefix(s.section, "include")
}

// configured looks at what the configuration in a git folder names in the workspace: where
// hooks and more settings are, which is closed like those in the folder, and the programs in
// it that git is to run, which are compared.
func (l *looker) configured(gitFolder string) {
	for _, name := range []string{"config", "config.worktree"} {
		f, _, err := l.root.Open(path.Join(gitFolder, name))
		if err != nil {
			continue
		}
		text, err := io.ReadAll(io.LimitReader(f, maxConfig+1))
		f.Close()
		l.seen.Partly = l.seen.Partly || err != nil || len(text) > maxConfig
		// A path counts from the work tree or, of what is included, from the git folder.
		bases := []string{gitFolder}
		if IsDotGit(path.Base(gitFolder)) {
			bases = append(bases, dirOf(gitFolder))
		}
		list := settings(string(text))
		for _, s := range list {
			if s.section == "core" && s.key == "worktree" {
				if at, ok := l.ways.resolve(gitFolder, s.value); ok {
					bases = append(bases, at)
				}
			}
		}
		for _, s := range list {
			for _, base := range bases {
				l.setting(s, base)
			}
		}
	}
}

func (l *looker) setting(s setting, base string) {
	if s.commands() {
		if at, ok := l.ways.resolve(base, s.value); ok && at != "" {
			if !slices.Contains(l.seen.Closed, at) {
				l.seen.Closed = append(l.seen.Closed, at)
			}
			l.add(at, at, l.seen.Files, 0, 0)
		}
		return
	}
	for _, word := range strings.FieldsFunc(s.value, func(r rune) bool { return strings.ContainsRune(" \t\"\\';&|!(){}", r) }) {
		if !strings.Contains(word, "/") || l.files >= maxFiles {
			continue
		}
		if at, ok := l.ways.resolve(base, word); ok && kind(l.root, at) == nofollow.File {
			l.add(at, at, l.seen.Files, 0, 0)
		}
	}
}
