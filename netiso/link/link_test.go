package link

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// pair is both ends of a link, over two pipes as a container's streams are.
func pair(t testing.TB, atAv, atGate int) (av, gate *Link) {
	t.Helper()
	gateIn, avOut := io.Pipe()
	avIn, gateOut := io.Pipe()
	av, gate = New(OfAv, avIn, avOut, atAv), New(OfGate, gateIn, gateOut, atGate)
	t.Cleanup(func() {
		av.Close()
		gate.Close()
		for _, c := range []io.Closer{gateIn, avOut, avIn, gateOut} {
			c.Close()
		}
		av.Wait()
		gate.Wait()
	})
	return av, gate
}

// connect opens a connection from one end to the other.
func connect(t testing.TB, from, to *Link) (here, there *Conn) {
	t.Helper()
	here, err := from.Open(7)
	if err != nil {
		t.Fatal(err)
	}
	if there, err = to.Accept(); err != nil || there.Purpose() != 7 {
		t.Fatalf("%v, %v", there, err)
	}
	return here, there
}

func TestManyConnectionsCarryWhatTheyAreGiven(t *testing.T) {
	av, gate := pair(t, 64, 64)
	var serving, asking sync.WaitGroup
	for _, end := range []*Link{av, gate} {
		serving.Go(func() {
			for range 32 {
				c, err := end.Accept()
				if err != nil {
					t.Error(err)
					return
				}
				serving.Go(func() {
					defer c.Close()
					if _, err := io.Copy(c, c); err != nil {
						t.Error(err)
					}
				})
			}
		})
		for range 32 {
			asking.Go(func() {
				c, err := end.Open(0)
				if err != nil {
					t.Error(err)
					return
				}
				defer c.Close()
				sent := make([]byte, 3*connWindow+17)
				rand.Read(sent)
				go func() {
					_, _ = c.Write(sent)
					_ = c.CloseWrite()
				}()
				if got, err := io.ReadAll(c); err != nil || !bytes.Equal(got, sent) {
					t.Errorf("%d of %d bytes came back, %v", len(got), len(sent), err)
				}
			})
		}
	}
	asking.Wait()
	serving.Wait()
	for _, end := range []*Link{av, gate} {
		end.mu.Lock()
		if len(end.conns) != 0 || end.guests != 0 {
			t.Errorf("%d connections and %d guests are remembered", len(end.conns), end.guests)
		}
		end.mu.Unlock()
	}
}

func TestEachDirectionEndsByItself(t *testing.T) {
	av, gate := pair(t, 0, 1)
	here, there := connect(t, av, gate)
	_, _ = io.WriteString(here, "question")
	_ = here.CloseWrite()
	if got, err := io.ReadAll(there); err != nil || string(got) != "question" {
		t.Errorf("%q, %v", got, err)
	}
	_, _ = io.WriteString(there, "answer")
	there.Close()
	if got, err := io.ReadAll(here); err != nil || string(got) != "answer" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := here.Write([]byte("more")); !errors.Is(err, net.ErrClosed) {
		t.Errorf("after its end one can write: %v", err)
	}
}

// What was sent before it broke is read, and then that it broke.
func TestBrokenConnectionIsNotTakenForOneThatEnded(t *testing.T) {
	av, gate := pair(t, 0, 1)
	here, there := connect(t, av, gate)
	_, _ = io.WriteString(there, "half an ans")
	there.Break()
	if got, err := io.ReadAll(here); !errors.Is(err, syscall.ECONNRESET) || string(got) != "half an ans" {
		t.Errorf("%q, %v", got, err)
	}
	if _, err := here.Write(make([]byte, 2*connWindow)); !errors.Is(err, syscall.EPIPE) {
		t.Errorf("nobody reads, and writing says %v", err)
	}
}

func TestConnectionThatNobodyReadsHoldsUpNoOther(t *testing.T) {
	av, gate := pair(t, 0, 2)
	stuck, unread := connect(t, av, gate)
	sent := make(chan int, 1)
	go func() {
		n, _ := stuck.Write(make([]byte, 2*connWindow))
		sent <- n
	}()
	for gone, late := false, time.Now().Add(patience); !gone; {
		gate.mu.Lock()
		gone = len(unread.unread) == connWindow
		gate.mu.Unlock()
		if time.Now().After(late) {
			t.Fatal("its window never fills")
		}
		runtime.Gosched()
	}
	here, there := connect(t, av, gate)
	_ = here.SetDeadline(time.Now().Add(patience))
	go func() { _, _ = io.Copy(there, there) }()
	if _, err := io.WriteString(here, "still here"); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(here, make([]byte, len("still here"))); err != nil {
		t.Error(err)
	}
	if gate.mu.Lock(); cap(unread.unread) > connWindow {
		t.Errorf("it takes %d bytes of memory", cap(unread.unread))
	}
	gate.mu.Unlock()
	unread.Close()
	if n := <-sent; n != connWindow {
		t.Errorf("%d bytes of it were taken", n)
	}
}

func TestWaitingEndsWithADeadlineAndWithAClose(t *testing.T) {
	av, gate := pair(t, 0, 1)
	here, _ := connect(t, av, gate)
	_ = here.SetReadDeadline(time.Now().Add(10 * time.Millisecond))
	if _, err := here.Read(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a read: %v", err)
	}
	if n, err := here.Write(make([]byte, connWindow)); n != connWindow || err != nil {
		t.Errorf("a write that fills the window: %d, %v", n, err)
	}
	_ = here.SetWriteDeadline(time.Now().Add(10 * time.Millisecond))
	if n, err := here.Write(make([]byte, 1)); !errors.Is(err, os.ErrDeadlineExceeded) || n != 0 {
		t.Errorf("a write beyond it: %d, %v", n, err)
	}
	_ = here.SetDeadline(time.Time{})
	failed := make(chan error, 2)
	go func() { _, err := here.Read(make([]byte, 1)); failed <- err }()
	go func() { _, err := here.Write([]byte("more")); failed <- err }()
	here.Close()
	for range 2 {
		if err := <-failed; !errors.Is(err, net.ErrClosed) {
			t.Errorf("what waited says %v", err)
		}
	}
}

// One more than is welcome is turned away, and the others do not notice.
func TestGuestsOfALinkAreBounded(t *testing.T) {
	const welcome = 3
	av, gate := pair(t, welcome, 0)
	var first *Conn
	for range welcome {
		_, there := connect(t, gate, av)
		if first == nil {
			first = there
		}
	}
	extra, err := gate.Open(7)
	if err != nil {
		t.Fatal(err)
	}
	_ = extra.SetDeadline(time.Now().Add(patience))
	if _, err := extra.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one more: %v", err)
	}
	first.Close()
	connect(t, gate, av)
	if av.Err() != nil || gate.Err() != nil {
		t.Error(av.Err(), gate.Err())
	}
}

// breach is what an end that keeps to no rule may send.
func breach(t *testing.T, welcome int, frames ...[]byte) (*Link, error) {
	t.Helper()
	from, to := io.Pipe()
	l := New(OfAv, from, io.Discard, welcome)
	t.Cleanup(func() { l.Close(); from.Close(); to.Close(); l.Wait() })
	for _, f := range frames {
		if _, err := to.Write(f); err != nil {
			break
		}
	}
	select {
	case <-l.Done():
		return l, l.Err()
	case <-time.After(patience):
		t.Fatal("the link goes on")
		return nil, nil
	}
}

func frame(k kind, id, size uint32, p ...byte) []byte {
	return append(header{k, id, size}.append(nil), p...)
}

func TestEndThatBreaksARuleIsListenedToNoLonger(t *testing.T) {
	open := frame(opened, 2, 0)
	full := bytes.Repeat(frame(data, 2, maxFrame, make([]byte, maxFrame)...), connWindow/maxFrame)
	for name, c := range map[string]struct {
		welcome int
		frames  [][]byte
		says    string
	}{
		"a connection where none is welcome":  {0, [][]byte{open}, "may open none"},
		"a number of the other half":          {4, [][]byte{frame(opened, 3, 0)}, "number"},
		"a number twice":                      {4, [][]byte{open, open}, "number"},
		"a purpose that is none":              {4, [][]byte{frame(opened, 2, 1<<16)}, "purpose"},
		"no known kind":                       {4, [][]byte{frame(9, 2, 0)}, "kind 9"},
		"a piece that is too long":            {4, [][]byte{open, frame(data, 2, maxFrame+1)}, "piece of"},
		"a piece that is empty":               {4, [][]byte{open, frame(data, 2, 0)}, "piece of"},
		"more than there is room for":         {4, [][]byte{open, full, frame(data, 2, 1, 0)}, "room"},
		"room that it cannot have":            {4, [][]byte{open, frame(credit, 2, 1)}, "room"},
		"room beyond what a number can count": {4, [][]byte{open, frame(credit, 2, 1<<32-1)}, "room"},
	} {
		t.Run(name, func(t *testing.T) {
			if _, err := breach(t, c.welcome, c.frames...); !errors.Is(err, ErrRules) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// stuck is an end that reads nothing.
type stuck struct{ released chan struct{} }

func (s stuck) Write([]byte) (int, error) { <-s.released; return 0, io.ErrClosedPipe }

// Of each connection that is turned away an answer is owed. Who floods and does not read
// is cut off before that takes memory.
func TestAnswersThatWaitAreBounded(t *testing.T) {
	from, to := io.Pipe()
	s := stuck{make(chan struct{})}
	l := New(OfAv, from, s, 1)
	defer func() { close(s.released); l.Close(); from.Close(); l.Wait() }()
	sent := 0
	for id := uint32(2); ; id += 2 {
		if _, err := to.Write(frame(opened, id, 0)); err != nil || l.Err() != nil {
			break
		}
		if sent++; sent > 2*maxOwed {
			t.Fatal("the link goes on")
		}
		if sent == 1 {
			continue
		}
		l.mu.Lock()
		if len(l.owed) > maxOwed {
			t.Errorf("%d answers wait", len(l.owed))
		}
		l.mu.Unlock()
		if l.Err() != nil {
			from.Close()
		}
	}
	if err := l.Err(); err == nil || !strings.Contains(err.Error(), "does not read its answers") {
		t.Errorf("got %v", err)
	}
	if sent < maxOwed/4 {
		t.Errorf("it ended after %d", sent)
	}
}

func TestConnectionsEndWithTheirLink(t *testing.T) {
	av, gate := pair(t, 0, 1)
	here, there := connect(t, av, gate)
	failed := make(chan error, 1)
	go func() { _, err := here.Read(make([]byte, 1)); failed <- err }()
	av.Close()
	if err := <-failed; !errors.Is(err, io.ErrUnexpectedEOF) {
		t.Errorf("a read says %v, which could be taken for an end", err)
	}
	if _, err := here.Write([]byte("x")); !errors.Is(err, ErrClosed) {
		t.Errorf("a write says %v", err)
	}
	if _, err := av.Open(1); !errors.Is(err, ErrClosed) {
		t.Errorf("another: %v", err)
	}
	there.Close()
}

func TestWhoStopsToAcceptDoesNotEndTheLink(t *testing.T) {
	av, gate := pair(t, 4, 0)
	stop := make(chan struct{})
	if _, err := gate.Open(1); err != nil {
		t.Fatal(err)
	}
	conn, err := av.AcceptUntil(stop)
	if err != nil {
		t.Fatal(err)
	}
	conn.Close()
	close(stop)
	if _, err := av.AcceptUntil(stop); !errors.Is(err, net.ErrClosed) || av.Err() != nil {
		t.Errorf("%v, %v", err, av.Err())
	}
}

// Through a link two TCP connections are joined, as for a published port.
func TestJoinedConnectionsAreOne(t *testing.T) {
	av, gate := pair(t, 0, 8)
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	var joining sync.WaitGroup
	defer joining.Wait()
	type carried struct{ toHost, toBox int64 }
	counts := make(chan carried, 2)
	dial := func() (client, server *net.TCPConn) {
		t.Helper()
		conn, err := net.Dial("tcp4", listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		accepted, err := listener.Accept()
		if err != nil {
			t.Fatal(err)
		}
		return conn.(*net.TCPConn), accepted.(*net.TCPConn)
	}
	through := func() (client, server *net.TCPConn) {
		t.Helper()
		client, hostEnd := dial()
		server, boxEnd := dial()
		here, there := connect(t, av, gate)
		joining.Go(func() {
			toHost, toBox := Join(context.Background(), hostEnd, here)
			counts <- carried{toHost, toBox}
		})
		joining.Go(func() { Join(context.Background(), boxEnd, there) })
		return client, server
	}
	client, server := through()
	_, _ = io.WriteString(client, "question")
	_ = client.CloseWrite()
	if got, err := io.ReadAll(server); err != nil || string(got) != "question" {
		t.Errorf("%q, %v", got, err)
	}
	_, _ = io.WriteString(server, "an answer")
	server.Close()
	if got, err := io.ReadAll(client); err != nil || string(got) != "an answer" {
		t.Errorf("%q, %v", got, err)
	}
	client.Close()
	if got := <-counts; got != (carried{9, 8}) {
		t.Errorf("counted %+v", got)
	}
	client, server = through()
	_, _ = io.WriteString(server, "half")
	if _, err := io.ReadFull(client, make([]byte, 4)); err != nil {
		t.Fatal(err)
	}
	_ = server.SetLinger(0)
	server.Close()
	_ = client.SetDeadline(time.Now().Add(patience))
	if _, err := client.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("a reset arrives as %v", err)
	}
	client.Close()
}

// Whatever an end sends, the other neither panics nor keeps more than it said.
func FuzzFrames(f *testing.F) {
	f.Add([]byte{}, false)
	f.Add(bytes.Join([][]byte{frame(opened, 2, 0), frame(data, 2, 3, 1, 2, 3), frame(ended, 2, 0), frame(stopped, 2, 0)}, nil), true)
	f.Add(binary.BigEndian.AppendUint32([]byte{2}, 2), true)
	f.Fuzz(func(t *testing.T, sent []byte, read bool) {
		const welcome = 2
		l := New(OfAv, bytes.NewReader(sent), io.Discard, welcome)
		own, _ := l.Open(1)
		<-l.Done()
		l.Wait()
		if l.guests > welcome || len(l.conns) > welcome+1 || len(l.owed) > maxOwed {
			t.Errorf("%d guests, %d connections, %d answers", l.guests, len(l.conns), len(l.owed))
		}
		for _, c := range l.conns {
			if cap(c.unread) > connWindow {
				t.Errorf("a connection keeps %d bytes", cap(c.unread))
			}
		}
		if own != nil && read {
			_, _ = io.ReadAll(own)
			own.Close()
		}
	})
}

func BenchmarkCarry(b *testing.B) {
	for _, conns := range []int{1, 16} {
		b.Run(fmt.Sprint(conns), func(b *testing.B) {
			av, gate := pair(b, 0, conns)
			piece := make([]byte, 32<<10)
			b.SetBytes(int64(len(piece)))
			var all sync.WaitGroup
			for i := range conns {
				here, there := connect(b, av, gate)
				all.Go(func() { _, _ = io.Copy(io.Discard, there); there.Close() })
				all.Go(func() {
					for n := i; n < b.N; n += conns {
						_, _ = here.Write(piece)
					}
					here.Close()
				})
			}
			all.Wait()
		})
	}
}
