package runner

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFilesOfHomeAreTheCommandsOwnAndSoAreTheFoldersOnTheWay(t *testing.T) {
	archive, err := packHome([]HomeFile{
		{Path: ".claude.json", Content: []byte("{}")},
		{Path: ".config/tool/a.toml", Content: []byte("a = 1")},
		{Path: ".config/tool/run", Mode: 0o755},
	}, 1234, 99)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for r := tar.NewReader(archive); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		content, _ := io.ReadAll(r)
		if err != nil || h.Uid != 1234 || h.Gid != 99 {
			t.Fatalf("%+v, %v", h, err)
		}
		got = append(got, fmt.Sprintf("%s %o %s", h.Name, h.Mode, content))
	}
	want := []string{"agent/ 700 ", "agent/.claude.json 600 {}", "agent/.config/ 700 ", "agent/.config/tool/ 700 ",
		"agent/.config/tool/a.toml 600 a = 1", "agent/.config/tool/run 755 "}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
}

func TestFileThatIsNotInHomeIsRefused(t *testing.T) {
	for _, path := range []string{"", ".", "..", "../x", "/etc/passwd", "a/../../x", "a//b", "./a", "a/"} {
		if err := checkHomeFiles([]HomeFile{{Path: path}}); err == nil {
			t.Errorf("%q is taken", path)
		}
	}
	if err := checkHomeFiles([]HomeFile{{Path: ".a"}, {Path: "a/b/..c"}}); err != nil {
		t.Error(err)
	}
}

func TestFileOfTheHostThatIsPutIntoHomeIsNotWrittenTo(t *testing.T) {
	files := []HomeFile{{Path: ".claude.json"}, {Path: ".codex/auth.json"}, {Path: ".config/a/b"}}
	for place, want := range map[string]int{
		"/workspace": 3, "/home/agent/.codex": 2, "/home/agent/.codex/auth.json": 2, "/home/agent/.codex/log": 3,
		"/home/agent/.claude.json": 2, "/home/agent": 0, "/home": 0, "/home/agent/.cod": 3, "/home/agent/.config/a/b/c": 3,
	} {
		if got := ofTheBox(files, []string{"/elsewhere", place}); len(got) != want {
			t.Errorf("with %s: %+v", place, got)
		}
	}
}
