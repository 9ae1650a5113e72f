package runner

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/runner/hostpath"
	"github.com/av-project/av/runner/nofollow"
)

// KeptHome asks for a HOME that outlives the run: one for each folder and agent.
type KeptHome struct {
	// Agent names the agent.
	Agent string
}

// Share is a file or folder of the user's own home that is put into HOME in the box.
type Share struct {
	Source   string // on the host
	Target   string // in HOME: a relative path
	ReadOnly bool
}

// inBox is its place there.
func (s Share) inBox() string { return path.Join(homeInBox, filepath.ToSlash(s.Target)) }

// placeShares decides that what is shared is mounted.
func (b *box) placeShares() error {
	for _, s := range b.Share {
		dir, err := nofollow.Walk(filepath.Dir(s.Source))
		if err != nil {
			return &badShare{fmt.Sprintf("%s cannot be shared: %v", s.Source, err)}
		}
		i, err := dir.Lstat(filepath.Base(s.Source))
		if err = errors.Join(err, dir.Close()); err != nil {
			return &badShare{fmt.Sprintf("%s cannot be shared: %v", s.Source, err)}
		}
		b.placed.put(s.Source, s.inBox(), s.ReadOnly, i)
	}
	return nil
}

// checkShares resolves what is to be shared, and leaves out what is not there. What would
// lead to av's own folder, or out of the user's home by a link, is refused: an agent may
// have made that link in a run before.
func checkShares(shares []Share, userHome, avHome string) ([]Share, error) {
	var found []Share
	for _, s := range shares {
		real, err := filepath.EvalSymlinks(s.Source)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, &badShare{fmt.Sprintf("%s cannot be shared: %v", s.Source, err)}
		}
		home, err := filepath.EvalSymlinks(userHome)
		if err != nil {
			return nil, &badShare{fmt.Sprintf("%s cannot be shared: %v", s.Source, err)}
		}
		rel, err := filepath.Rel(userHome, s.Source)
		switch {
		case !filepath.IsLocal(s.Target) || s.Target == ".":
			return nil, &badShare{fmt.Sprintf("%q is no place in HOME", s.Target)}
		case hostpath.Meet(real, avHome):
			return nil, &badShare{fmt.Sprintf("%s would put av's own folder, with the vault, into the box", s.Source)}
		case err != nil || real != filepath.Join(home, rel):
			return nil, &badShare{fmt.Sprintf("%s is a link, or lies behind one: it leads to %s", s.Source, real)}
		}
		found = append(found, Share{real, s.Target, s.ReadOnly})
	}
	return found, nil
}

type badShare struct{ why string }

func (b *badShare) Error() string { return b.why }
func (b *badShare) Hint() string {
	return "leave --home=share out, or make it a plain file or folder of your home"
}

// keepHome takes the volume that is to be HOME, and holds it until the run has ended.
func (b *box) keepHome(ctx context.Context, uid int) error {
	if b.KeptHome == nil {
		return nil
	}
	home := netiso.NewKeptHome(b.Owner, b.Workspace, b.KeptHome.Agent, uid)
	lock, err := netiso.HoldHome(ctx, b.engine, b.Home, b.Owner, home)
	if err != nil {
		return err
	}
	b.keptVolume = home.Name
	// With the run's own lock: the box is gone by then, or the last to be seen to.
	b.undo.add(rankLease, func(context.Context) error { return lock.Release() })
	return nil
}

// putHome adds to a container what HOME is made of: memory, or the volume that is kept, and
// what is shared.
func (b *box) putHome(c *engine.Container, uid, gid int) {
	memory := func(size int) string { return fmt.Sprintf("exec,mode=0700,size=%d,uid=%d,gid=%d", size, uid, gid) }
	if b.keptVolume != "" {
		c.Volumes = append(c.Volumes, engine.Volume{Name: b.keptVolume, Target: homeInBox})
	} else {
		c.Tmpfs[homeInBox] = memory(homeSize)
	}
	for _, s := range b.Share {
		target := s.inBox()
		// A folder that an engine makes for what is mounted in it is root's.
		for dir := path.Dir(target); strings.HasPrefix(dir, homeInBox+"/"); dir = path.Dir(dir) {
			c.Tmpfs[dir] = memory(homeSize)
		}
	}
}

// scratch is where programs expect to be able to write, whoever they are.
var scratch = map[string]string{"/tmp": "exec,mode=1777", "/var/tmp": "exec,mode=1777", "/run": "mode=0755"}

// putScratch adds it to a container whose image's files stay as they are.
func (b *box) putScratch(c *engine.Container) {
	for place, options := range scratch {
		// The user may have put something of the host there.
		if !slices.ContainsFunc(c.Binds, func(bind engine.Bind) bool { return bind.Target == place }) {
			c.Tmpfs[place] = fmt.Sprintf("%s,size=%d", options, homeSize)
		}
	}
}

// ownHome gives a kept HOME to the command's user: an engine makes a volume root's.
func (b *box) ownHome(ctx context.Context, uid, gid int) error {
	if b.keptVolume == "" {
		return nil
	}
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	err := archive.WriteHeader(&tar.Header{Typeflag: tar.TypeDir, Name: path.Base(homeInBox) + "/", Mode: 0o700, Uid: uid, Gid: gid})
	if err = errors.Join(err, archive.Close()); err != nil {
		return fmt.Errorf("pack HOME: %w", err)
	}
	return b.engine.CopyTo(ctx, b.agent.id, path.Dir(homeInBox), &out)
}

// userHome is the home of whoever runs av.
func userHome() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil {
		return "", &badShare{fmt.Sprintf("the home to share from is not known: %v", err)}
	}
	return home, nil
}
