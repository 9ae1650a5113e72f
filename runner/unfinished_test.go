package runner

import (
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/av-project/av/runner/nofollow"
	"github.com/av-project/av/runner/protect"
)

func TestDeadRunIsComparedWithWhatItSaw(t *testing.T) {
	run, folder := t.TempDir(), t.TempDir()
	if found, err := CompareDead(run); err != nil || found != nil {
		t.Errorf("one that has seen nothing: %v, %v", found, err)
	}
	if err := os.WriteFile(filepath.Join(folder, ".exrc"), []byte("mine"), 0o644); err != nil {
		t.Fatal(err)
	}
	root, err := nofollow.Walk(folder)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	p := placed{watched: []watched{{root, firstLook{Path: folder, Seen: protect.Look(root, folder)}}}}
	if err := p.keepLooks(run); err != nil {
		t.Fatal(err)
	}
	if found, err := CompareDead(run); err != nil || len(found) != 0 {
		t.Errorf("where nothing has changed: %v, %v", found, err)
	}
	// A name that is no text has to come back as it was.
	const name = ".vscode/\xff"
	for path, text := range map[string]string{".exrc": "theirs", name: "x"} {
		path = filepath.Join(folder, path)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	found, err := CompareDead(run)
	if err != nil || len(found) != 1 || found[0].Folder != folder || !slices.Equal(found[0].Created, []string{name}) || !slices.Equal(found[0].Changed, []string{".exrc"}) {
		t.Errorf("%+v, %v", found, err)
	}
	again := t.TempDir()
	p.watched[0].Seen = protect.Look(root, folder)
	if err := p.keepLooks(again); err != nil {
		t.Fatal(err)
	}
	if found, err := CompareDead(again); err != nil || len(found) != 0 {
		t.Errorf("of what is the same: %v, %v", found, err)
	}
	if err := os.Rename(folder, folder+"-moved"); err != nil {
		t.Fatal(err)
	}
	if found, err := CompareDead(run); err == nil || len(found) > 0 {
		t.Errorf("of a folder that is gone: %v, %v", found, err)
	}
	if err := os.WriteFile(filepath.Join(again, lookFile), []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if found, err := CompareDead(again); err == nil || len(found) > 0 {
		t.Errorf("with what is no look: %v, %v", found, err)
	}
}
