// Package netiso makes the network that a run lives in: a bridge of its own, a gate
// that holds the namespace, walls inside and on the host, and the proof that they
// stand. It also finds and removes what dead runs left.
package netiso

import (
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"syscall"
)

// Labels on everything that av creates on an engine. Prune touches nothing else.
const (
	LabelIsolation = "av.isolation"
	LabelRun       = "av.run"
	LabelOwner     = "av.owner"
)

// Run says whose a thing on the engine is.
type Run struct {
	ID    string // eight hexadecimal digits
	Owner string // the av home that the run belongs to
}

// NewRun draws an id for a run of the given owner.
func NewRun(owner string) Run {
	return Run{ID: randomHex(4), Owner: owner}
}

func randomHex(n int) string {
	b := make([]byte, n)
	rand.Read(b) // never fails (crypto/rand)
	return hex.EncodeToString(b)
}

// Labels are what the run's objects carry.
func (r Run) Labels() map[string]string {
	return map[string]string{LabelIsolation: "1", LabelRun: r.ID, LabelOwner: r.Owner}
}

// Names of the run's objects. The bridge's name is an interface's and has 15
// characters at most.
func (r Run) Network() string  { return "av-" + r.ID }
func (r Run) Bridge() string   { return "av-" + r.ID }
func (r Run) Hostname() string { return "av-" + r.ID }
func (r Run) Gate() string     { return "av-" + r.ID + "-gate" }
func (r Run) Agent() string    { return "av-" + r.ID + "-agent" }
func (r Run) Bare() string     { return "av-" + r.ID + "-image" }
func (r Run) Keeper() string   { return "av-" + r.ID + "-keeper" }

// Giver is the container that gives the user what root in the box has made.
func (r Run) Giver() string { return "av-" + r.ID + "-giver" }

// Owner gives the random name of this av home, and makes it when there is none. Two
// users of one engine, or two homes of one user, are so told apart: whether a run is
// alive can only be asked where its lock is.
func Owner(home string) (string, error) {
	owner, err := KnownOwner(home)
	if !errors.Is(err, fs.ErrNotExist) {
		return owner, err
	}
	if err := os.MkdirAll(home, 0o700); err != nil {
		return "", fmt.Errorf("make av's folder: %w", err)
	}
	inode, err := inodeOf(home)
	if err != nil {
		return "", fmt.Errorf("name av's folder: %w", err)
	}
	if err := writeOnce(ownerFile(home), fmt.Sprintf("%s %d\n", randomHex(8), inode)); err != nil {
		return "", fmt.Errorf("name av's folder: %w", err)
	}
	return KnownOwner(home)
}

// KnownOwner is Owner for those who only look: fs.ErrNotExist says that no run has
// come from this home yet.
func KnownOwner(home string) (string, error) {
	content, err := os.ReadFile(ownerFile(home))
	if err != nil {
		return "", fmt.Errorf("read the name of av's folder: %w", err)
	}
	inode, err := inodeOf(home)
	if err != nil {
		return "", fmt.Errorf("read the name of av's folder: %w", err)
	}
	var owner string
	var named uint64
	if _, err := fmt.Sscanf(string(content), "%s %d\n", &owner, &named); err != nil || !ownerName.MatchString(owner) {
		return "", fmt.Errorf("%s does not hold a name that av gave", ownerFile(home))
	}
	if named != inode {
		// A copy of another home: with its name, but without its locks, every live run
		// of the original would look dead from here.
		if err := os.Remove(ownerFile(home)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return "", fmt.Errorf("forget the name of the folder that this one was copied from: %w", err)
		}
		return "", fmt.Errorf("this folder has no name of its own yet: %w", fs.ErrNotExist)
	}
	return owner, nil
}

var ownerName = regexp.MustCompile(`^[0-9a-f]{16}$`)

func ownerFile(home string) string { return filepath.Join(home, "owner") }

func inodeOf(path string) (uint64, error) {
	info, err := os.Stat(path)
	if err != nil {
		return 0, err
	}
	stat, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return 0, errors.New("this system does not tell one folder from another")
	}
	return stat.Ino, nil
}

// writeOnce makes a file with its whole content, or leaves the one that another
// process has just made.
func writeOnce(path, content string) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name())
	_, err = f.WriteString(content)
	if err = errors.Join(err, f.Close()); err != nil {
		return err
	}
	if err := os.Link(f.Name(), path); err != nil && !errors.Is(err, fs.ErrExist) {
		return err
	}
	return nil
}

var runID = regexp.MustCompile(`^[0-9a-f]{8}$`)

// owns tells whether labels are those that av gave to a thing of this run. The id is
// looked at because it becomes part of a path.
func (r Run) owns(labels map[string]string) bool {
	return labels[LabelIsolation] == "1" && labels[LabelOwner] == r.Owner &&
		labels[LabelRun] == r.ID && runID.MatchString(r.ID)
}

// ownerFilter lists what av made for one owner.
func ownerFilter(owner string) map[string]string {
	return map[string]string{LabelIsolation: "1", LabelOwner: owner}
}
