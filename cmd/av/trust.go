package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"github.com/spf13/cobra"
)

// trustFile is where the trusted project files are kept, each with the hash of its
// content, in AV_HOME.
const trustFile = "trusted.json"

func trustCommand(e *env) *cobra.Command {
	var yes, show, remove, asJSON bool
	c := &cobra.Command{
		Use:   "trust [PATH]",
		Short: "let a project's " + projectName + " ask for more",
		Long: `Let the ` + projectName + ` of this project, or the one at PATH, say more than that a run should be
stricter. It shows what the file asks for, asks, and pins the file's content: a file that
changes afterwards is not trusted any more, and no run begins there until you have looked
again. Whoever can write the project can write that file, the agent in the box too.

The file is the nearest one at or above the folder that you are in, within its git work
tree. Its keys are the flags of ` + "`av run`" + `:

  isolation: container
  preset: [npm, pypi]
  allow: [files.example.com]`,
		Example: `  av trust
  av trust --list
  av trust --remove ~/project/` + projectName,
		Args: func(_ *cobra.Command, args []string) error {
			switch {
			case len(args) > 1:
				return withHint(errors.New("name one file"), "av trust [PATH]")
			case show && (remove || yes || len(args) > 0):
				return withHint(errors.New("--list shows all there is, and does nothing else"), "av trust --list")
			case remove && yes:
				return withHint(errors.New("--remove asks nothing"), "leave --yes out")
			case asJSON && !show:
				return withHint(errors.New("--json is for --list"), "av trust --list --json")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			switch {
			case show:
				return e.listTrust(asJSON)
			case remove:
				return e.distrust(args)
			}
			return e.trust(c.Context(), args, yes)
		},
	}
	c.Flags().BoolVar(&yes, "yes", false, "pin it without asking")
	c.Flags().BoolVar(&show, "list", false, "list the files that are trusted")
	c.Flags().BoolVar(&remove, "remove", false, "trust the file no more")
	jsonFlag(c, &asJSON)
	return c
}

// projectPath gives the project file that the command line means, by its real path.
func projectPath(args []string) (string, error) {
	dir, err := here()
	if err != nil {
		return "", err
	}
	if len(args) == 0 {
		places := projectPlaces(dir)
		for _, place := range places {
			if _, err := os.Lstat(place); err == nil {
				return place, nil
			}
		}
		return places[0], nil
	}
	path := args[0]
	if info, err := os.Stat(path); err == nil && info.IsDir() {
		path = filepath.Join(path, projectName)
	}
	if filepath.Base(path) != projectName {
		return "", withHint(fmt.Errorf("%s is not called %s", path, projectName), "name a project's "+projectName+", or its folder")
	}
	// The folder by its real name, as a run will find it; the file itself may be gone.
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(filepath.Dir(abs)); err == nil {
		abs = filepath.Join(real, projectName)
	}
	return abs, nil
}

func (e *env) trust(ctx context.Context, args []string, yes bool) error {
	path, err := projectPath(args)
	if err != nil {
		return err
	}
	f, err := readRunFile(path)
	if err != nil {
		return err
	}
	if f == nil {
		return withHint(fmt.Errorf("there is no %s", path), "make one; `av trust --help` shows what it looks like")
	}
	pins, err := e.readTrust()
	if err != nil {
		return err
	}
	if pins[path] == f.sum {
		e.tell("%s is trusted as it is", path)
		return nil
	}
	if err := e.showAsked(f); err != nil {
		return err
	}
	if !yes {
		if !e.onTerminal() {
			return withHint(fmt.Errorf("refusing to trust %s unasked, and there is no terminal to ask on", path), "look at it, and add --yes")
		}
		ok, err := e.agreed(ctx, "trust "+path+" as it is now?")
		if err != nil {
			return err
		}
		if !ok {
			return withHint(fmt.Errorf("did not trust %s", path), "runs there fail until it is trusted, or asks for less")
		}
	}
	// What was shown is what is pinned: the file is not read again.
	if err := e.changeTrust(func(pins map[string]string) { pins[path] = f.sum }); err != nil {
		return err
	}
	e.tell("trusted %s", path)
	return nil
}

// showAsked shows what a file says, and what it asks for by that.
func (e *env) showAsked(f *runFile) error {
	user, err := e.readUserFile()
	if err != nil {
		return err
	}
	asked := map[string]bool{}
	for _, s := range f.asked(user) {
		asked[s.Key] = true
	}
	rows := make([][]string, len(f.settings))
	for i, s := range f.settings {
		why := "nothing more"
		if asked[s.Key] {
			why = fileRules[s.Key].asks
		}
		rows[i] = []string{s.Key, strings.Join(s.Values, ", "), why}
	}
	return e.table([]string{"SETTING", "VALUE", "ASKS FOR"}, rows)
}

func (e *env) distrust(args []string) error {
	path, err := projectPath(args)
	if err != nil {
		return err
	}
	pins, err := e.readTrust()
	if err != nil {
		return err
	}
	if pins[path] == "" {
		return withHint(fmt.Errorf("%s is not trusted", path), "`av trust --list` lists those that are")
	}
	if err := e.changeTrust(func(pins map[string]string) { delete(pins, path) }); err != nil {
		return err
	}
	e.tell("%s is trusted no more", path)
	return nil
}

// trusted is a pin as --list shows it.
type trusted struct {
	Path   string `json:"path"`
	SHA256 string `json:"sha256"`
	State  string `json:"state"`
}

func (e *env) listTrust(asJSON bool) error {
	pins, err := e.readTrust()
	if err != nil {
		return err
	}
	all := []trusted{}
	for _, path := range sorted(pins) {
		t := trusted{path, pins[path], "as it was"}
		switch f, err := readRunFile(path); {
		case err != nil:
			t.State = "cannot be read"
		case f == nil:
			t.State = "gone"
		case f.sum != t.SHA256:
			t.State = "changed"
		}
		all = append(all, t)
	}
	if asJSON {
		return e.printJSON(all)
	}
	if len(all) == 0 {
		e.tell("no project file is trusted")
		return nil
	}
	rows := make([][]string, len(all))
	for i, t := range all {
		rows[i] = []string{t.Path, t.State, t.SHA256[:min(len(t.SHA256), 12)]}
	}
	return e.table([]string{"FILE", "STATE", "SHA256"}, rows)
}

// readTrust gives the hash that each trusted file had. One that cannot be read ends the
// command: without it nobody knows what was trusted.
func (e *env) readTrust() (map[string]string, error) {
	pins := map[string]string{}
	path := filepath.Join(e.home, trustFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return pins, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &pins)
	}
	if err != nil {
		return nil, withHint(fmt.Errorf("read the trusted files of %s: %w", path, err), "remove it, and trust your projects again")
	}
	return pins, nil
}

// changeTrust changes the pins, one change after the other.
func (e *env) changeTrust(change func(map[string]string)) (err error) {
	if err := os.MkdirAll(e.home, 0o700); err != nil {
		return fmt.Errorf("make av's folder: %w", err)
	}
	lock, err := os.OpenFile(filepath.Join(e.home, trustFile+".lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("change the trusted files: %w", err)
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	if err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX); err != nil {
		return fmt.Errorf("change the trusted files: %w", err)
	}
	pins, err := e.readTrust()
	if err != nil {
		return err
	}
	change(pins)
	text, err := json.MarshalIndent(pins, "", "  ")
	if err != nil {
		return err
	}
	return writeFile(filepath.Join(e.home, trustFile), true, func(w io.Writer) error {
		_, err := w.Write(append(text, '\n'))
		return err
	})
}
