package main

import (
	"errors"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// hostSinks are services of the host that listen on every address, as those of many developers do, and note what
// reaches them.
type hostSinks struct {
	tcp, udp int    // ports
	abstract string // a unix socket without a file: it is in the network's namespace

	mu  sync.Mutex
	got strings.Builder
}

func listenOnHost(t *testing.T) *hostSinks {
	t.Helper()
	s := &hostSinks{abstract: "av-test-" + newMarker()}
	// Both families at once, where the machine has both.
	tcp, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	udp, err := net.ListenPacket("udp4", ":0") // multicast to IPv4 reaches no socket of both families
	if err != nil {
		t.Fatal(err)
	}
	local, err := net.Listen("unix", "@"+s.abstract)
	if err != nil {
		t.Fatal(err)
	}
	s.tcp, s.udp = tcp.Addr().(*net.TCPAddr).Port, udp.LocalAddr().(*net.UDPAddr).Port
	var serving sync.WaitGroup
	for _, ln := range []net.Listener{tcp, local} {
		serving.Go(func() {
			for {
				conn, err := ln.Accept()
				if err != nil {
					return
				}
				serving.Go(func() { s.read(conn) })
			}
		})
	}
	serving.Go(func() {
		buf := make([]byte, 64<<10)
		for {
			n, from, err := udp.ReadFrom(buf)
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err == nil {
				s.note("udp from " + from.String() + ": " + string(buf[:n]))
			}
		}
	})
	t.Cleanup(func() {
		tcp.Close()
		udp.Close()
		local.Close()
		serving.Wait()
	})
	return s
}

// read notes what a connection brings, each piece as it comes.
func (s *hostSinks) read(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		if err != nil {
			return
		}
		s.note(conn.LocalAddr().Network() + " from " + conn.RemoteAddr().String() + ": " + string(buf[:n]))
	}
}

// settle returns when what has reached the host until now has been noted.
func (s *hostSinks) settle(t *testing.T) {
	t.Helper()
	for network, port := range map[string]int{"tcp4": s.tcp, "udp4": s.udp} {
		marker := newMarker()
		conn, err := net.Dial(network, net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		if err != nil {
			t.Fatal(err)
		}
		_, err = io.WriteString(conn, marker)
		conn.Close()
		if err != nil {
			t.Fatal(err)
		}
		until(t, "the host's own "+network, 10*time.Second, func() bool { return s.seen(marker) != "" })
	}
}

func (s *hostSinks) note(what string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got.WriteString(what + "\n")
}

// seen gives what brought the marker, or "".
func (s *hostSinks) seen(marker string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(s.got.String()) {
		if strings.Contains(line, marker) {
			return "the host saw " + strings.TrimSpace(line)
		}
	}
	return ""
}
