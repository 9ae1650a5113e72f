package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"sync"
	"syscall"

	"github.com/moby/term"
	"github.com/spf13/cobra"

	"github.com/av-project/av/runner"
	"github.com/av-project/av/runner/console"
	"github.com/av-project/av/vault"
)

// detachFlags are those of a run that does not need the terminal it was started on.
type detachFlags struct {
	detach     bool
	detachable bool
	keys       string
}

func (f *detachFlags) add(c *cobra.Command) {
	c.Flags().BoolVarP(&f.detach, "detach", "d", false, "run in the background and print the run's id; `av attach` goes to it")
	c.Flags().BoolVar(&f.detachable, "detachable", false, "run on this terminal, and be able to leave it with the detach keys")
	detachKeysFlag(c, &f.keys)
}

func (f detachFlags) detached() bool { return f.detach || f.detachable }

func (f detachFlags) check(e *env, isolation string) error {
	if f.detach && f.detachable {
		return withHint(errors.New("--detach and --detachable are two ways to begin"), "leave one of the two out")
	}
	if f.detached() && isolation != "container" {
		return withHint(errors.New("a run on the host cannot be detached"), "add --isolation=container")
	}
	if _, err := detachKeys(f.keys); err != nil {
		return err
	}
	if f.detachable && e.background == nil && (!e.onTerminal() || !e.showsOutput()) {
		return withHint(errors.New("--detachable needs a terminal"), "use --detach, and `av attach` on a terminal")
	}
	return nil
}

// handover is what the process that was typed gives the one in the background, over a
// pipe: a password has no place in an environment or among arguments.
type handover struct {
	Password []byte       `json:"password,omitempty"`
	TTY      bool         `json:"tty"`
	Size     console.Size `json:"size"`
}

// runInBackground starts this program again, for the run that the command line
// describes, and returns when its command runs. What goes wrong before that is told here.
func (e *env) runInBackground(ctx context.Context, f runFlags) error {
	give, err := e.handover(ctx)
	if err != nil {
		return err
	}
	run, err := e.startInBackground(give)
	clear(give.Password)
	if err != nil {
		return err
	}
	if f.detach {
		_, err := fmt.Fprintln(e.stdout, run)
		return err
	}
	return e.attach(ctx, run, attachFlags{keys: f.keys})
}

// handover unlocks the vault, so that a wrong password is told to whoever typed it, and
// keeps the one that was right.
func (e *env) handover(ctx context.Context) (h handover, err error) {
	o := e.vaultOptions()
	o.Vault = e.vault
	o.Password = func(ctx context.Context) ([]byte, error) {
		password, err := e.masterPassword(ctx)
		clear(h.Password)
		h.Password = append([]byte(nil), password...)
		return password, err
	}
	err = with(ctx, func(ctx context.Context) (*vault.Vault, error) { return vault.Open(ctx, o) }, func(ctx context.Context, v *vault.Vault) error {
		_, _, err := v.Authority(ctx, vault.Owner())
		return err
	})
	// stdout has the run's id: whether there is a terminal, stdin says.
	if h.TTY = e.onTerminal(); h.TTY {
		if size, err := term.GetWinsize(e.stdin.Fd()); err == nil {
			h.Size = console.Size{Width: size.Width, Height: size.Height}
		}
	}
	return h, err
}

// startInBackground gives the id of the run, once its command runs.
func (e *env) startInBackground(give handover) (run string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find this program's own file: %w", err)
	}
	cmd := exec.Command(self, append([]string{backgroundName}, e.args...)...)
	cmd.Args[0] = "av"
	// A session of its own: neither the terminal's keys nor its end are for it. What it
	// prints comes over the pipe; stderr is for what the Go runtime has to say.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	tell, err := cmd.StdinPipe()
	if err != nil {
		return "", err
	}
	report, theirs, err := os.Pipe()
	if err != nil {
		return "", err
	}
	defer report.Close()
	cmd.ExtraFiles = []*os.File{theirs} // reportFile: the runtime dies of a write to a stdout that nobody reads
	signals := make(chan os.Signal, 4)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT)
	defer signal.Stop(signals)
	err = cmd.Start()
	_ = theirs.Close()
	if err != nil {
		return "", fmt.Errorf("start the background process: %w", err)
	}
	reported := make(chan struct{})
	defer close(reported)
	go func() {
		for {
			select {
			case s := <-signals:
				_ = cmd.Process.Signal(s) // it ends the start, and says so
			case <-reported:
				return
			}
		}
	}()
	if err := json.NewEncoder(tell).Encode(give); err != nil {
		_ = cmd.Process.Kill()
		return "", errors.Join(fmt.Errorf("hand over to the background process: %w", err), cmd.Wait())
	}
	for {
		f, err := console.Receive(report)
		switch {
		case err != nil:
			// The pipe's other end: nothing is left to wait for.
			_ = tell.Close()
			return "", withHint(fmt.Errorf("the background process has died: %w", errors.Join(err, cmd.Wait())), "what it left is removed by its watchdog; try again")
		case f.Kind == console.Said:
			_, _ = e.stderr.Write(f.Body)
		case f.Kind == console.Started:
			return string(f.Body), nil // our end of the pipe closes when we are gone
		case f.Kind == console.Ended:
			_ = tell.Close()
			_ = cmd.Wait()
			return "", exitCode(f.Code())
		}
	}
}

// backgroundName is the command that carries a detached run.
const backgroundName = "background"

// background is the process that carries a detached run.
type background struct {
	handover
	signals chan os.Signal
	console *console.Console // nil: the run has not come that far

	mu     sync.Mutex
	report *os.File // nil: the command runs, and nobody waits for a report
}

// openReport takes over the pipe for reports. It is not for the processes that we start: one
// that outlives us, as the watchdog does, would have whoever waits not hear that we are dead.
func openReport(fd int) *os.File {
	syscall.CloseOnExec(fd)
	return os.NewFile(uintptr(fd), "report")
}

// reportFile is the file descriptor of the pipe for reports.
const reportFile = 3

// backgroundCommand is what runInBackground starts. Its arguments are those of a whole
// command line.
func backgroundCommand(e *env) *cobra.Command {
	return &cobra.Command{
		Use:                backgroundName,
		Hidden:             true,
		DisableFlagParsing: true,
		RunE: func(c *cobra.Command, args []string) error {
			if e.background != nil || len(args) == 0 {
				return withHint(errors.New("`av background` is for av itself"), "use av run --detach")
			}
			b := &background{report: openReport(reportFile), signals: make(chan os.Signal, 16)}
			if err := json.NewDecoder(e.stdin).Decode(&b.handover); err != nil {
				return withHint(fmt.Errorf("read what the background process is given: %w", err), "use av run --detach")
			}
			return b.carry(c.Context(), *e, args)
		},
	}
}

// carry is the run, from its start to its end.
func (b *background) carry(ctx context.Context, e env, args []string) error {
	starter := e.stdin
	e.background, e.password, e.stderr = b, b.Password, b
	// Whoever starts us holds the other end of this pipe until the command runs. Where it
	// dies before, nobody would know of the run.
	go func() {
		_, _ = io.Copy(io.Discard, starter)
		if b.waited() {
			b.signals <- syscall.SIGHUP
		}
	}()
	code := execute(ctx, &e, args)
	clear(b.Password)
	if b.console != nil {
		b.console.Close(code)
	}
	b.reportLast(console.Ended, console.EndedWith(code))
	return exitCode(code)
}

// waited tells whether somebody waits for the command to run.
func (b *background) waited() bool {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.report != nil
}

// reportLast says how the start ended, and nothing after it.
func (b *background) reportLast(kind console.Kind, body []byte) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.report != nil {
		_ = console.Send(b.report, kind, body)
		_ = b.report.Close()
		b.report = nil
	}
}

// Write is what av says: to the one who started the run while that waits, and to whoever
// is attached after that.
func (b *background) Write(p []byte) (int, error) {
	b.mu.Lock()
	if b.report != nil {
		defer b.mu.Unlock()
		return len(p), console.Send(b.report, console.Said, p)
	}
	b.mu.Unlock()
	return b.console.Output(console.Said).Write(p)
}

// console makes the run's end of what `av stop` and `av attach` connect to.
func (e *env) console(signals chan<- os.Signal) (*console.Console, error) {
	b := e.background
	if b == nil {
		return console.New(console.Options{Signals: signals})
	}
	c, err := console.New(console.Options{Signals: signals, Detached: true, TTY: b.TTY, Size: b.Size})
	b.console = c
	return c, err
}

// held opens the run to `av stop` and `av attach`. A run that has its own terminal goes
// without where AV_HOME is on a file system that has no sockets.
func (e *env) held(c *console.Console) func(run, dir string) (func() error, error) {
	return func(run, dir string) (func() error, error) {
		stop, err := c.Listen(run, dir)
		if err == nil && e.background != nil {
			c.Began(func() { e.background.reportLast(console.Started, []byte(run)) })
		}
		if err != nil && e.background == nil {
			return func() error { return nil }, nil
		}
		return stop, err
	}
}

// streams are those of the run's command.
func (e *env) streams(c *console.Console) runner.Streams {
	s := runner.Streams{In: e.stdin, Out: e.stdout, Err: e.stderr, Terminal: runner.TerminalEnv(e.getenv)}
	if e.background != nil {
		s.In, s.Out, s.Err, s.Console = c.In(), c.Output(console.Stdout), c.Output(console.Stderr), c
	}
	return s
}
