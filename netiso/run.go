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
	"strings"
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
func (r Run) Network() string { return "av-" + r.ID }
func (r Run) Bridge() string  { return "av-" + r.ID }
func (r Run) Gate() string    { return "av-" + r.ID + "-gate" }
func (r Run) Agent() string   { return "av-" + r.ID + "-agent" }

// Owner reads the random name of this av home, and makes it when there is none.
// Two users of one engine, or one home on two machines' engines, are so told
// apart: whether a run is alive can only be asked where its lock is.
func Owner(home string) (string, error) {
	path := filepath.Join(home, "owner")
	content, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		if err := os.MkdirAll(home, 0o700); err != nil {
			return "", fmt.Errorf("make av's folder: %w", err)
		}
		if err := writeOnce(path, randomHex(8)+"\n"); err != nil {
			return "", fmt.Errorf("name av's folder: %w", err)
		}
		content, err = os.ReadFile(path)
	}
	if err != nil {
		return "", fmt.Errorf("read the name of av's folder: %w", err)
	}
	owner := strings.TrimSpace(string(content))
	if _, err := hex.DecodeString(owner); err != nil || len(owner) != 16 {
		return "", fmt.Errorf("%s does not hold a name that av gave", path)
	}
	return owner, nil
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

// ownedBy tells whether an object is one that av made for this owner, whatever
// its name is: a foreign thing may well be called "av-…".
func ownedBy(owner string, labels map[string]string) bool {
	return labels[LabelIsolation] == "1" && labels[LabelOwner] == owner && labels[LabelRun] != ""
}

// ownerFilter lists what av made for one owner.
func ownerFilter(owner string) map[string]string {
	return map[string]string{LabelIsolation: "1", LabelOwner: owner}
}
