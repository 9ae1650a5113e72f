// Package gate is what runs inside a run's network namespace, before the agent and
// beside it. It puts the walls up, gives up every power to change them, and from
// then on is the namespace's only way out: it answers names with addresses of its
// own, takes every TCP connection, and carries it to the relay.
package gate

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/av-project/av/netiso/link"
)

// What the gate is inside its namespace. The firewall's plan and the agent's
// environment name the same numbers.
const (
	// UID and GID are the gate's once the walls stand. No image's agent may have it.
	UID, GID = 65533, 65533
	// ProxyPort on 127.0.0.1 is what the agent's proxy variables name.
	ProxyPort = 14322
	// CatchPort on 127.0.0.1 is where connections that ignore those variables land.
	CatchPort = 14323
	// ProxyName is the name in the certificate of the proxy behind the relay.
	ProxyName = "proxy.av.internal"
)

// Config is handed to the gate as one line of JSON on its standard input: never in
// its arguments, environment, labels or files, where `docker inspect` shows them.
type Config struct {
	// Relay is where the proxy listens, on the host's end of the bridge; zero in a box
	// that has no link. There, Socket is the path of its unix socket.
	Relay  netip.AddrPort
	Socket string
	// Canary must not be reachable: a port beside the relay, or in a box without a link
	// an address that nobody has.
	Canary netip.AddrPort
	// CA is the certificate (PEM) that the proxy's own must be signed by.
	CA []byte
	// Certificate and Key (PEM) are the run's identity towards the proxy.
	Certificate, Key []byte
	// NoWalls: nothing is put up and nothing tried, see netiso.Gate.Open.
	NoWalls bool `json:",omitempty"`
	// Script is the path of init-firewall.sh, Params its environment.
	Script string
	Params []string
	// Publish are the ports of the box that av may connect to over the gate's own
	// standard streams.
	Publish []uint16
	// Stream: the relay is reached over these too, and not at an address.
	Stream bool
}

// Report is what the gate answers, as one line of JSON on its standard output,
// once the walls stand or could not be put up.
type Report struct {
	// Error says why the box must not be used; empty when the walls stand.
	Error string `json:",omitempty"`
	// Rules are the lines that the script read back from the kernel.
	Rules []string `json:",omitempty"`
	// ScriptSHA256 is the digest (hexadecimal) of the script that was run.
	ScriptSHA256 string `json:",omitempty"`
	// Backend is the program that holds the walls: iptables-nft or iptables-legacy.
	Backend string `json:",omitempty"`
	// Version is what that program says of itself: another version may list rules otherwise.
	Version string `json:",omitempty"`
	// Links are the namespace's network interfaces.
	Links []Link `json:",omitempty"`
	// Tried is what the gate's own attempts at the walls have added to their counters.
	Tried Tried
}

// Link is a network interface.
type Link struct {
	Name string
	Up   bool
	// Peer is the interface at its other end, where that is in the same namespace.
	Peer string `json:",omitempty"`
}

// probeTimeout bounds each attempt at a door that should be shut. The walls refuse
// at once, so only a fault waits this long.
const probeTimeout = 2 * time.Second

// Tried counts packets by UDP and ICMP, and TCP connections.
type Tried struct{ UDP, ICMP, TCP int64 }

// maxConfig is the longest configuration that is read, in bytes: some kilobytes of
// PEM, with room.
const maxConfig = 256 << 10

// Run reads the configuration from in, puts up the walls, reports on out, and then
// serves until in ends. The engine ends it when av goes away, however av went, so
// a gate never outlives its run.
func Run(ctx context.Context, in io.Reader, out io.Writer) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	input := bufio.NewReaderSize(io.LimitReader(in, maxConfig), 4096)
	line, err := input.ReadBytes('\n')
	if err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	var config Config
	if err := json.Unmarshal(line, &config); err != nil {
		return fmt.Errorf("read the configuration: %w", err)
	}
	server, err := newServer(config)
	if err != nil {
		return refuse(out, err)
	}
	defer server.close()
	server.serveNames()
	report, err := raise(ctx, config, server)
	if err != nil {
		return refuse(out, err)
	}
	if err := json.NewEncoder(out).Encode(report); err != nil {
		return fmt.Errorf("report: %w", err)
	}
	gone := server.openLink(config, after(input, in), out)
	go func() {
		<-gone
		cancel()
	}()
	return server.serve(ctx)
}

func refuse(out io.Writer, err error) error {
	return errors.Join(err, json.NewEncoder(out).Encode(Report{Error: err.Error()}))
}

// loopback is an address on 127.0.0.1, the only one that the gate listens on.
func loopback(port uint16) string {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{127, 0, 0, 1}), port).String()
}

// server is everything that the gate serves.
type server struct {
	relay   *relay
	names   *names
	dnsUDP  net.PacketConn
	dnsTCP  net.Listener
	proxy   net.Listener
	catch   *net.TCPListener
	closers []io.Closer
	probe   time.Duration // for one attempt at a door, probeTimeout
	places  int64         // for connections of the agent
	// link joins the gate to av where the run wants one, published what av may reach by it.
	link      *link.Link
	published []uint16
	group     errgroup.Group // everything that serves; serve waits for it
}

// newServer opens the listeners while the gate may still use low ports.
func newServer(c Config) (_ *server, err error) {
	s := &server{names: newNames(maxNames), probe: probeTimeout, places: places(c)}
	defer func() {
		if err != nil {
			s.close()
		}
	}()
	if s.relay, err = newRelay(c); err != nil {
		return nil, err
	}
	if s.dnsUDP, err = net.ListenPacket("udp4", loopback(53)); err != nil {
		return nil, fmt.Errorf("listen for names: %w", err)
	}
	s.closers = append(s.closers, s.dnsUDP)
	listen := func(port uint16) (l net.Listener) {
		if err == nil {
			if l, err = net.Listen("tcp4", loopback(port)); err == nil {
				s.closers = append(s.closers, l)
			}
		}
		return l
	}
	s.dnsTCP, s.proxy = listen(53), listen(ProxyPort)
	caught := listen(CatchPort)
	if err != nil {
		return nil, fmt.Errorf("listen in the namespace: %w", err)
	}
	s.catch = caught.(*net.TCPListener)
	return s, nil
}

func (s *server) close() {
	for _, c := range s.closers {
		c.Close()
	}
}
