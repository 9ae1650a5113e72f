package netiso

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/av-project/av/netiso/engine"
)

// Labels of a home that outlives its runs. It has no run's label, so that it is nothing
// that a dead run left, and prune does not look at it.
const (
	LabelHome   = "av.home"
	LabelFolder = "av.folder"
	LabelAgent  = "av.agent"
	LabelUser   = "av.user"
)

// KeptHome is a volume that is the HOME of one agent in one folder, for one user in the
// box: another's files in it could not be written.
type KeptHome struct {
	Name   string    `json:"name"`
	Folder string    `json:"folder"`
	Agent  string    `json:"agent"`
	UID    string    `json:"uid"`
	Made   time.Time `json:"made,omitzero"`
	InUse  bool      `json:"in_use"`
}

// NewKeptHome names the home of an agent in a folder. The same three give the same home.
func NewKeptHome(owner, folder, agent string, uid int) KeptHome {
	h := KeptHome{Folder: folder, Agent: agent, UID: fmt.Sprint(uid)}
	sum := sha256.Sum256([]byte(strings.Join([]string{owner, h.Folder, h.Agent, h.UID}, "\x00")))
	h.Name = homePrefix + hex.EncodeToString(sum[:8])
	return h
}

const homePrefix = "av-home-"

var homeName = regexp.MustCompile(`^` + homePrefix + `[0-9a-f]{16}$`)

func (h KeptHome) labels(owner string) map[string]string {
	labels := ownerFilter(owner)
	maps.Copy(labels, map[string]string{LabelHome: "1", LabelFolder: h.Folder, LabelAgent: h.Agent, LabelUser: h.UID})
	return labels
}

// HomeLock is the right to use a kept home: one run at a time, for agents write what they
// know over what another has written.
type HomeLock struct{ file *os.File }

// Release lets go of it.
func (l *HomeLock) Release() error { return l.file.Close() }

// HoldHome makes the volume if it is not there, and takes the right to use it. The lock is
// the kernel's, and goes with the process.
func HoldHome(ctx context.Context, e *engine.Engine, avHome, owner string, h KeptHome) (*HomeLock, error) {
	lock, err := lockHome(avHome, h.Name)
	if err != nil {
		return nil, err
	}
	err = func() error {
		// A box outlives an av that was killed by a few seconds.
		users, err := e.VolumeUsers(ctx, h.Name)
		if err != nil {
			return err
		}
		if len(users) > 0 {
			return &homeInUse{h.Name}
		}
		labels, err := e.CreateVolume(ctx, h.Name, h.labels(owner))
		if err == nil && !maps.Equal(labels, h.labels(owner)) {
			// What somebody else has put there, the command would run.
			err = fmt.Errorf("the volume %s was not made by av for this folder and command", h.Name)
		}
		return err
	}()
	if err != nil {
		return nil, errors.Join(err, lock.Release())
	}
	return lock, nil
}

// homesDir is where the locks are.
func homesDir(avHome string) string { return filepath.Join(avHome, "homes") }

func lockHome(avHome, name string) (*HomeLock, error) {
	if err := os.MkdirAll(homesDir(avHome), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for the locks of homes: %w", err)
	}
	path := filepath.Join(homesDir(avHome), name)
	for range holdTries {
		f, err := lockFile(path, os.O_CREATE)
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, &homeInUse{name}
		}
		if err != nil {
			return nil, fmt.Errorf("take the lock of a home: %w", err)
		}
		// It may have been removed between being opened and being locked.
		mine, err := f.Stat()
		if there, failed := os.Stat(path); err == nil && failed == nil && os.SameFile(mine, there) {
			return &HomeLock{f}, nil
		}
		f.Close()
	}
	return nil, &homeInUse{name}
}

// homeInUse is a kept home that another run has.
type homeInUse struct{ name string }

func (h *homeInUse) Error() string {
	return fmt.Sprintf("the kept home %s is in use by another run", h.name)
}
func (h *homeInUse) Hint() string {
	return "wait for that run to end (`av ps` shows it), or leave --home=persist out"
}

// KeptHomes lists the kept homes of an av home.
func KeptHomes(ctx context.Context, e *engine.Engine, avHome, owner string) ([]KeptHome, error) {
	filter := ownerFilter(owner)
	filter[LabelHome] = "1"
	volumes, err := e.Volumes(ctx, filter)
	if err != nil {
		return nil, err
	}
	var homes []KeptHome
	for _, v := range volumes {
		if !homeName.MatchString(v.Name) {
			continue
		}
		held, err := isHeld(filepath.Join(homesDir(avHome), v.Name))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		homes = append(homes, KeptHome{v.Name, v.Labels[LabelFolder], v.Labels[LabelAgent], v.Labels[LabelUser], v.Made, held})
	}
	slices.SortFunc(homes, func(a, b KeptHome) int {
		return cmp.Or(strings.Compare(a.Folder, b.Folder), strings.Compare(a.Agent, b.Agent), strings.Compare(a.Name, b.Name))
	})
	return homes, nil
}

// RemoveHome removes a kept home that nobody uses.
func RemoveHome(ctx context.Context, e *engine.Engine, avHome string, h KeptHome) error {
	lock, err := lockHome(avHome, h.Name)
	if err != nil {
		return err
	}
	err = e.RemoveVolume(ctx, h.Name)
	if err == nil {
		err = os.Remove(filepath.Join(homesDir(avHome), h.Name))
	}
	return errors.Join(err, lock.Release())
}
