package limits_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A check that finds nothing anywhere proves nothing: each rule is broken once, in a tree of its own.

const rowOfLine = "| `box.maxLine` | 4 KiB | one line | refused | `TestLine` |\n"

func TestEveryDifferenceIsFound(t *testing.T) {
	const test = "package box; func TestLine() {}; func TestIdle() {}"
	const line = "package box; const maxLine = 4 << 10"
	for _, c := range []struct{ name, file, source, doc, want string }{
		{"all as it is said", "box/a.go", line, rowOfLine, ""},
		{"a ceiling that nobody wrote down", "box/a.go", line, "", "box.maxLine has no row in docs/limits.md; fill in and paste: | `box.maxLine` | 4096 | of what | what happens there | `Test…` |"},
		{"another value", "box/a.go", "package box; const maxLine = 4 << 9", rowOfLine, "box.maxLine: the document says 4 KiB, the source 2048; paste: | `box.maxLine` | 2048 | one line | refused | `TestLine` |"},
		{"a time for a number", "box/a.go", "package box; import \"time\"; const maxLine = 4096 * time.Second", rowOfLine, "box.maxLine: the document says 4 KiB, the source 4096 s; paste: | `box.maxLine` | 4096 s | one line | refused | `TestLine` |"},
		{"a row of nothing", "box/a.go", "package box", rowOfLine, "box.maxLine is in docs/limits.md and in no source"},
		{"a row twice", "box/a.go", line, rowOfLine + rowOfLine, "box.maxLine has two rows"},
		{"a test that is not there", "box/a.go", line, strings.ReplaceAll(rowOfLine, "TestLine", "TestGone"), "box.maxLine: there is no test TestGone"},
		{"one test of two that is not there", "box/a.go", line, strings.ReplaceAll(rowOfLine, "`TestLine`", "`TestLine`, `TestGone`"), "box.maxLine: there is no test TestGone"},
		{"no test", "box/a.go", line, strings.ReplaceAll(rowOfLine, "`TestLine`", "-"), "box.maxLine: it has no test"},
		{"no test where none can be", "box/a.go", line + "; const maxPiece = 1", rowOfLine + "| `box.maxPiece` | 1 | a piece | nothing | - |\n", ""},
		{"no word of what happens", "box/a.go", line, strings.ReplaceAll(rowOfLine, "refused", ""), "box.maxLine: the row does not say of what it is, or what happens"},
		{"anything in a limits.go", "box/limits.go", line + "; const pieces = 3", rowOfLine, "box.pieces has no row in docs/limits.md; fill in and paste: | `box.pieces` | 3 | of what | what happens there | `Test…` |"},
		{"a constant that is no ceiling", "box/a.go", line + "; const pieces = 3; const maximal = 1; const idle = 2", rowOfLine, ""},
		{"an exception from the rule", "box/a.go", line + "; const DefaultPort = 443", rowOfLine, ""},
		{"a name that ends like a ceiling", "box/a.go", line + "; const readIdle = 2 * 3", rowOfLine, "box.readIdle has no row in docs/limits.md; fill in and paste: | `box.readIdle` | 6 | of what | what happens there | `Test…` |"},
		{"a limit", "box/limits.go", line + "; type Limits struct { Bytes, Pieces int }; func DefaultLimits() Limits { return Limits{Bytes: 4 << 10} }", rowOfLine,
			"box.Limits.Bytes has no row in docs/limits.md; fill in and paste: | `box.Limits.Bytes` | 4096 | of what | what happens there | `Test…` |\n" +
				"box.Limits.Pieces has no row in docs/limits.md; fill in and paste: | `box.Limits.Pieces` | any | of what | what happens there | `Test…` |"},
		{"limits that are written down", "box/limits.go", line + "; func DefaultLimits() Limits { return Limits{Bytes: 4 << 10} }; type Limits struct { Bytes, Pieces int }",
			rowOfLine + "| `box.Limits.Bytes` | 4 KiB | a | b | `TestLine` |\n| `box.Limits.Pieces` | any | a | b | `TestLine` |\n", ""},
		{"a limit that was given a default", "box/limits.go", line + "; type Limits struct { Bytes int }; func DefaultLimits() Limits { return Limits{Bytes: 1} }", rowOfLine + "| `box.Limits.Bytes` | any | a | b | `TestLine` |\n",
			"box.Limits.Bytes: the document says any, the source 1; paste: | `box.Limits.Bytes` | 1 | a | b | `TestLine` |"},
		{"a file of another system", "box/a_windows.go", line, "", "box.maxLine has no row in docs/limits.md; fill in and paste: | `box.maxLine` | 4096 | of what | what happens there | `Test…` |"},
		{"a tool of the repository", "scripts/tool/a.go", line, "", ""},
		{"a text", "box/a.go", line + "; const defaultPath = \"/bin\"", rowOfLine, ""},
		{"a constant of a test", "box/b_test.go", line, "", ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			dir := t.TempDir()
			for name, source := range map[string]string{c.file: c.source, "box/a_test.go": test} {
				file := filepath.Join(dir, name)
				if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(file, []byte(source+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			sources, err := read(dir)
			if err != nil {
				t.Fatal(err)
			}
			none := map[string]string{}
			if strings.Contains(c.source, "DefaultPort") {
				none["box.DefaultPort"] = "a port"
			}
			rare := map[string]string{}
			if strings.Contains(c.source, "maxPiece") {
				rare["box.maxPiece"] = "a piece"
			}
			if got := strings.Join(check(sources, c.doc, none, rare), "\n"); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

func TestExceptionsAreNotKeptForLater(t *testing.T) {
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, "box"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, source := range map[string]string{"a.go": "package box; const maxLine = 4 << 10", "a_test.go": "package box; func TestLine() {}"} {
		if err := os.WriteFile(filepath.Join(dir, "box", name), []byte(source), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	sources, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	gone, met := map[string]string{"box.maxGone": "it went"}, map[string]string{"box.maxLine": "nobody meets it"}
	const want = "box.maxLine: it has a test and an exception from having one\nthe exception box.maxGone is no constant"
	if got := strings.Join(check(sources, rowOfLine, gone, met), "\n"); got != want {
		t.Errorf("got %s", got)
	}
}

func TestConstantsAreWorkedOutAsTheCompilerDoes(t *testing.T) {
	dir := t.TempDir()
	source := `package box
import "time"
const (
	maxA = 2 * (maxB + 1)
	maxB = 64 << 10 - 6/4
	maxC = 7 * 24 * time.Hour
	maxD time.Duration = 1_500
	maxE = time.Duration(maxB) * time.Millisecond
	maxF = int64(10)
	maxG = 4*maxF + len("abc")
	maxH = 1 << 62
	maxI = 1500 * time.Millisecond
)
const (
	maxJ = iota + 1
	maxK
)
`
	if err := os.WriteFile(filepath.Join(dir, "a.go"), []byte(source), 0o644); err != nil {
		t.Fatal(err)
	}
	sources, err := read(dir)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"maxA": "131072", "maxB": "65535", "maxC": "7 days", "maxD": "1.5µs", "maxE": "65535 ms", "maxF": "10", "maxG": "43",
		"maxH": "4611686018427387904", "maxI": "1500 ms", "maxJ": "1", "maxK": "2",
	} {
		v, err := sources.value("." + "." + name)
		if err != nil || v.String() != want {
			t.Errorf("%s is %s, %v; want %s", name, v, err, want)
		}
	}
}

func TestValuesAreReadAsPeopleWriteThem(t *testing.T) {
	for said, want := range map[string]string{
		"1024": "1024", "10,000": "10000", "64 KiB": "65536", "4 MiB": "4194304", "64 GiB": "68719476736", "2^62": "4611686018427387904",
		"30 s": "30 s", "120 s": "2 min", "24 h": "24 h", "1 days": "24 h", "7 days": "7 days", "250 ms": "250 ms", "any": "any",
	} {
		if v, err := parseValue(said); err != nil || v.String() != want {
			t.Errorf("%q is %s, %v; want %s", said, v, err, want)
		}
	}
	for _, said := range []string{"", "many", "3 apples", "2^", "1.5 s", "- s"} {
		if v, err := parseValue(said); err == nil {
			t.Errorf("%q is %s", said, v)
		}
	}
}
