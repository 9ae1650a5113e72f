// Package runner takes one run from its first step to its last undo.
// It knows boxes and processes, and never a secret: what a run needs of the side
// that holds them it asks of a Broker.
package runner

import (
	"context"
	"io"
	"net"
	"net/netip"
	"os"
	"time"

	"github.com/av-project/av/images"
	"github.com/av-project/av/netiso"
	"github.com/av-project/av/runner/hostpath"
	"github.com/av-project/av/runner/workcopy"
)

// Broker is the side that holds secrets, as far as a run sees it.
type Broker interface {
	// CA is the certificate (PEM) that a command has to trust.
	CA() []byte
	// Open makes a session for the run.
	Open(ctx context.Context, run string) (Session, error)
}

// Session is one run's dealings with the broker.
type Session interface {
	// Identity is handed to the gate of a container run.
	Identity() netiso.Identity
	// ProxyURL is what a host run's proxy variables are set to, for a proxy that
	// serves on addr. It holds the session's token.
	ProxyURL(addr net.Addr) string
	// Serve runs the proxy on a listener until ctx ends.
	Serve(ctx context.Context, listener net.Listener) error
	// Close ends the session; its identity and token are worth nothing then.
	Close(ctx context.Context) error
}

// Spec is what to run, and with what.
type Spec struct {
	Home  string // AV_HOME
	Owner string // the name of that home, see netiso.Owner
	// Command and its arguments.
	Command []string
	// Env holds K=V for the command, after those that av sets.
	Env []string
	// Workspace is the folder of the host that the command works in.
	Workspace string
	// Relay says how the gate reaches the proxy. Container runs only.
	Relay Relay
	// WorkspaceMode says what it may do there. Container runs only.
	WorkspaceMode WorkspaceMode
	// Host is what there is to keep out of the box, see hostpath.ThisHost.
	Host hostpath.Host
	// Mounts are what else of the host comes into the box.
	Mounts []hostpath.MountAt
	// Protected is told at the end what of a folder the host's tools would execute was
	// created or changed. Where it has to outlive this process, it keeps that before it
	// returns: the run's folder goes next. Container runs only.
	Protected func(Found)
	// Copied is told of the copy of WorkspaceCopy at the end, and how much was changed in
	// it: one without changes is not kept.
	Copied func(made *workcopy.Copy, changes int)
	// HostWalls says whether there have to be walls on the host, which a box without a
	// link has no use for. Container runs only.
	HostWalls HostWalls
	// NoFirewall leaves all walls away, and puts the box on an ordinary network. Container
	// runs only.
	NoFirewall bool
	// Image to run in; empty for av's own base image. Container runs only.
	Image string
	// Limits is what the box may take of its machine. Container runs only.
	Limits Limits
	// Root makes the command root in the box, with what package managers need.
	Root bool
	// ReadOnly leaves the image's own files as they are.
	ReadOnly bool
	// Runtime is the engine's runtime for the command's container; empty: its default.
	Runtime string
	// KeptHome is the volume that is HOME; nil for one of memory, gone with the run.
	KeptHome *KeptHome
	// Share lists what of the user's own home is put into HOME.
	Share []Share
	// Git is what git in the box is told.
	Git Git
	// Recipe is what the image is built of where none is named; empty for the base image.
	Recipe images.Recipe
	// Site says what the host's network wants of a build.
	Site func() images.Site
	// HomeFiles are in HOME before the command starts. Container runs only.
	HomeFiles []HomeFile
	// Pool is where the run's network comes from; zero: netiso.DefaultPool. Container
	// runs only.
	Pool netip.Prefix

	// Publish are ports of the box that are reached on this machine. Container runs only.
	Publish []Publish

	// Complete sets in the spec what only the broker's side knows (variables, files of HOME,
	// what git is told), and readies the broker. It is called once, while the engine works
	// at what does not depend on it; nil: all is said. Container runs only.
	Complete func(context.Context, *Spec) error

	// Program is the path of av's own binary.
	Program string
	Broker  Broker
	Streams Streams
	// Signals are passed on to the command once it runs; one that comes before ends
	// the start.
	Signals <-chan os.Signal
	// Say tells the person who waits what is being done.
	Say func(string)
	// Took is told how long the parts of the start have taken, once the command runs.
	// Container runs only.
	Took func(map[string]time.Duration)
	// Walls is told what holds the box, once it is proved. Container runs only.
	Walls func(Walls)
	// Refused is told at the end what the walls have stopped, and what kept that from
	// being read, see netiso.Gate. Container runs only.
	Refused func(netiso.Refused, error)
	// Published is told at the end what went through the published ports.
	Published func([]Published)
	// Held is told the run's id and its folder as soon as that is there, and gives what to
	// do before the folder goes.
	Held func(run, dir string) (release func() error, err error)
	// Suspend stops this process as the terminal's Ctrl-Z does, and returns when it goes
	// on; nil where it is not to be stopped.
	Suspend func()
	// Watchdog starts the process that takes the run apart when this one dies. It
	// is told the run's id, and watches its standard input.
	Watchdog func(run string, alive *os.File) (*os.Process, error)
}

// HostWalls says what is wanted of the second lock, the walls on the host.
type HostWalls int

// Where there is neither the right to change the host's rules nor a container that can,
// WallsAuto goes on without them, and WallsRequire does not.
const (
	WallsAuto HostWalls = iota
	WallsRequire
	WallsOff
)

// Streams are the command's standard streams.
type Streams struct {
	In       *os.File
	Out, Err io.Writer
	// Terminal are the variables by which our terminal is known, see TerminalEnv.
	Terminal []string
	// Console stands for a terminal that is not ours; nil: In and Out may be one.
	Console Console
}

// Console is the terminal of a detached run: that of whoever attaches to it.
type Console interface {
	// TTY tells whether the command has a terminal.
	TTY() bool
	// Size is what that begins with.
	Size() (width, height uint16)
	// Running is called once, when the command runs, with how its terminal gets a size.
	Running(resize func(width, height uint16))
}

// NotStarted is a command that could not be started, with the exit code for it as
// shells give it: 126 where it may not be run, 127 where it is not there.
type NotStarted struct {
	code    int
	message string
	hint    string
}

func (n *NotStarted) Error() string { return n.message }
func (n *NotStarted) Hint() string  { return n.hint }

// CommandExit is what av exits with.
func (n *NotStarted) CommandExit() int { return n.code }
