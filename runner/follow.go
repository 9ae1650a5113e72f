package runner

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/netiso/engine"
)

// follow lets the command start, joins its streams with ours, passes signals on, and
// waits for its end. The walls stand by now, and are proved.
func (a *agent) follow(ctx context.Context, b *box) (code int, err error) {
	watch, unwatch := context.WithCancel(ctx)
	defer unwatch()
	torn := netiso.Tether(watch, b.network, b.gate)
	// A gate that was restarted meanwhile has another namespace, without walls.
	select {
	case <-b.gate.Done():
		return 0, b.gate.Failure()
	default:
	}
	if b.word == nil {
		if err := a.start(ctx, b); err != nil {
			return 0, err
		}
	}
	terminal, err := b.Streams.raw()
	if err != nil {
		return 0, err
	}
	defer terminal.Release()
	if err := b.word.give(); err != nil {
		return 0, err
	}
	output, letGo := b.Streams.join(a.stdio)
	defer letGo()
	if b.Took != nil {
		b.Took(b.took.parts)
	}
	b.lease.Tell(func(n *netiso.Note) { n.State = netiso.Running })
	a.resize(ctx, b.Streams)
	if b.Streams.Console != nil {
		b.Streams.Console.Running(func(width, height uint16) { _ = a.engine.Resize(ctx, a.id, width, height) })
	}
	ended := make(chan struct{})
	var forwarding sync.WaitGroup
	forwarding.Go(func() { a.forward(ctx, b, terminal, ended) })
	defer forwarding.Wait()
	defer close(ended)

	var written bool
	for {
		select {
		case err := <-output:
			if err != nil {
				return 0, fmt.Errorf("pass the command's output on: %w", err)
			}
			written, output = true, nil
		case e := <-a.exit:
			// What the command wrote last may still be on its way.
			if !written {
				e.Err = errors.Join(e.Err, <-output)
			}
			if e.Err == nil && e.Code != 0 {
				a.explainMemory(ctx, b)
			}
			if e.Err == nil && (e.Code == 126 || e.Code == 127) {
				e.Err = a.explain(ctx, e.Code)
			}
			return e.Code, e.Err
		case err := <-torn:
			return 0, err
		case <-b.gate.Done():
			return 0, fmt.Errorf("the box has no network without its gate: %w", b.gate.Failure())
		}
	}
}

// forward passes signals on until the command has ended. The third of a kind kills.
func (a *agent) forward(ctx context.Context, b *box, terminal *Terminal, ended <-chan struct{}) {
	counts := map[os.Signal]int{}
	for {
		select {
		case <-ended:
			return
		case s := <-b.Signals:
			switch s {
			case syscall.SIGTSTP:
				err := terminal.Suspend(b.Suspend)
				if err == nil {
					a.resize(ctx, b.Streams)
					continue
				}
				b.Say(err.Error())
				continue
			case syscall.SIGCONT:
				// It was stopped in a way that it could not see coming.
				if err := terminal.Take(); err != nil {
					b.Say(err.Error())
				}
				a.resize(ctx, b.Streams)
				continue
			case syscall.SIGWINCH:
				a.resize(ctx, b.Streams)
				continue
			}
			name, ok := signalName(s)
			if !ok {
				continue
			}
			if counts[s]++; counts[s] >= killAfter {
				name = "SIGKILL"
			}
			if err := a.engine.KillContainer(ctx, a.id, name); err != nil {
				b.Say(err.Error())
			}
		}
	}
}

// resize gives the command's terminal the size of ours. A size that is lost is
// corrected by the next one.
func (a *agent) resize(ctx context.Context, s Streams) {
	if width, height, ok := s.size(); ok {
		_ = a.engine.Resize(ctx, a.id, width, height)
	}
}

func noCommand(command string) *NotStarted {
	return &NotStarted{127, fmt.Sprintf("the image has no command %q", command), "look at what the image holds, or name another with --image"}
}

// notStarted says of an engine's refusal to start a command what a shell would.
// Engines tell the cause in words only.
func notStarted(err error, command string) error {
	text := err.Error()
	switch {
	case strings.Contains(text, "executable file not found"):
		return noCommand(command)
	case strings.Contains(text, "permission denied"), strings.Contains(text, "is a directory"):
		return &NotStarted{126, fmt.Sprintf("the command %q may not be run", command), "is it executable?"}
	}
	return err
}

// join copies between our streams and the container's. The channel answers when all
// output has been written. Input is not waited for: nobody may ever type again. It is let go
// at the end.
func (s Streams) join(stdio *engine.Stdio) (written <-chan error, letGo func()) {
	in, letGo := readUntil(s.In)
	go func() {
		// A command that reads nothing more, or has ended, is no error.
		_, _ = io.Copy(stdio, in)
		_ = stdio.CloseWrite()
	}()
	output := make(chan error, 1)
	go func() {
		if s.terminal() {
			output <- stdio.Raw(s.Out)
		} else {
			output <- stdio.Split(s.Out, s.Err)
		}
	}()
	return output, letGo
}
