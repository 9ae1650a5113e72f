package netiso

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/netiso/firewall"
	"github.com/av-project/av/netiso/gate"
	"github.com/av-project/av/netiso/link"
)

const (
	// scriptInGate is where init-firewall.sh is mounted in the gate's container.
	scriptInGate = "/av/init-firewall.sh"
	// socketInGate is where the relay's socket is mounted, in a box without a link. The
	// gate's files are not the agent's: it shares the network and nothing else.
	socketInGate = "/av/relay.sock"
	// gateMemory (bytes) and gatePids bound what a flood from the agent can take.
	gateMemory = 64 << 20
	gatePids   = 64
	// goMemory makes the gate's own garbage collector keep below gateMemory.
	goMemory = "GOMEMLIMIT=48MiB"
	// reportTimeout is what the walls may take; they take a tenth of a second.
	reportTimeout = 60 * time.Second
	// maxReport is the longest report that is read, in bytes.
	maxReport = 256 << 10
)

// Gate is the container that holds a run's network namespace.
type Gate struct {
	// Publish are the ports of the box that Carry may be asked for. Set before Enclose.
	Publish []uint16

	engine *engine.Engine
	id     string
	stdio  *engine.Stdio
	stdout *io.PipeReader
	exit   engine.Exit
	done   chan struct{} // closed when the gate has ended, and exit says how
	log    *tailBuffer
	output sync.WaitGroup
	// link joins us to the gate where the run wants one; linked is closed when it is there.
	link   *link.Link
	linked chan struct{}
	// plan and raised are the walls: those meant, and what the gate reported of them.
	plan   firewall.Plan
	raised gate.Report
}

// GateFiles are the files of the host that a gate is given.
type GateFiles struct {
	Script string // init-firewall.sh
	// Socket is where the relay listens; empty for another relay.
	Socket string
	// Stream: the relay is what the gate opens over the link, see Gate.Relay.
	Stream bool
	// Names are the files of NameFiles, in a box without a link.
	Names []engine.Bind
}

// CreateGate creates the gate's container, with its files mounted read-only. It is on no
// network at all, or, where the relay is neither a socket nor a stream, on the run's, which
// need not be there yet. It does not start it.
func CreateGate(ctx context.Context, e *engine.Engine, run Run, image string, files GateFiles) (*Gate, error) {
	network := run.Network()
	binds := append([]engine.Bind{{Source: files.Script, Target: scriptInGate, ReadOnly: true}}, files.Names...)
	if files.Socket != "" || files.Stream {
		network = engine.NoNetwork
	}
	if files.Socket != "" {
		binds = append(binds, engine.Bind{Source: files.Socket, Target: socketInGate, ReadOnly: true})
	}
	id, err := e.CreateContainer(ctx, engine.Container{
		Name: run.Gate(), Image: image, Command: []string{"gate"}, Env: []string{goMemory},
		Labels: run.Labels(), Network: network, Hostname: run.Hostname(),
		// NET_ADMIN and NET_RAW to put up walls, for the kernel's older tables are reached
		// by a raw socket; SETUID and SETGID to be another; SETPCAP to give all of them,
		// and itself, up again. None is left when the agent starts.
		CapAdd:    []string{"NET_ADMIN", "NET_RAW", "SETUID", "SETGID", "SETPCAP"},
		Sysctls:   map[string]string{"net.ipv4.ip_unprivileged_port_start": "0"},
		ReadOnly:  true,
		Binds:     binds,
		Limits:    engine.Limits{Memory: gateMemory, PidsLimit: gatePids},
		OpenStdin: true,
	})
	if err != nil {
		return nil, err
	}
	return &Gate{engine: e, id: id, log: &tailBuffer{max: 4096}, linked: make(chan struct{})}, nil
}

// engineDNS is where an engine's resolver listens in a container that is on a network of
// its user's. On no network there is none, and the walls lead its address to the gate.
const engineDNS = "127.0.0.11"

// Start starts the gate's container. There is a namespace then, without walls, and a gate
// that waits for its configuration.
func (g *Gate) Start(ctx context.Context) (err error) {
	if g.stdio, err = g.engine.Attach(ctx, g.id, true); err != nil {
		return err
	}
	// The gate lives as long as the run does, not as long as its start.
	exit := g.engine.Wait(context.WithoutCancel(ctx), g.id)
	g.done = make(chan struct{})
	go func() {
		g.exit = <-exit
		close(g.done)
	}()
	var writer *io.PipeWriter
	g.stdout, writer = io.Pipe()
	g.output.Go(func() { writer.CloseWithError(g.stdio.Split(writer, g.log)) })
	if err := g.engine.StartContainer(ctx, g.id); err != nil {
		return fmt.Errorf("start the gate: %w", err)
	}
	return nil
}

// configure hands the gate its configuration, and waits until it reports that the walls
// stand or why they do not.
func (g *Gate) configure(ctx context.Context, config gate.Config) (gate.Report, error) {
	config.Script = scriptInGate
	line, err := json.Marshal(config)
	if err != nil {
		return gate.Report{}, fmt.Errorf("write the gate's configuration: %w", err)
	}
	if _, err := g.stdio.Write(append(line, '\n')); err != nil {
		return gate.Report{}, fmt.Errorf("hand the gate its configuration: %w", err)
	}
	return g.report(ctx, config, g.stdout)
}

func (g *Gate) report(ctx context.Context, config gate.Config, stdout *io.PipeReader) (gate.Report, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, reportTimeout, errors.New("the gate does not report"))
	defer cancel()
	stop := context.AfterFunc(ctx, func() { stdout.CloseWithError(context.Cause(ctx)) })
	defer stop()
	var report gate.Report
	limited := &io.LimitedReader{R: stdout, N: maxReport}
	reader := bufio.NewReader(limited)
	line, err := reader.ReadBytes('\n')
	if err != nil && ctx.Err() != nil {
		err = context.Cause(ctx) // a pipe tells only its other end why it was closed
	}
	if errors.Is(err, io.EOF) {
		return report, fmt.Errorf("the gate ended without a report: %s", g.log)
	}
	if err != nil {
		return report, fmt.Errorf("wait for the gate: %w", err)
	}
	if err := json.Unmarshal(line, &report); err != nil {
		return report, fmt.Errorf("read the gate's report: %w", err)
	}
	limited.N = math.MaxInt64
	g.joinGate(config, stdout, reader)
	if report.Error != "" {
		return report, errors.New(report.Error)
	}
	return report, nil
}

// Done is closed when the gate has ended. The agent has no network then.
func (g *Gate) Done() <-chan struct{} { return g.done }

// Failure is how the gate ended, once it has.
func (g *Gate) Failure() error {
	if g.link != nil && errors.Is(g.link.Err(), link.ErrRules) {
		return fmt.Errorf("the gate was ended: %w", g.link.Err())
	}
	if g.exit.Err != nil {
		return fmt.Errorf("the gate was lost: %w", g.exit.Err)
	}
	return fmt.Errorf("the gate ended with exit code %d: %s", g.exit.Code, g.Log())
}

// Log is the end of what the gate wrote to its standard error.
func (g *Gate) Log() string { return g.log.String() }

// Remove stops and removes the gate.
func (g *Gate) Remove(ctx context.Context) error {
	err := g.engine.RemoveContainer(ctx, g.id)
	if g.stdio != nil {
		g.stdio.Close()
	}
	g.output.Wait()
	return err
}

// tailBuffer keeps the last bytes written to it.
type tailBuffer struct {
	mu  sync.Mutex
	max int
	buf []byte
}

func (t *tailBuffer) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.buf = append(t.buf, p...)
	if over := len(t.buf) - t.max; over > 0 {
		t.buf = append(t.buf[:0], t.buf[over:]...)
	}
	return len(p), nil
}

func (t *tailBuffer) String() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return strings.TrimSpace(string(bytes.ToValidUTF8(t.buf, nil)))
}
