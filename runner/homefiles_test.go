package runner

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestFoldersComeBeforeTheFilesOfHomeThatLieInThem(t *testing.T) {
	var got []string
	for _, f := range withFolders([]HomeFile{
		{Path: ".claude.json", Content: []byte("{}")},
		{Path: ".config/tool/a.toml", Content: []byte("a = 1")},
		{Path: ".config/tool/run", Mode: 0o755},
	}) {
		got = append(got, fmt.Sprintf("%s %o %t %s", f.Path, f.Mode, f.Content == nil, f.Content))
	}
	want := []string{".claude.json 600 false {}", ".config 700 true ", ".config/tool 700 true ",
		".config/tool/a.toml 600 false a = 1", ".config/tool/run 755 false "}
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
