package protect

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the golden files anew")

const (
	doc      = "../../docs/running.md"
	docBegin = "<!-- protected paths: written by the tests from here (make golden) -->\n"
	docEnd   = "<!-- to here -->\n"
)

func TestDocumentNamesEveryProtectedPathGolden(t *testing.T) {
	text, err := os.ReadFile(doc)
	must(t, err)
	before, rest, ok := strings.Cut(string(text), docBegin)
	was, after, ended := strings.Cut(rest, docEnd)
	if !ok || !ended {
		t.Fatalf("%s has no place for the table", doc)
	}
	var b strings.Builder
	b.WriteString("\n| in the folder, and those below it | why |\n|---|---|\n")
	for _, p := range Project {
		fmt.Fprintf(&b, "| `%s` | %s |\n", p.Path, p.Why)
	}
	b.WriteString("\n| in a git folder: `.git`, those of submodules and worktrees, bare repositories | why |\n|---|---|\n")
	for _, p := range GitFolder {
		why := p.Why
		if p.Watched {
			why += " (not closed, for work needs it; only compared)"
		}
		fmt.Fprintf(&b, "| `%s` | %s |\n", p.Path, why)
	}
	b.WriteString("\n")
	if was == b.String() {
		return
	}
	if !*update {
		t.Fatalf("%s is not what the table says: run `make golden`", doc)
	}
	must(t, os.WriteFile(doc, []byte(before+docBegin+b.String()+docEnd+after), 0o644))
}

func TestEveryPatternSaysWhy(t *testing.T) {
	seen := map[string]bool{}
	for _, p := range append(append(append([]Pattern{}, Project...), GitFolder...), Built...) {
		if p.Why == "" || seen[p.Path] || strings.HasPrefix(p.Path, "/") || strings.Contains(p.Path, "..") {
			t.Errorf("%+v", p)
		}
		seen[p.Path] = true
	}
}
