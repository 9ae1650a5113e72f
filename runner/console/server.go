package console

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"net"
	"os"
	"sync"
	"syscall"
	"time"
)

const (
	// helloTimeout is how long a client may take to say what it wants.
	helloTimeout = 10 * time.Second
	// viewerPatience is how long the command waits for a viewer that does not read, such
	// as one that was stopped. Then it is let go: the command is not its hostage.
	viewerPatience = 5 * time.Second
	// inputPatience is how long what was typed waits for a command that does not read.
	inputPatience = 5 * time.Second
	// maxClients is how many may be connected at a time.
	maxClients = 16
)

// Console is a run's end of it.
type Console struct {
	run      string
	detached bool // else the run has a terminal of its own, and can only be stopped
	tty      bool
	signals  chan<- os.Signal
	listener *net.UnixListener
	clients  chan struct{} // a place for each

	in, keys *os.File // the command's input, and where what was typed goes

	mu     sync.Mutex // of what follows, and of the order of what is printed
	size   Size
	tail   tail
	viewer net.Conn
	resize func(Size)
	began  func()
	over   bool
}

// Options are what a console is made of.
type Options struct {
	// Signals are where the run gets those from that it passes on.
	Signals chan<- os.Signal
	// Detached is a run without a terminal of its own; TTY says that its command has one
	// all the same, of this size.
	Detached, TTY bool
	Size          Size
}

// New makes a console. Nobody can connect to it before Listen.
func New(o Options) (c *Console, err error) {
	c = &Console{detached: o.Detached, tty: o.TTY, signals: o.Signals, size: o.Size, clients: make(chan struct{}, maxClients)}
	switch {
	case !o.Detached:
	case o.TTY:
		c.in, c.keys, err = os.Pipe()
	default:
		// Nobody could type there: the command finds the end of its input at once.
		c.in, err = os.Open(os.DevNull)
	}
	return c, err
}

// Listen makes the socket in the run's folder. What it gives closes that, and leaves who
// is attached.
func (c *Console) Listen(run, dir string) (stop func() error, err error) {
	c.run = run
	if c.listener, err = listen(dir); err != nil {
		return nil, err
	}
	accepted := make(chan struct{})
	go func() {
		defer close(accepted)
		acceptLoop(c.listener.AcceptUnix, func(conn *net.UnixConn) {
			select {
			case c.clients <- struct{}{}:
				go func() {
					defer func() { conn.Close(); <-c.clients }()
					c.serve(conn)
				}()
			default:
				conn.Close()
			}
		})
	}()
	return func() error {
		err := c.listener.Close()
		<-accepted
		return err
	}, nil
}

// acceptPause is how long to wait when a connection cannot be taken: this process has as many
// files open as it may, which the box can bring about, and trying again at once is all that
// it would do.
const acceptPause = 50 * time.Millisecond

// acceptLoop hands each connection to one until the listener closes.
func acceptLoop(accept func() (*net.UnixConn, error), one func(*net.UnixConn)) {
	for {
		conn, err := accept()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			time.Sleep(acceptPause)
		default:
			one(conn)
		}
	}
}

// Close tells whoever is attached how the run ended, and lets them go.
func (c *Console) Close(code int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.over = true
	c.show(Ended, EndedWith(code))
	c.drop()
	for _, f := range []*os.File{c.in, c.keys} {
		if f != nil {
			_ = f.Close()
		}
	}
}

// Began says what to do when the command runs.
func (c *Console) Began(do func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.began = do
}

// TTY tells whether the command has a terminal.
func (c *Console) TTY() bool { return c.tty }

// Size is what the command's terminal begins with.
func (c *Console) Size() (width, height uint16) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.size.Width, c.size.Height
}

// In is the command's standard input.
func (c *Console) In() *os.File { return c.in }

// Running is called when the command runs, with how its terminal gets a size.
func (c *Console) Running(resize func(width, height uint16)) {
	c.mu.Lock()
	c.resize = func(s Size) { resize(s.Width, s.Height) }
	began, size := c.began, c.size
	c.mu.Unlock()
	c.change(size)
	if began != nil {
		began()
	}
}

// Output is a stream of the run's: what is written to it is kept a while, and shown to
// whoever is attached.
func (c *Console) Output(kind Kind) *Output { return &Output{c, kind} }

// Output is one of a run's streams.
type Output struct {
	console *Console
	kind    Kind
}

// Write never fails, and waits only so long for a viewer that does not read.
func (o *Output) Write(p []byte) (int, error) {
	c := o.console
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tail.add(o.kind, p)
	c.show(o.kind, p)
	return len(p), nil
}

// show sends to the viewer, and lets one go that does not take it.
func (c *Console) show(kind Kind, body []byte) {
	if c.viewer == nil {
		return
	}
	_ = c.viewer.SetWriteDeadline(time.Now().Add(viewerPatience))
	if Send(c.viewer, kind, body) != nil {
		c.drop()
	}
}

func (c *Console) drop() {
	if c.viewer != nil {
		_ = c.viewer.Close()
		c.viewer = nil
	}
}

// serve is one client's connection.
func (c *Console) serve(conn *net.UnixConn) {
	if err := checkPeer(conn); err != nil {
		_ = SendJSON(conn, Welcome, Answer{Refused: err.Error(), Hint: "attach as the user whose run it is"})
		return
	}
	_ = conn.SetDeadline(time.Now().Add(helloTimeout))
	first, err := Receive(conn)
	var r Request
	if err != nil || first.Kind != Hello || json.Unmarshal(first.Body, &r) != nil {
		return
	}
	switch {
	case r.Want == Stop:
		var s os.Signal = syscall.SIGTERM
		if r.Kill {
			s = syscall.SIGKILL
		}
		select {
		case c.signals <- s:
		default: // it has more to do than it can already
		}
		_ = SendJSON(conn, Welcome, Answer{})
	case !c.detached:
		_ = SendJSON(conn, Welcome, Answer{Refused: "run " + c.run + " has a terminal of its own", Hint: "only a run that was started with -d or --detachable can be attached to"})
	case r.Want == Tail:
		c.mu.Lock()
		pieces := append([]Frame(nil), c.tail.pieces...)
		for i := range pieces {
			pieces[i].Body = append([]byte(nil), pieces[i].Body...)
		}
		c.mu.Unlock()
		_ = SendJSON(conn, Welcome, Answer{TTY: c.tty})
		for _, p := range pieces {
			_ = Send(conn, p.Kind, p.Body)
		}
	case r.Want == Attach:
		c.attach(conn, r)
	}
}

// attach gives the run to a client, until that goes.
func (c *Console) attach(conn *net.UnixConn, r Request) {
	if !c.enter(conn, r) {
		return
	}
	if r.Size != (Size{}) && c.tty {
		// A program draws its screen again when its size changes, and only then.
		c.change(Size{r.Size.Width, r.Size.Height + 1})
		c.change(r.Size)
	}
	_ = conn.SetReadDeadline(time.Time{})
	for {
		f, err := Receive(conn)
		if err != nil {
			break
		}
		switch {
		case f.Kind == Input && c.keys != nil:
			_ = c.keys.SetWriteDeadline(time.Now().Add(inputPatience))
			_, _ = c.keys.Write(f.Body) // the command may have ended, or never reads
		case f.Kind == Resize && c.tty:
			var size Size
			if json.Unmarshal(f.Body, &size) == nil {
				c.change(size)
			}
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.viewer == net.Conn(conn) {
		c.drop()
	}
}

// enter makes conn the viewer, and shows it what was printed last.
func (c *Console) enter(conn *net.UnixConn, r Request) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	refused := Answer{}
	switch {
	case c.over:
		refused = Answer{Refused: "run " + c.run + " has ended", Hint: "`av ps` lists the runs that are alive"}
	case c.viewer != nil && !r.Take:
		refused = Answer{Refused: "somebody is attached to run " + c.run + " already", Hint: "detach there first, or take it over with --take"}
	}
	if refused.Refused != "" {
		_ = SendJSON(conn, Welcome, refused)
		return false
	}
	if c.viewer != nil {
		c.show(Said, []byte("av: taken over by another `av attach`\n"))
		c.drop()
	}
	_ = conn.SetWriteDeadline(time.Now().Add(viewerPatience))
	if SendJSON(conn, Welcome, Answer{TTY: c.tty}) != nil {
		return false
	}
	c.viewer = conn
	for _, p := range c.tail.pieces {
		c.show(p.Kind, p.Body)
	}
	return c.viewer != nil
}

// change gives the command's terminal a size.
func (c *Console) change(s Size) {
	if s.Width == 0 || s.Height == 0 {
		return
	}
	c.mu.Lock()
	c.size = s
	resize := c.resize
	c.mu.Unlock()
	if resize != nil {
		resize(s)
	}
}

// Dial connects to the run whose folder is dir, and says what is wanted of it.
func Dial(ctx context.Context, dir string, r Request) (net.Conn, Answer, error) {
	conn, err := dial(dir)
	if err != nil {
		return nil, Answer{}, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	var answer Answer
	_ = conn.SetDeadline(time.Now().Add(helloTimeout))
	err = SendJSON(conn, Hello, r)
	if err == nil {
		var f Frame
		if f, err = Receive(conn); err == nil {
			err = json.Unmarshal(f.Body, &answer)
		}
	}
	if err != nil {
		return nil, answer, errors.Join(err, conn.Close())
	}
	return conn, answer, conn.SetDeadline(time.Time{})
}

// Code is what an Ended frame says.
func (f Frame) Code() int {
	if f.Kind != Ended || len(f.Body) != 4 {
		return -1
	}
	return int(binary.BigEndian.Uint32(f.Body))
}

// EndedWith is the body of an Ended frame.
func EndedWith(code int) []byte { return binary.BigEndian.AppendUint32(nil, uint32(code)) }
