// Package entry is what a box runs before its command: av's own program, as the command's
// own user, in the command's own container. It is the last moment at which nobody of the
// agent's is there.
package entry

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"syscall"

	"github.com/av-project/av/runner/hostpath"
)

// Where in the box is mounted what it uses. All of it can only be read.
const (
	Program = "/etc/av/enter"
	// What are the orders.
	What = "/etc/av/orders"
	// Home and System are archives of files, see Orders.
	Home   = "/etc/av/home.tar"
	System = "/etc/av/system.tar"
	// Word is a pipe, see Orders.
	Word = "/etc/av/word"
)

// Orders is what is to be done. It is nothing that the command may not know: who can ask
// the engine can read it.
type Orders struct {
	// Proofs are what must be mounted.
	Proofs []hostpath.Proof `json:"proofs,omitempty"`
	// System: the files of that archive go into the box, in the place of its image's.
	System bool `json:"system,omitempty"`
	// Home is where those of the other archive go; empty for nowhere. What is there already
	// is kept: the agent has made it in an earlier run.
	Home string `json:"home,omitempty"`
	// Await: the command waits for the word that the box is proved to be closed.
	Await bool `json:"await,omitempty"`
}

// Write makes the file of orders. It is a file and no argument, because there may be
// hundreds of proofs, and a kernel takes 128 KiB in one argument.
func (o Orders) Write(path string) error {
	orders, err := json.Marshal(o)
	if err == nil {
		err = os.WriteFile(path, orders, 0o444)
	}
	if err != nil {
		return fmt.Errorf("write what is to be done in the box: %w", err)
	}
	return nil
}

// Read is the reverse of Write.
func Read(path string) (o Orders, err error) {
	orders, err := os.ReadFile(path)
	if err == nil {
		err = json.Unmarshal(orders, &o)
	}
	if err != nil {
		return o, fmt.Errorf("read what is to be done in the box: %w", err)
	}
	return o, nil
}

// Carry carries the orders out. When it returns nil the command may start, and not before.
func (o Orders) Carry() error {
	if err := hostpath.Prove(o.Proofs); err != nil {
		return err
	}
	if o.System {
		if err := unpackFile(System, "/", false); err != nil {
			return err
		}
	}
	if o.Home != "" {
		if err := unpackFile(Home, o.Home, true); err != nil {
			return err
		}
	}
	if o.Await {
		return await(Word)
	}
	return nil
}

// await waits for the word. A pipe that ends without it is av's death, or its doubt.
func await(pipe string) error {
	// Not blocking: to open a pipe whose other end is gone would take for ever.
	f, err := os.OpenFile(pipe, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return fmt.Errorf("wait for the walls: %w", err)
	}
	defer f.Close()
	if _, err := io.ReadFull(f, make([]byte, 1)); err != nil {
		return errors.New("the box was not proved to be closed: nothing is run in it")
	}
	return nil
}
