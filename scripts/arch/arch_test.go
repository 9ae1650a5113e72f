// Package arch_test holds the sources against docs/architecture.md.
// It reads the tables there and the imports here; neither can change without the other.
package arch_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const (
	root   = "../.."
	module = "github.com/av-project/av"
)

// plan is what docs/architecture.md allows.
type plan struct {
	imports map[string][]string // our package to those of ours that it may import
	fences  map[string][]string // a library to those of ours that may import it
	entries []string            // of the repository's root
}

func TestTheSourcesFollowTheArchitecture(t *testing.T) {
	doc, err := os.ReadFile(filepath.Join(root, "docs/architecture.md"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := parsePlan(string(doc))
	if err != nil {
		t.Fatal(err)
	}
	for _, b := range check(t, root, p) {
		t.Error(b)
	}
}

// The tests below break each rule once, in a tree of their own: a check that finds nothing anywhere proves nothing.

const example = "```imports\n" +
	"scripts/tool -> box\n\n" +
	"cmd/av -> everything below\n" +
	"box    -> box/engine\n" +
	"box/engine ->\n" +
	"```\n" +
	"```fences\n" +
	"example.com/docker <- box/engine\n" +
	"```\n" +
	"```entries\nbox cmd scripts\nREADME.md\n```\n"

func TestEveryRuleIsEnforced(t *testing.T) {
	const ours = `import _ "` + module
	for _, c := range []struct{ name, file, source, want string }{
		{"what the table allows", "box/a.go", "package box; " + ours + `/box/engine"`, ""},
		{"cmd/av may import what is below it", "cmd/av/a.go", "package main; " + ours + `/box/engine"`, ""},
		{"and nothing above it", "cmd/av/a.go", "package main; " + ours + `/scripts/tool"`,
			"cmd/av/a.go: cmd/av must not import scripts/tool"},
		{"an arrow that is not drawn", "box/engine/a.go", "package engine; " + ours + `/box"`,
			"box/engine/a.go: box/engine must not import box"},
		{"an arrow for another system", "box/engine/a_windows.go", "package engine; " + ours + `/box"`,
			"box/engine/a_windows.go: box/engine must not import box"},
		{"an arrow of a test", "box/engine/a_test.go", "package engine; " + ours + `/box"`, ""},
		{"a package that is not drawn", "box/extra/a.go", "package extra",
			"box/extra/a.go: box/extra is not in the import table"},
		{"a fenced library", "box/a.go", `package box; import _ "example.com/docker/client"`,
			"box/a.go: box must not import example.com/docker/client"},
		{"a fenced library where it belongs", "box/engine/a.go", `package engine; import _ "example.com/docker/client"`, ""},
		{"a library whose name only begins like a fenced one", "box/a.go", `package box; import _ "example.com/docker-units"`, ""},
		{"the end of the process", "box/a.go", `package box; import "os"; func f() { os.Exit(1) }`,
			"box/a.go:1:38: os.Exit outside a main.go"},
		{"by another name", "box/a.go", `package box; import o "os"; func f() { o.Exit(1) }`,
			"box/a.go:1:40: os.Exit outside a main.go"},
		{"in a main package, beside main.go", "cmd/av/a.go", `package main; import "log"; func f() { log.Fatalf("") }`,
			"cmd/av/a.go:1:40: log.Fatalf outside a main.go"},
		{"in main.go", "cmd/av/main.go", `package main; import "os"; func main() { os.Exit(1) }`, ""},
		{"a print", "box/a.go", `package box; import "fmt"; func f() { fmt.Println() }`,
			"box/a.go:1:39: fmt.Println outside a main package"},
		{"a standard stream", "box/a.go", `package box; import "os"; var w = os.Stdout`,
			"box/a.go:1:35: os.Stdout outside a main package"},
		{"a print in a main package", "cmd/av/a.go", `package main; import "fmt"; func f() { fmt.Println() }`, ""},
		{"an import that hides its names", "box/a.go", `package box; import . "os"`,
			"box/a.go: imports os with a dot"},
		{"a stray file in the root", "notes.txt", "", "notes.txt does not belong into the root of the repository"},
		{"what git and make put there", ".git/config", "", ""},
		{"a file that is data", "box/testdata/a.go", "package nothing; " + ours + `/cmd/av"`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			p, err := parsePlan(example)
			if err != nil {
				t.Fatal(err)
			}
			dir := t.TempDir()
			file := filepath.Join(dir, c.file)
			if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(file, []byte(c.source+"\n"), 0o644); err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(check(t, dir, p), "\n"); got != c.want {
				t.Errorf("got %q, want %q", got, c.want)
			}
		})
	}
}

func TestATableThatCannotBeReadIsRefused(t *testing.T) {
	for _, c := range []struct{ old, new, want string }{
		{"```imports", "```", "no block ```imports"},
		{"```fences", "```", "no block ```fences"},
		{"```entries", "```", "no block ```entries"},
		{"box    -> box/engine", "box box/engine", `"box box/engine" has no ->`},
		{"box    -> box/engine", "box    -> box/motor", "box -> box/motor: no such row"},
		{"<- box/engine", "<- box/motor", "example.com/docker <- box/motor: no such row"},
		{"scripts/tool -> box", "box -> box/engine", "box has two rows"},
	} {
		_, err := parsePlan(strings.Replace(example, c.old, c.new, 1))
		if err == nil || err.Error() != c.want {
			t.Errorf("with %q: %v, want %s", c.new, err, c.want)
		}
	}
}

// parsePlan reads the three blocks of the document.
func parsePlan(doc string) (plan, error) {
	var p plan
	imports, order, err := rows(doc, "imports", "->")
	if err != nil {
		return p, err
	}
	for i, name := range order {
		if strings.Join(imports[name], " ") == "everything below" {
			imports[name] = order[i+1:]
		}
	}
	fences, _, err := rows(doc, "fences", "<-")
	if err != nil {
		return p, err
	}
	for arrow, table := range map[string]map[string][]string{"->": imports, "<-": fences} {
		for name, targets := range table {
			for _, target := range targets {
				if !slices.Contains(order, target) {
					return p, fmt.Errorf("%s %s %s: no such row", name, arrow, target)
				}
			}
		}
	}
	entries, err := block(doc, "entries")
	return plan{imports, fences, strings.Fields(entries)}, err
}

func rows(doc, name, arrow string) (table map[string][]string, order []string, err error) {
	text, err := block(doc, name)
	if err != nil {
		return nil, nil, err
	}
	table = map[string][]string{}
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if line == "" {
			continue
		}
		left, right, ok := strings.Cut(line, arrow)
		if !ok {
			return nil, nil, fmt.Errorf("%q has no %s", line, arrow)
		}
		left = strings.TrimSpace(left)
		if _, twice := table[left]; twice {
			return nil, nil, fmt.Errorf("%s has two rows", left)
		}
		table[left] = strings.Fields(right)
		order = append(order, left)
	}
	return table, order, nil
}

func block(doc, name string) (string, error) {
	_, rest, ok := strings.Cut(doc, "\n```"+name+"\n")
	if !ok {
		if rest, ok = strings.CutPrefix(doc, "```"+name+"\n"); !ok {
			return "", fmt.Errorf("no block ```%s", name)
		}
	}
	text, _, _ := strings.Cut(rest, "\n```")
	return text, nil
}

// check returns every breach of the plan in the tree, one line each.
func check(t *testing.T, dir string, p plan) (breaches []string) {
	t.Helper()
	files := token.NewFileSet()
	err := filepath.WalkDir(dir, func(file string, d fs.DirEntry, err error) error {
		if err != nil || file == dir {
			return err
		}
		name, err := filepath.Rel(dir, file)
		if err != nil {
			return err
		}
		name = filepath.ToSlash(name)
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules" || name == "bin") {
			return fs.SkipDir
		}
		if !strings.Contains(name, "/") && !strings.HasPrefix(name, ".") && !slices.Contains(p.entries, name) {
			breaches = append(breaches, name+" does not belong into the root of the repository")
		}
		if d.IsDir() || !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		// The name in the set is the one in the tree, so that messages do not hold the folder of a test.
		tree, err := parser.ParseFile(files, name, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		breaches = append(breaches, checkImports(p, name, tree)...)
		breaches = append(breaches, checkUses(files, name, tree)...)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return breaches
}

// checkImports judges what a file imports, whatever system it is built for.
func checkImports(p plan, name string, tree *ast.File) (breaches []string) {
	pkg := path.Dir(name)
	allowed, drawn := p.imports[pkg]
	if !drawn {
		return []string{name + ": " + pkg + " is not in the import table"}
	}
	for _, spec := range tree.Imports {
		target, _ := strconv.Unquote(spec.Path.Value)
		if spec.Name != nil && spec.Name.Name == "." {
			breaches = append(breaches, name+": imports "+target+" with a dot")
		}
		ours, isOurs := strings.CutPrefix(target, module+"/")
		forbidden := isOurs && !slices.Contains(allowed, ours)
		for library, users := range p.fences {
			if target == library || strings.HasPrefix(target, library+"/") {
				forbidden = !slices.Contains(users, pkg)
			}
		}
		if forbidden {
			breaches = append(breaches, name+": "+pkg+" must not import "+strings.TrimPrefix(target, module+"/"))
		}
	}
	return breaches
}

// checkUses finds the ends of the process and the prints that are not where they belong.
func checkUses(files *token.FileSet, name string, tree *ast.File) (breaches []string) {
	imported := map[string]string{} // the name in this file to the package
	for _, spec := range tree.Imports {
		target, _ := strconv.Unquote(spec.Path.Value)
		local := path.Base(target)
		if spec.Name != nil {
			local = spec.Name.Name
		}
		imported[local] = target
	}
	ast.Inspect(tree, func(n ast.Node) bool {
		selector, ok := n.(*ast.SelectorExpr)
		if !ok {
			return true
		}
		x, ok := selector.X.(*ast.Ident)
		if !ok {
			return true
		}
		where := ""
		switch use := imported[x.Name] + "." + selector.Sel.Name; {
		case (use == "os.Exit" || strings.HasPrefix(use, "log.Fatal")) && path.Base(name) != "main.go":
			where = use + " outside a main.go"
		case (use == "os.Stdout" || strings.HasPrefix(use, "fmt.Print")) && tree.Name.Name != "main":
			where = use + " outside a main package"
		}
		if where != "" {
			breaches = append(breaches, files.Position(n.Pos()).String()+": "+where)
		}
		return true
	})
	return breaches
}
