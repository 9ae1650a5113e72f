package netiso

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// States of a live run.
const (
	Starting = "starting"
	Running  = "running"
	Ending   = "ending"
)

// Note is what a run says of itself to whoever lists runs. Nothing is decided by it: it
// is a file, and whether the run is alive says its lock. The command's arguments are
// left out, for they may hold secrets.
type Note struct {
	Run       string    `json:"run"`
	State     string    `json:"state"`
	Began     time.Time `json:"began"`
	Command   string    `json:"command"`
	Isolation string    `json:"isolation"`
	Image     string    `json:"image,omitempty"`
	Folder    string    `json:"folder"`
	Network   string    `json:"network,omitempty"`
	Subnet    string    `json:"subnet,omitempty"`
	// Detached is a run that goes on without a terminal of its own.
	Detached bool `json:"detached,omitempty"`
}

// Dir is the folder of a run of a home.
func Dir(home, run string) string { return filepath.Join(runsDir(home), run) }

const (
	noteFile = "run.json"
	// deadFile marks a run that is being taken apart by somebody else, who holds its lock.
	deadFile = "dead"
	// maxNote is the longest note that is read, in bytes.
	maxNote = 64 << 10
)

// Tell changes the run's note. One that cannot be written is only not shown: no run
// fails by it.
func (l *Lease) Tell(change func(*Note)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	change(&l.note)
	text, err := json.Marshal(l.note)
	if err != nil {
		return
	}
	// In one step: nobody reads half a note.
	fresh := filepath.Join(l.Dir, noteFile+".new")
	if os.WriteFile(fresh, text, 0o600) == nil {
		_ = os.Rename(fresh, filepath.Join(l.Dir, noteFile))
	}
}

// Live lists the runs of a home that are alive, the oldest first.
func Live(home string) ([]Note, error) {
	runs, unnamed, err := folders(home)
	if err != nil {
		return nil, err
	}
	var live []Note
	look := func(dir, run string) {
		if note, ok := liveNote(dir, run); ok {
			live = append(live, note)
		}
	}
	for _, run := range runs {
		look(filepath.Join(runsDir(home), run), run)
	}
	for _, name := range unnamed {
		if run, ended := strings.CutPrefix(name, endedPrefix); ended && runID.MatchString(run) {
			look(filepath.Join(runsDir(home), name), run)
		}
	}
	slices.SortFunc(live, func(a, b Note) int {
		return cmp.Or(a.Began.Compare(b.Began), strings.Compare(a.Run, b.Run))
	})
	// One that loses its folder's name meanwhile is met under both.
	return slices.CompactFunc(live, func(a, b Note) bool { return a.Run == b.Run }), nil
}

// liveNote reads the note of one run, if that is alive. The lock is asked first: a note
// that is missing then is a start that has not written it, or an end that has removed it.
func liveNote(dir, run string) (Note, bool) {
	info, err := os.Lstat(filepath.Join(dir, "lock"))
	if err != nil {
		return Note{}, false
	}
	if held, err := isHeld(filepath.Join(dir, "lock")); err != nil || !held || exists(filepath.Join(dir, deadFile)) {
		return Note{}, false
	}
	note, err := readNote(filepath.Join(dir, noteFile))
	if err != nil {
		note = Note{State: Starting, Began: info.ModTime()}
	}
	if note.Run = run; strings.HasPrefix(filepath.Base(dir), endedPrefix) {
		note.State = Ending
	}
	return note, true
}

func readNote(path string) (note Note, err error) {
	f, err := os.Open(path)
	if err != nil {
		return note, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxNote))
	if err == nil {
		err = json.Unmarshal(text, &note)
	}
	return note, err
}

// condemn marks a dead run as one that is being taken apart.
func (l *Lease) condemn() error {
	err := os.WriteFile(filepath.Join(l.Dir, deadFile), nil, 0o600)
	if errors.Is(err, fs.ErrNotExist) {
		return nil // it left no folder
	}
	if err != nil {
		return fmt.Errorf("mark the dead run: %w", err)
	}
	return nil
}
