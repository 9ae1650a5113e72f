package runner

import (
	"bytes"
	"context"
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

// giveBack makes what root in the box has left in the folders that it could write to the
// property of whoever each folder belongs to, once the box is gone. A container does it,
// for the user need not be root of this machine: it has that folder, no network, and two
// capabilities, to look and to give away.
func (b *box) giveBack(since time.Time) func(context.Context) error {
	return func(ctx context.Context) error {
		if b.undo.agentLeft {
			return errors.New("what root made in the workspace is root's until the agent's container is gone")
		}
		for _, folder := range writable(b.placed.binds) {
			info, err := os.Lstat(folder)
			if err != nil || !info.IsDir() {
				continue
			}
			stat, ok := info.Sys().(*syscall.Stat_t)
			if !ok || stat.Uid == 0 {
				continue
			}
			if err := b.runOwner(ctx, folder, int(stat.Uid), int(stat.Gid), since); err != nil {
				b.Say(fmt.Sprintf("what root made in %s could not all be given to its owner (`sudo chown` does it): %v", folder, err))
			}
		}
		return nil
	}
}

// writable gives the sources of what a box may write to, each folder once.
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

func (b *box) runOwner(ctx context.Context, folder string, uid, gid int, since time.Time) (err error) {
	id, err := b.engine.CreateContainer(ctx, engine.Container{
		Name: b.run.Giver(), Image: b.gateImage, Labels: b.run.Labels(), Network: engine.NoNetwork, User: "0:0",
		Command:  []string{"gate", "own", workspaceInBox, strconv.Itoa(uid), strconv.Itoa(gid), strconv.FormatInt(since.Unix(), 10)},
		CapAdd:   []string{"CHOWN", "DAC_READ_SEARCH"},
		ReadOnly: true,
		Binds:    []engine.Bind{{Source: folder, Target: workspaceInBox}},
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

// giverMemory (bytes) and giverPids bound a walk through whatever the agent has made.
const (
	giverMemory = 128 << 20
	giverPids   = 64
)
