package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/moby/term"
	"github.com/spf13/cobra"

	"github.com/av-project/av/netiso"
	"github.com/av-project/av/runner"
	"github.com/av-project/av/runner/console"
)

// attachFlags are what `av attach` can be told.
type attachFlags struct {
	keys       string
	take, tail bool
}

func detachKeysFlag(c *cobra.Command, keys *string) {
	c.Flags().StringVar(keys, "detach-keys", "ctrl-p,ctrl-q", "the `KEYS` that leave the run to itself, such as ctrl-],q")
}

// detachKeys are the keys that --detach-keys names.
func detachKeys(names string) ([]byte, error) {
	keys, err := term.ToBytes(names)
	if err != nil {
		return nil, withHint(fmt.Errorf("--detach-keys: %w", err), "name keys with commas between, each a character or ctrl-x, such as ctrl-p,ctrl-q")
	}
	return keys, nil
}

func attachCommand(e *env) *cobra.Command {
	var f attachFlags
	c := &cobra.Command{
		Use:   "attach RUN",
		Short: "go to a run that was started with -d",
		Long: `Go to a run that was started with -d or --detachable. RUN is an id of ` + "`av ps`" + `, or as much of
its beginning as names one run alone.

What the command printed last is shown again, up to 64 KiB, and what it prints from now
on. Keys go to it, Ctrl-C too; ctrl-p ctrl-q (or --detach-keys) leaves it to itself. A run
that was started without a terminal takes no keys, and Ctrl-C only ends the watching:
` + "`av stop`" + ` ends the run. If the command ends meanwhile, its exit code is that of av attach.

One can be attached at a time; --take sends away whoever is. --tail only prints what was
printed last, with control characters written out, and keeps nobody away.`,
		Example: `  av attach 7f3a
  av attach --take 7f3a
  av attach --tail 7f3a`,
		Args: func(_ *cobra.Command, args []string) error { return oneRun("av attach RUN", args) },
		RunE: func(c *cobra.Command, args []string) error {
			defer e.tellKept()
			if _, err := detachKeys(f.keys); err != nil {
				return err
			}
			if f.tail && f.take {
				return withHint(errors.New("--tail takes nobody's place"), "leave --take out")
			}
			n, err := e.liveRun(args[0])
			if err != nil {
				return err
			}
			return e.attach(c.Context(), n.Run, f)
		},
	}
	detachKeysFlag(c, &f.keys)
	c.Flags().BoolVar(&f.take, "take", false, "take the place of whoever is attached")
	c.Flags().BoolVar(&f.tail, "tail", false, "print what was printed last, and do not attach")
	return c
}

// attach joins this terminal with a run.
func (e *env) attach(ctx context.Context, run string, f attachFlags) error {
	request := console.Request{Want: console.Attach, Take: f.take}
	if f.tail {
		request.Want = console.Tail
	}
	if size, err := term.GetWinsize(e.stdin.Fd()); err == nil && e.onTerminal() {
		request.Size = console.Size{Width: size.Width, Height: size.Height}
	}
	conn, answer, err := console.Dial(ctx, netiso.Dir(e.home, run), request)
	if err != nil {
		return withHint(fmt.Errorf("run %s cannot be reached: %w", run, err), "`av ps` shows whether it is alive; one that ends takes nobody on")
	}
	defer conn.Close()
	switch {
	case answer.Refused != "":
		return withHint(errors.New(answer.Refused), answer.Hint)
	case f.tail:
		return e.showTail(conn)
	case answer.TTY && !e.onTerminal():
		return withHint(fmt.Errorf("run %s has a terminal, and there is none here to show it on", run), "use --tail to see what it printed last")
	}
	a := &attached{env: e, conn: conn, run: run}
	return a.follow(answer.TTY, f.keys)
}

// maxShownTail is how much is taken of what a run printed last, in bytes, with what says
// which stream it was for.
const maxShownTail = 1 << 20

// showTail prints what a run printed last, so that a terminal obeys none of it.
func (e *env) showTail(conn io.Reader) error {
	var out, complaints []byte
	for whole := io.LimitReader(conn, maxShownTail); ; {
		f, err := console.Receive(whole)
		if err != nil {
			break // it was all
		}
		if f.Kind == console.Stdout {
			out = append(out, f.Body...)
		} else {
			complaints = append(complaints, f.Body...)
		}
	}
	for _, s := range []struct {
		to   io.Writer
		text []byte
	}{{e.stdout, out}, {e.stderr, complaints}} {
		if _, err := io.WriteString(s.to, cleanOutput(s.text)); err != nil {
			return err
		}
	}
	return nil
}

// cleanOutput is cleanLines for what a program printed on a terminal.
func cleanOutput(text []byte) string {
	return escape(string(bytes.ReplaceAll(text, []byte("\r\n"), []byte("\n"))), "\n\t")
}

// attached is this end of it.
type attached struct {
	env  *env
	run  string
	mu   sync.Mutex // of what is sent
	conn net.Conn
}

func (a *attached) send(kind console.Kind, body []byte) {
	a.mu.Lock()
	defer a.mu.Unlock()
	_ = console.Send(a.conn, kind, body) // a run that has ended is heard of from the other side
}

// follow shows the run until it ends or is left.
func (a *attached) follow(tty bool, keys string) (err error) {
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGWINCH)
	defer signal.Stop(signals)
	var terminal *runner.Terminal
	left := make(chan struct{})
	if tty {
		signal.Notify(signals, syscall.SIGTSTP, syscall.SIGCONT)
		if terminal, err = runner.TakeTerminal(a.env.stdin); err != nil {
			return err
		}
		defer terminal.Release()
		go a.typing(keys, left)
	}
	ended := make(chan error, 1)
	go func() { ended <- a.show(terminal != nil) }()
	for {
		select {
		case err := <-ended:
			return err
		case <-left:
			terminal.Release()
			return a.leave()
		case s := <-signals:
			switch s {
			case syscall.SIGTSTP:
				if err := terminal.Suspend(suspend); err != nil {
					return err
				}
				a.resize()
			case syscall.SIGCONT:
				if err := terminal.Take(); err != nil {
					return err
				}
				a.resize()
			case syscall.SIGWINCH:
				a.resize()
			default:
				terminal.Release()
				_ = a.leave()
				number, _ := s.(syscall.Signal)
				return exitCode(128 + int(number))
			}
		}
	}
}

func (a *attached) leave() error {
	_ = a.conn.Close()
	a.env.tell("detached from run %s, which goes on; `av attach %s` goes back to it", a.run, a.run)
	return nil
}

// typing sends what is typed, until the detach keys are.
func (a *attached) typing(keys string, left chan<- struct{}) {
	sequence, err := detachKeys(keys)
	if err != nil {
		return // they were looked at before
	}
	watch := keyWatch{keys: sequence}
	for buffer := make([]byte, 4096); ; {
		n, err := a.env.stdin.Read(buffer)
		on, leave := watch.pass(buffer[:n])
		if len(on) > 0 {
			a.send(console.Input, on)
		}
		if leave {
			close(left)
			return
		}
		if err != nil {
			return
		}
	}
}

func (a *attached) resize() {
	size, err := term.GetWinsize(a.env.stdin.Fd())
	if err != nil {
		return
	}
	if body, err := json.Marshal(console.Size{Width: size.Width, Height: size.Height}); err == nil {
		a.send(console.Resize, body)
	}
}

// show prints what the run prints. It goes to the terminal as it is: this is the run's
// terminal now.
func (a *attached) show(raw bool) error {
	for {
		f, err := console.Receive(a.conn)
		if err != nil {
			return withHint(fmt.Errorf("run %s let go of this terminal", a.run), "it may have been taken over, or have died; `av ps` shows whether it is alive")
		}
		switch f.Kind {
		case console.Stdout:
			_, err = a.env.stdout.Write(f.Body)
		case console.Stderr:
			_, err = a.env.stderr.Write(f.Body)
		case console.Said:
			text := f.Body
			if raw { // the terminal does not go back to the line's beginning by itself
				text = bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
			}
			_, err = a.env.stderr.Write(text)
		case console.Ended:
			if code := f.Code(); code != 0 {
				return exitCode(code)
			}
			return nil
		}
		if err != nil {
			return fmt.Errorf("print what the run prints: %w", err)
		}
	}
}
