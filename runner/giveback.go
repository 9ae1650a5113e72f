package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/runner/hostpath"
)

// giveBack makes what root in the box has left in the places that it could write to the
// property of whoever each place belonged to before the run, once the box is gone. A
// container does it, for the user need not be root of this machine: it has that place, no
// network, and two capabilities, to look and to give away.
//
// Whose a place is, is asked now: root in the box may give away the folder itself. Were
// root found to own it, a shell with the right to run as its owner would stay root's.
func (b *box) giveBack(since time.Time) func(context.Context) error {
	places := owned(writable(b.placed.binds), b.traits.Rootless)
	return func(ctx context.Context) error {
		if b.undo.agentLeft {
			return errors.New("what root made in the workspace is root's until the agent's container is gone")
		}
		for _, p := range places {
			give := b.runOwner
			if !b.Root { // root of this machine, who can do it by himself, and need not wait for a container
				give = func(ctx context.Context, p ownedPlace, since time.Time) error {
					return Own(ctx, p.path, p.Owned, since)
				}
			}
			if err := give(ctx, p, since); err != nil {
				b.Say(fmt.Sprintf("what root made in %s could not all be given to its owner (`sudo chown` does it): %v", p.path, err))
			}
		}
		return nil
	}
}

// ownedPlace is a file or folder of the host, and whose it is.
type ownedPlace struct {
	path string
	Owned
}

// Owned is whose something was before a run, and which thing it was.
type Owned struct {
	UID int    `json:"uid"`
	GID int    `json:"gid"`
	Dev uint64 `json:"dev"`
	Ino uint64 `json:"ino"`
}

// owned looks whose the paths are; what is not there belongs to nobody. To the containers
// of an engine without root, whoever runs that is root.
func owned(paths []string, rootless bool) (places []ownedPlace) {
	for _, path := range paths {
		info, err := os.Lstat(path)
		if err != nil || !info.IsDir() && !info.Mode().IsRegular() {
			continue
		}
		stat, ok := info.Sys().(*syscall.Stat_t)
		if !ok {
			continue
		}
		o := Owned{UID: int(stat.Uid), GID: int(stat.Gid), Dev: uint64(stat.Dev), Ino: stat.Ino} //nolint:unconvert // another width elsewhere
		if rootless {
			o.UID, o.GID = 0, 0
		}
		places = append(places, ownedPlace{path, o})
	}
	return places
}

// writable gives the sources of what a box may write to, each once.
func writable(binds []engine.Bind) (folders []string) {
	for _, bind := range binds {
		inside := func(other engine.Bind) bool {
			return !other.ReadOnly && other.Source != bind.Source && hostpath.Within(bind.Source, other.Source)
		}
		if !bind.ReadOnly && !slices.ContainsFunc(binds, inside) && !slices.Contains(folders, bind.Source) {
			folders = append(folders, bind.Source)
		}
	}
	return folders
}

func (b *box) runOwner(ctx context.Context, p ownedPlace, since time.Time) (err error) {
	order, err := json.Marshal(p.Owned)
	if err != nil {
		return err
	}
	id, err := b.engine.CreateContainer(ctx, engine.Container{
		Name: b.run.Giver(), Image: b.gateImage, Labels: b.run.Labels(), Network: engine.NoNetwork, User: "0:0",
		Command:  []string{"gate", "own", ownedInBox, string(order), strconv.FormatInt(since.Unix(), 10)},
		CapAdd:   []string{"CHOWN", "DAC_READ_SEARCH"},
		ReadOnly: true,
		Binds:    []engine.Bind{{Source: p.path, Target: ownedInBox}},
		Limits:   engine.Limits{Memory: giverMemory, PidsLimit: giverPids},
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.engine.RemoveContainer(context.WithoutCancel(ctx), id)) }()
	stdio, err := b.engine.Attach(ctx, id, false)
	if err != nil {
		return err
	}
	defer stdio.Close()
	exit := b.engine.Wait(ctx, id)
	if err := b.engine.StartContainer(ctx, id); err != nil {
		return err
	}
	var said bytes.Buffer
	if err := stdio.Split(&said, &said); err != nil {
		return err
	}
	if e := <-exit; e.Err != nil || e.Code != 0 {
		return errors.Join(e.Err, errors.New(strings.TrimSpace(said.String())))
	}
	return nil
}

// ownedInBox is where the container that gives back finds what it is to give back.
const ownedInBox = "/owned"

// giverMemory (bytes) and giverPids bound a walk through whatever the agent has made.
const (
	giverMemory = 128 << 20
	giverPids   = 64
)
