package hostpath

import (
	"fmt"
	"path/filepath"

	"golang.org/x/sys/unix"

	"github.com/av-project/av/runner/nofollow"
)

// Proof says what must be at a place in the box. The engine looks a path up again when it
// mounts it, and by then somebody may have put a link there, to a key of the user's.
type Proof struct {
	Target   string `json:"target"`
	Dev      uint64 `json:"dev"`
	Ino      uint64 `json:"ino"`
	ReadOnly bool   `json:"ro,omitempty"`
}

// Prove looks, from inside the box, whether all is what it must be. A link in the place
// of what was mounted is not followed: behind it the mount would be somewhere else.
func Prove(proofs []Proof) error {
	for _, p := range proofs {
		if err := p.prove(); err != nil {
			return err
		}
	}
	return nil
}

func (p Proof) prove() error {
	parent, err := nofollow.Walk(filepath.Dir(p.Target))
	if err != nil {
		return p.failed(err.Error())
	}
	defer parent.Close()
	there, err := parent.Lstat(filepath.Base(p.Target))
	if err != nil {
		return p.failed(err.Error())
	}
	if there.Dev != p.Dev || there.Ino != p.Ino {
		return p.failed("it is another file")
	}
	if p.ReadOnly {
		var fs unix.Statfs_t
		// The last part is no link: that was just seen, and nobody is here yet to put one.
		if err := unix.Statfs(p.Target, &fs); err != nil {
			return p.failed(err.Error())
		}
		if !readOnly(fs) {
			return p.failed("it can be written to")
		}
	}
	return nil
}

func (p Proof) failed(why string) error {
	return &Refused{fmt.Sprintf("what is at %s in the box is not what was looked at when the run began: %s", p.Target, why),
		"something changed it meanwhile, which an agent at work in the same folder can do: look there, end what runs, and start again"}
}
