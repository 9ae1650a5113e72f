package runner

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/av-project/av/images"
	"github.com/av-project/av/netiso"
	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/runner/entry"
	"github.com/av-project/av/runner/hostpath"
)

// box is a container run on its way from nothing to running.
type box struct {
	Spec
	engine *engine.Engine
	traits engine.Traits
	run    netiso.Run
	undo   undo
	took   took

	// The images of the gate and of the agent, once they are on the engine.
	gateImage, image string

	lease   *netiso.Lease
	watched *watchdog
	session Session
	network *netiso.Network
	gate    *netiso.Gate
	keeper  *netiso.Keeper
	walls   *netiso.HostWalls
	agent   agent
	relay   net.Listener
	socket  string        // the relay's, in a box without a link
	names   []engine.Bind // what tells where names are asked for, in a box without a link

	// brought are files of av's own in the agent's container, and orders what is done there
	// before the command starts.
	brought []engine.Bind
	orders  entry.Orders
	word    *word // nil: the agent's container is started when the walls are proved
	// completed is closed when nothing of the spec is missing any more.
	completed chan struct{}
	// gateRuns is closed when the gate's container does: its namespace can be joined.
	gateRuns chan struct{}
	host     hostpath.Host
	placed   placed

	published *publisher
	// keptVolume is the volume that is HOME, if one is kept.
	keptVolume string

	// uncertain: a request to the engine was given up, and may still be carried out.
	uncertain atomic.Bool
}

// Container runs a command in a box and gives its exit code. Walls before people:
// the command's container starts when its network is closed and that is proved, and
// not before. Whatever was put up is taken down again before Container returns.
func Container(ctx context.Context, spec Spec) (code int, err error) {
	eng, err := engine.Connect(ctx)
	if err != nil {
		return 0, err
	}
	defer eng.Close()
	if !eng.Local() {
		return 0, &remoteEngine{eng.Host()}
	}
	if err := checkHomeFiles(spec.HomeFiles); err != nil {
		return 0, err
	}
	host := spec.Host.With(spec.Home, eng.Host())
	if spec.Workspace, err = checkWorkspace(spec.Workspace, host); err != nil {
		return 0, err
	}
	if err := spec.check(); err != nil {
		return 0, err
	}
	b := &box{Spec: spec, engine: eng, run: netiso.NewRun(spec.Owner), host: host, completed: make(chan struct{}), gateRuns: make(chan struct{})}
	if err := b.chooseRelay(ctx); err != nil {
		return 0, err
	}
	if b.published, err = listenPublished(spec.Publish); err != nil {
		return 0, err
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	started := interruptible(spec.Signals, spec.Suspend, cancel)
	err = b.build(ctx)
	started()
	if cause, ok := errors.AsType[*interrupted](context.Cause(ctx)); ok {
		err = cause
	}
	if err == nil {
		b.tellWalls()
		b.publish(ctx)
		code, err = b.agent.follow(ctx, b)
	}
	cancel(errRunOver)
	if all := b.published.stop(); b.Published != nil {
		b.Published(all)
	}
	err = errors.Join(err, b.takeDown())
	return code, errors.Join(err, b.endCopy())
}

// takeDown undoes the run. The watchdog is sent away only when all is undone; else it
// goes on where we had to stop.
func (b *box) takeDown() error {
	if b.lease != nil {
		b.lease.Tell(func(n *netiso.Note) { n.State = netiso.Ending })
	}
	if failed := b.undo.run(); failed != nil {
		b.watched.abandon()
		return &leftBehind{failed}
	}
	if b.uncertain.Load() {
		b.watched.abandon()
		return nil
	}
	return b.watched.dismiss()
}

var errRunOver = errors.New("the run is over")

// build puts up everything up to the agent's container, in which nothing of the agent's
// runs yet. Steps that do not depend on each other go side by side: an engine takes
// its time for each.
func (b *box) build(ctx context.Context) error {
	return sideBySide(ctx, b.complete, b.putUp)
}

func (b *box) putUp(ctx context.Context) error {
	if err := b.hold(); err != nil {
		return err
	}
	// Before the turn: a pull may take minutes, and keeps no other run from starting.
	fetched := b.took.part(partImages)
	if err := sideBySide(ctx, b.fetchGateImage, b.fetchImage); err != nil {
		return err
	}
	fetched()
	waited := b.took.part(partTurn)
	built, err := netiso.AwaitTurn(ctx, b.Home, func() { b.Say("waiting for other runs that are starting") })
	if err != nil {
		return err
	}
	defer built()
	waited()
	return sideBySide(ctx, b.enclose, b.prepareAgent)
}

// complete has what is missing of the spec said.
func (b *box) complete(ctx context.Context) error {
	if b.Complete != nil {
		if err := b.Complete(ctx, &b.Spec); err != nil {
			return err
		}
	}
	close(b.completed)
	return nil
}

// countTimeout bounds the reading of the counters. They are read while the engine
// removes the agent's container, which takes longer.
const countTimeout = 500 * time.Millisecond

// count reads what the walls have stopped, while they stand. It is news and no wall:
// where it cannot be read the run is none the worse.
func (b *box) count(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, countTimeout)
	defer cancel()
	if b.Refused != nil {
		b.Refused(b.gate.Refused(ctx, b.walls))
	}
	return nil
}

// hold puts the watchdog in place, and takes the run's lock: in this order, so that
// there is no moment at which something of the run is there and nobody watches.
func (b *box) hold() (err error) {
	if b.watched, err = watch(b.Watchdog, b.run.ID); err != nil {
		return err
	}
	if b.lease, err = netiso.Hold(b.Home, b.run.ID); err != nil {
		return err
	}
	b.undo.add(rankLease, func(context.Context) error { return b.lease.Release() })
	b.lease.Tell(func(n *netiso.Note) {
		n.Command, n.Isolation, n.Image, n.Folder = b.Command[0], "container", b.Image, b.Workspace
		n.Detached = b.Streams.Console != nil
	})
	if b.Relay != RelayBridge {
		if b.names, err = netiso.NameFiles(b.run, b.lease.Dir); err != nil {
			return err
		}
	}
	return b.held(b.lease, &b.undo)
}

func (b *box) openSession(ctx context.Context) error {
	if err := await(ctx, b.completed); err != nil {
		return err
	}
	session, err := b.Broker.Open(ctx, b.run.ID)
	if err != nil {
		return err
	}
	b.session = session
	b.undo.add(rankSession, session.Close)
	return nil
}

func (b *box) builder() images.Builder {
	return images.Builder{Engine: b.engine, Program: b.Program, Say: b.Say, Site: b.Site}
}

func (b *box) fetchGateImage(ctx context.Context) (err error) {
	b.gateImage, err = b.builder().Gate(ctx)
	return err
}

func (b *box) fetchImage(ctx context.Context) (err error) {
	if b.image, err = b.agentImage(ctx); err != nil {
		return err
	}
	b.lease.Tell(func(n *netiso.Note) { n.Image = b.image })
	return nil
}

// prepareAgent creates the agent's container with what its image lacks, and where its
// command can wait, starts it.
func (b *box) prepareAgent(ctx context.Context) error {
	if err := b.makeAgent(ctx); err != nil || b.word == nil {
		return err
	}
	return b.joinGate(ctx)
}

func (b *box) makeAgent(ctx context.Context) error {
	if err := b.placeHost(ctx); err != nil {
		return err
	}
	b.undo.add(rankLook, b.compare)
	if err := b.placed.keepLooks(b.lease.Dir); err != nil {
		return err
	}
	uid, gid, err := boxUser(b.Workspace, b.traits.Rootless)
	if err != nil {
		return err
	}
	if b.Root {
		uid, gid = 0, 0
	}
	if b.Root || uid == 0 && !b.traits.Rootless {
		b.undo.add(rankGate, b.giveBack(time.Now()))
	}
	image, err := b.engine.Image(ctx, b.image)
	if err != nil {
		return err
	}
	limits, err := b.limits(ctx)
	if err != nil {
		return err
	}
	if err := b.keepHome(ctx, uid); err != nil {
		return err
	}
	if b.Relay == RelaySocket {
		if err := b.awaitWord(); err != nil {
			return err
		}
	}
	if err := await(ctx, b.completed); err != nil {
		return err
	}
	defer b.took.part(partAgent)()
	if err := b.dress(ctx, image, uid, gid); err != nil {
		return err
	}
	if err := b.createAgent(ctx, image, uid, gid, limits); err != nil {
		return err
	}
	return b.ownHome(ctx, uid, gid)
}

// joinGate starts the agent's container as soon as the gate's namespace is there, while
// the walls are put up and proved: the command waits in it for the word.
func (b *box) joinGate(ctx context.Context) error {
	if err := await(ctx, b.gateRuns); err != nil {
		return err
	}
	return b.agent.start(ctx, b)
}

// agentImage gives the image that the user named, fetched if it is not here yet.
func (b *box) agentImage(ctx context.Context) (string, error) {
	switch {
	case b.Image == "" && b.Recipe.None():
		return b.builder().Base(ctx)
	case b.Image == "":
		return b.builder().Agent(ctx, b.Recipe)
	}
	_, err := b.engine.Image(ctx, b.Image)
	if !errors.Is(err, engine.ErrNotFound) {
		return b.Image, err
	}
	b.Say("pulling the image " + b.Image)
	if err := b.engine.Pull(ctx, b.Image, func(string) {}); err != nil {
		return "", &noImage{b.Image, err}
	}
	return b.Image, nil
}

// createTimeout bounds a request that creates something. It is long: an engine that
// has much to do is not one that is gone, and it makes the networks of a hundred runs
// that start at once one after another.
const createTimeout = 5 * time.Minute

// creating gives the context for a request that creates something on the engine. It
// does not end with the run's: a request that is given up may still be carried out,
// and nobody would know its answer. Where it must be given up all the same, the
// watchdog sweeps up after us.
func (b *box) creating(ctx context.Context) (context.Context, func()) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), createTimeout)
	return ctx, func() {
		if ctx.Err() != nil {
			b.uncertain.Store(true)
		}
		cancel()
	}
}

func (b *box) createGate(ctx context.Context) error {
	defer b.took.part(partGate)()
	script := filepath.Join(b.lease.Dir, "init-firewall.sh")
	if err := os.WriteFile(script, images.FirewallScript(), 0o444); err != nil {
		return fmt.Errorf("write the firewall script: %w", err)
	}
	create, done := b.creating(ctx)
	defer done()
	gate, err := netiso.CreateGate(create, b.engine, b.run, b.gateImage, netiso.GateFiles{Script: script, Socket: b.socket, Stream: b.Relay == RelayStream, Names: b.names})
	if err != nil {
		return err
	}
	b.gate = gate
	b.gate.Publish = b.published.boxPorts()
	b.undo.add(rankGate, gate.Remove)
	return ctx.Err()
}

// startGate starts its container, which waits there for the session that it is to be of.
func (b *box) startGate(ctx context.Context) error {
	defer b.took.part(partGate)()
	if err := b.gate.Start(ctx); err != nil {
		return err
	}
	close(b.gateRuns)
	return nil
}

// serve runs the session's proxy on a listener, and gives how to stop it and wait.
func serve(ctx context.Context, session Session, listener net.Listener) (stop func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	served := make(chan error, 1)
	go func() { served <- session.Serve(ctx, listener) }()
	return func(wait context.Context) error {
		cancel()
		select {
		case err := <-served:
			return err
		case <-wait.Done():
			return fmt.Errorf("stop the proxy: %w", wait.Err())
		}
	}
}

// remoteEngine is an engine whose bridges are another machine's.
type remoteEngine struct{ host string }

func (r *remoteEngine) Error() string {
	return fmt.Sprintf("the Docker engine at %s is not on this machine, and a run's relay must listen on its bridge", r.host)
}
func (r *remoteEngine) Hint() string {
	return "unset DOCKER_HOST to use the local engine, or run av on the engine's machine"
}

// noImage is an image that neither the engine nor its registry has.
type noImage struct {
	name string
	err  error
}

func (n *noImage) Error() string {
	return fmt.Sprintf("the image %s is not here and cannot be pulled: %v", n.name, n.err)
}
func (n *noImage) Unwrap() error { return n.err }
func (n *noImage) Hint() string {
	return "check the name, build it with `docker build -t " + n.name + " .`, or leave --image out"
}

// leftBehind is a run that could not be taken down whole.
type leftBehind struct{ err error }

func (l *leftBehind) Error() string { return fmt.Sprintf("something was left behind: %v", l.err) }
func (l *leftBehind) Unwrap() error { return l.err }
func (l *leftBehind) Hint() string {
	return "av goes on trying for a while; after that, run `av prune`"
}
