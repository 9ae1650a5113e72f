package gate

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/av-project/av/netiso/link"
)

// joined is a gate and the end of its link that is av's.
func joined(t *testing.T, s *server, c Config, welcome int) *link.Link {
	t.Helper()
	gateIn, avOut := io.Pipe()
	avIn, gateOut := io.Pipe()
	gone := s.openLink(c, gateIn, gateOut)
	av := link.New(link.OfAv, avIn, avOut, welcome)
	served := make(chan error, 1)
	go func() { served <- s.serveCalls(t.Context()) }()
	t.Cleanup(func() {
		avOut.Close()
		<-gone // av has gone away, and the gate sees it
		gateOut.Close()
		<-served
		_ = s.group.Wait()
	})
	return av
}

// call asks the gate for a purpose, and gives its answer.
func call(t *testing.T, av *link.Link, purpose uint16) (*link.Conn, error) {
	t.Helper()
	conn, err := av.Open(purpose)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second))
	answer := make([]byte, 1)
	_, err = io.ReadFull(conn, answer)
	if err == nil && answer[0] != Reached {
		t.Errorf("it answers %d", answer[0])
	}
	return conn, err
}

// inBox is a server on loopback.
func inBox(t *testing.T, address string) (port uint16) {
	t.Helper()
	listener, err := net.Listen("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			go func() { _, _ = io.Copy(conn, conn); conn.Close() }()
		}
	}()
	return listener.Addr().(*net.TCPAddr).AddrPort().Port()
}

func TestGateReachesPublishedPortsAndNoOther(t *testing.T) {
	published, other := inBox(t, "127.0.0.1:0"), inBox(t, "127.0.0.1:0")
	s := &server{}
	av := joined(t, s, Config{Publish: []uint16{published, ProxyPort}}, 0)
	conn, err := call(t, av, published)
	if err != nil {
		t.Fatalf("a published port: %v", err)
	}
	_, _ = io.WriteString(conn, "hello")
	_ = conn.CloseWrite()
	if got, err := io.ReadAll(conn); err != nil || string(got) != "hello" {
		t.Errorf("%q, %v", got, err)
	}
	// The proxy's port is refused even where a mistake elsewhere has published it.
	for _, port := range []uint16{other, ProxyPort, CatchPort, 53} {
		if _, err := call(t, av, port); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("port %d: %v", port, err)
		}
	}
}

func TestCallsOfAGateAreBounded(t *testing.T) {
	port := inBox(t, "127.0.0.1:0")
	av := joined(t, &server{}, Config{Publish: []uint16{port}}, 0)
	for i := range MaxCalls + 1 { // one is for the trial of the relay
		if _, err := call(t, av, port); err != nil {
			t.Fatalf("call %d: %v", i+1, err)
		}
	}
	if _, err := call(t, av, port); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one more: %v", err)
	}
}

func TestPortOfTheBoxThatTakesNothingIsGivenUp(t *testing.T) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(fd)
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	port := uint16(name.(*unix.SockaddrInet4).Port)
	first, err := dialBox(t.Context(), port, callTimeout)
	if err != nil {
		t.Fatalf("control: its queue has one place: %v", err)
	}
	defer first.Close()
	for range 4 { // kernels are generous about the length of a queue
		conn, err := dialBox(t.Context(), port, 50*time.Millisecond)
		if err != nil {
			return
		}
		defer conn.Close()
	}
	t.Error("it is waited for for ever")
}

// Where the relay is a stream the gate needs no network path to the proxy.
func TestRelayIsReachedOverTheLink(t *testing.T) {
	r := fakeProxy(t, func(string) string { return "HTTP/1.1 200 OK\r\n\r\n" })
	address := r.address
	r.address = "" // there is none: the stream is asked
	s := &server{relay: r}
	av := joined(t, s, Config{Stream: true}, 4)
	go func() {
		for {
			conn, err := av.Accept()
			if err != nil {
				return
			}
			proxy, err := net.Dial("tcp4", address)
			if err != nil {
				conn.Break()
				return
			}
			go link.Join(context.Background(), proxy.(*net.TCPConn), conn)
		}
	}()
	if _, err := call(t, av, TryRelay); err != nil {
		t.Fatalf("the trial: %v", err)
	}
	agent := caught(t, r, "db.test:5432")
	_, _ = io.WriteString(agent, "SELECT 1\n")
	if line, err := bufio.NewReader(agent).ReadString('\n'); err != nil || !strings.Contains(line, "SELECT 1") {
		t.Errorf("%q, %v", line, err)
	}
}

func TestFewerConnectionsAreCarriedWhereEachHasAWindow(t *testing.T) {
	if a, b := places(Config{}), places(Config{Stream: true}); a != maxConns || b != maxStreamed {
		t.Errorf("%d, %d", a, b)
	}
}
