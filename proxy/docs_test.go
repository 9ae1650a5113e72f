package proxy

import (
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	codeInSource = regexp.MustCompile(`(?:code: |badRequest\(|f\.code, f\.message(?:, f\.hint)? = |code\w* += )"([a-z_]+)"`)
	codeInDocs   = regexp.MustCompile("(?m)^\\| (`[a-z_]+`(?:, `[a-z_]+`)*) \\|")
)

func TestEveryCodeOfARefusalIsDocumented(t *testing.T) {
	used := map[string]bool{}
	for _, file := range try(filepath.Glob("*.go"))(t) {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		for _, m := range codeInSource.FindAllStringSubmatch(string(try(os.ReadFile(file))(t)), -1) {
			used[m[1]] = true
		}
	}
	documented := map[string]bool{}
	page := string(try(os.ReadFile("../docs/proxy.md"))(t))
	_, table, _ := strings.Cut(page, "| code | status | |")
	table, _, _ = strings.Cut(table, "\n\n")
	for _, m := range codeInDocs.FindAllStringSubmatch(table, -1) {
		for code := range strings.SplitSeq(m[1], ", ") {
			documented[strings.Trim(code, "`")] = true
		}
	}
	if len(used) < 30 {
		t.Fatalf("only %d codes found in the sources", len(used))
	}
	if a, b := slices.Sorted(maps.Keys(used)), slices.Sorted(maps.Keys(documented)); !slices.Equal(a, b) {
		t.Errorf("the sources have\n%s\ndocs/proxy.md has\n%s", a, b)
	}
}
