package protect

import (
	"errors"
	"io"
	"path/filepath"
	"strings"

	"github.com/av-project/av/runner/nofollow"
)

// Worktree is a workspace whose git folder belongs to a repository outside of it.
type Worktree struct {
	Common string // the repository's git folder
	Own    string // the worktree's, in it
}

// ErrElsewhere says that a workspace's .git names a folder outside of it that does not
// name the workspace back.
var ErrElsewhere = errors.New("its git folder lies outside of it, and is not that of a worktree here")

// maxGitFile is the longest file with the path of a git folder that is read, in bytes.
const maxGitFile = 4096

// FindWorktree looks whether the workspace at path is a linked worktree; nil: it is not.
// The file .git lies in the workspace, and an agent may have written anything there. So the
// folder that it names is believed only if that is a repository's, and names the workspace
// as its worktree: to write that, the agent would have had to be in there before.
func FindWorktree(root *nofollow.Dir, path string) (*Worktree, error) {
	if kind(root, ".git") != nofollow.File {
		return nil, nil
	}
	text, err := line(root, ".git")
	if err != nil {
		return nil, err
	}
	own, ok := strings.CutPrefix(text, "gitdir: ")
	if !ok {
		return nil, nil
	}
	if !filepath.IsAbs(own) {
		own = filepath.Join(path, own)
	}
	own = filepath.Clean(own)
	if rel, err := filepath.Rel(path, own); err == nil && rel != ".." && !strings.HasPrefix(rel, "../") {
		return nil, nil // inside, as a submodule's may be
	}
	w := &Worktree{Common: filepath.Dir(filepath.Dir(own)), Own: own}
	common, err := nofollow.Walk(w.Common)
	if err != nil {
		return nil, ErrElsewhere
	}
	defer common.Close()
	name := "worktrees/" + filepath.Base(own)
	back, err := line(common, name+"/gitdir")
	if err != nil || !filepath.IsAbs(back) || filepath.Clean(back) != filepath.Join(path, ".git") || filepath.Base(filepath.Dir(own)) != "worktrees" {
		return nil, ErrElsewhere
	}
	if parent, err := line(common, name+"/commondir"); err != nil || parent != "../.." {
		return nil, ErrElsewhere
	}
	if kind(common, "HEAD") != nofollow.File || kind(common, "objects") != nofollow.Folder || kind(common, "refs") != nofollow.Folder {
		return nil, ErrElsewhere
	}
	return w, nil
}

// line reads a file of one line.
func line(root *nofollow.Dir, name string) (string, error) {
	f, _, err := root.Open(name)
	if err != nil {
		return "", err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxGitFile))
	return strings.TrimSpace(string(text)), err
}
