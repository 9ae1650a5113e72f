package netiso

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Lease is the sign that a run is alive: a lock on a file in the run's folder,
// which the kernel lets go of when the process ends, however it ends. No process
// id, start time or age can be mistaken for it.
type Lease struct {
	Dir  string // the run's folder
	lock *os.File

	mu   sync.Mutex
	note Note
}

func runsDir(home string) string { return filepath.Join(home, "runs") }

// holdTries is how often a start makes its folder again when a prune has just taken
// the half-made one for a dead start's.
const holdTries = 8

// Hold makes the run's folder and takes its lock. The folder appears under its name
// only with the lock held, so that a prune cannot take a starting run for a dead one.
func Hold(home, run string) (*Lease, error) {
	if err := os.MkdirAll(runsDir(home), 0o700); err != nil {
		return nil, fmt.Errorf("make the folder for runs: %w", err)
	}
	for tries := 1; ; tries++ {
		lease, err := hold(home, run)
		pruned := errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.EWOULDBLOCK)
		if err == nil || !pruned || tries == holdTries {
			return lease, err
		}
	}
}

func hold(home, run string) (*Lease, error) {
	dir, err := os.MkdirTemp(runsDir(home), newPrefix)
	if err != nil {
		return nil, fmt.Errorf("make the run's folder: %w", err)
	}
	lock, err := lockFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_EXCL)
	if err == nil {
		final := filepath.Join(runsDir(home), run)
		if err = os.Rename(dir, final); err == nil {
			return &Lease{Dir: final, lock: lock, note: Note{Run: run, State: Starting, Began: time.Now().UTC()}}, nil
		}
		lock.Close()
	}
	return nil, errors.Join(fmt.Errorf("take the run's lock: %w", err), os.RemoveAll(dir))
}

// Release removes the run's folder and lets go of the lock. The folder loses its
// name first, in one step: under its name it always has the lock.
func (l *Lease) Release() error {
	ended := filepath.Join(filepath.Dir(l.Dir), endedPrefix+filepath.Base(l.Dir))
	if err := os.Rename(l.Dir, ended); err != nil {
		return errors.Join(fmt.Errorf("remove the run's folder: %w", err), l.lock.Close())
	}
	return errors.Join(os.RemoveAll(ended), l.lock.Close())
}

// Names of folders that are not a run's yet, or no more.
const (
	newPrefix   = ".new-"
	endedPrefix = ".ended-"
)

const (
	// lookTries is how often a lock is asked for again that somebody only looked at.
	lookTries = 50
	// lookPause is between them: who looks may have lost its processor while it does.
	lookPause = 2 * time.Millisecond
)

// take locks the folder of a run that is not alive, so that two prunes do not take
// the same run apart. It gives nil for a run that is alive, and a lease without a
// folder where there is none.
func take(home, run string) (*Lease, error) {
	dir := filepath.Join(runsDir(home), run)
	path := filepath.Join(dir, "lock")
	lock, err := lockFile(path, 0)
	for tries := 1; errors.Is(err, syscall.EWOULDBLOCK) && tries < lookTries; tries++ {
		// Whoever lives does not share its lock; who looks does, for a moment.
		if held, failed := isHeld(path); held || failed != nil {
			break
		}
		time.Sleep(lookPause)
		lock, err = lockFile(path, 0)
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return &Lease{Dir: dir}, nil
	case errors.Is(err, syscall.EWOULDBLOCK):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("ask whether run %s is alive: %w", run, err)
	}
	return &Lease{Dir: dir, lock: lock}, nil
}

// drop lets go of a lock that was taken to take a run apart.
func (l *Lease) drop() {
	if l.lock != nil {
		l.lock.Close()
	}
}

// isHeld tells whether a process holds a lock. It only looks: it shares the lock for
// that moment, so that any number may look at once.
func isHeld(path string) (bool, error) {
	f, err := os.Open(path)
	if err != nil {
		return false, err
	}
	defer f.Close()
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		return true, nil
	}
	return false, err
}

// AwaitDeath returns once no process holds the run's lock.
func AwaitDeath(home, run string) error {
	f, err := os.OpenFile(filepath.Join(runsDir(home), run, "lock"), os.O_RDWR, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("wait for the end of run %s: %w", run, err)
	}
	defer f.Close()
	return syscall.Flock(int(f.Fd()), syscall.LOCK_EX)
}

func lockFile(path string, flags int) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|flags, 0o600)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// folders lists the runs that have a folder, and the folders without a name: of
// starts and ends that were cut short.
func folders(home string) (runs []string, unnamed []string, err error) {
	entries, err := os.ReadDir(runsDir(home))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("list runs: %w", err)
	}
	for _, e := range entries {
		switch {
		case !e.IsDir():
		case strings.HasPrefix(e.Name(), newPrefix), strings.HasPrefix(e.Name(), endedPrefix):
			unnamed = append(unnamed, e.Name())
		case runID.MatchString(e.Name()): // another was not made by us
			runs = append(runs, e.Name())
		}
	}
	return runs, unnamed, nil
}
