package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/av-project/av/runner"
)

// shared is a part of an agent's state that --home=share puts into the box: nothing that
// the host would run later may be written there, and no login is among it.
type shared struct {
	path     string // below the user's home, and in HOME in the box
	readOnly bool
}

var sharedState = map[string][]shared{
	"claude": {
		{".claude/projects", false}, {".claude/todos", false},
		{".claude/CLAUDE.md", true}, {".claude/commands", true}, {".claude/agents", true}, {".claude/skills", true},
	},
	"codex": {
		{".codex/sessions", false},
		{".codex/AGENTS.md", true}, {".codex/prompts", true}, {".codex/config.toml", true},
	},
}

// putHome says what HOME in the box is.
func (f boxFlags) putHome(agent string, spec *runner.Spec) error {
	switch f.home {
	case "ephemeral":
		return nil
	case "persist":
		spec.KeptHome = &runner.KeptHome{Agent: agent}
		return nil
	case "share":
	default:
		return withHint(fmt.Errorf("unknown choice %q for --home", f.home), "use --home=ephemeral, persist or share")
	}
	list, known := sharedState[agent]
	if !known {
		var names []string
		for name := range sharedState {
			names = append(names, name)
		}
		slices.Sort(names)
		return withHint(fmt.Errorf("--home=share: av does not know where %s keeps its state", agent),
			"it knows it of "+strings.Join(names, " and ")+"; --home=persist keeps a home of the box's own")
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return withHint(fmt.Errorf("--home=share: %w", err), "set HOME")
	}
	for _, s := range list {
		spec.Share = append(spec.Share, runner.Share{Source: filepath.Join(home, s.path), Target: s.path, ReadOnly: s.readOnly})
	}
	return nil
}
