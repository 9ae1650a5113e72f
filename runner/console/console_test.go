package console

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// made is a console that listens in a folder of its own.
func made(t *testing.T, o Options) (c *Console, dir string, signals chan os.Signal) {
	t.Helper()
	signals = make(chan os.Signal, 4)
	o.Signals = signals
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	dir = t.TempDir()
	stop, err := c.Listen("0123abcd", dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close(0)
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
	return c, dir, signals
}

func dialed(t *testing.T, dir string, r Request) (net.Conn, Answer) {
	t.Helper()
	conn, answer, err := Dial(t.Context(), dir, r)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	return conn, answer
}

func received(t *testing.T, conn net.Conn) Frame {
	t.Helper()
	f, err := Receive(conn)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestAttachedSeesWhatWasPrintedAndWhatComesAndTheEnd(t *testing.T) {
	c, dir, _ := made(t, Options{Detached: true, TTY: true})
	write(t, c, Stdout, "before ")
	conn, answer := dialed(t, dir, Request{Want: Attach})
	if !answer.TTY || answer.Refused != "" {
		t.Fatalf("%+v", answer)
	}
	if f := received(t, conn); f.Kind != Stdout || string(f.Body) != "before " {
		t.Errorf("%c %q", f.Kind, f.Body)
	}
	write(t, c, Stderr, "after")
	if f := received(t, conn); f.Kind != Stderr || string(f.Body) != "after" {
		t.Errorf("%c %q", f.Kind, f.Body)
	}
	if err := Send(conn, Input, []byte("keys")); err != nil {
		t.Fatal(err)
	}
	typed := make([]byte, 4)
	if _, err := io.ReadFull(c.In(), typed); err != nil || string(typed) != "keys" {
		t.Errorf("the command reads %q, %v", typed, err)
	}
	c.Close(42)
	if f := received(t, conn); f.Code() != 42 {
		t.Errorf("%c %v", f.Kind, f.Body)
	}
}

func write(t *testing.T, c *Console, kind Kind, text string) {
	t.Helper()
	if _, err := io.WriteString(c.Output(kind), text); err != nil {
		t.Fatal(err)
	}
}

func TestOneIsAttachedAtATimeAndAnotherMayTakeThePlace(t *testing.T) {
	c, dir, _ := made(t, Options{Detached: true})
	first, _ := dialed(t, dir, Request{Want: Attach})
	if _, answer := dialed(t, dir, Request{Want: Attach}); !strings.Contains(answer.Refused, "already") {
		t.Errorf("%+v", answer)
	}
	second, answer := dialed(t, dir, Request{Want: Attach, Take: true})
	if answer.Refused != "" {
		t.Fatalf("%+v", answer)
	}
	if f := received(t, first); f.Kind != Said {
		t.Errorf("the first hears %c %q", f.Kind, f.Body)
	}
	if _, err := Receive(first); !errors.Is(err, io.EOF) {
		t.Errorf("the first is still there: %v", err)
	}
	write(t, c, Stdout, "x")
	if f := received(t, second); string(f.Body) != "x" {
		t.Errorf("the second sees %q", f.Body)
	}
}

func TestRunWithATerminalOfItsOwnCanOnlyBeStopped(t *testing.T) {
	_, dir, signals := made(t, Options{})
	for _, want := range []Want{Attach, Tail} {
		if _, answer := dialed(t, dir, Request{Want: want}); !strings.Contains(answer.Refused, "terminal of its own") {
			t.Errorf("%s: %+v", want, answer)
		}
	}
	for kill, signal := range map[bool]os.Signal{false: syscall.SIGTERM, true: syscall.SIGKILL} {
		dialed(t, dir, Request{Want: Stop, Kill: kill})
		if got := <-signals; got != signal {
			t.Errorf("kill %v sends %v", kill, got)
		}
	}
}

func TestAttachingDrawsTheScreenAgain(t *testing.T) {
	c, dir, _ := made(t, Options{Detached: true, TTY: true, Size: Size{80, 24}})
	sizes := make(chan Size, 8)
	c.Running(func(width, height uint16) { sizes <- Size{width, height} })
	if got := <-sizes; got != (Size{80, 24}) {
		t.Errorf("it begins with %v", got)
	}
	conn, _ := dialed(t, dir, Request{Want: Attach, Size: Size{80, 24}})
	for _, want := range []Size{{80, 25}, {80, 24}} {
		if got := <-sizes; got != want {
			t.Errorf("got %v, want %v", got, want)
		}
	}
	body, _ := json.Marshal(Size{100, 30})
	if err := Send(conn, Resize, body); err != nil {
		t.Fatal(err)
	}
	if got := <-sizes; got != (Size{100, 30}) {
		t.Errorf("got %v", got)
	}
}

func TestSocketOfAHomeThatLiesDeep(t *testing.T) {
	c, err := New(Options{Signals: make(chan os.Signal, 1), Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(0)
	dir := filepath.Join(t.TempDir(), strings.Repeat("d", maxSocketPath), "run")
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	stop, err := c.Listen("0123abcd", dir)
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	info, err := os.Stat(filepath.Join(dir, socketName))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the socket: %v, %v", info, err)
	}
	if _, answer := dialed(t, dir, Request{Want: Tail}); answer.Refused != "" {
		t.Errorf("%+v", answer)
	}
	// The control: the kernel takes no such path.
	if l, err := net.Listen("unix", filepath.Join(dir, "control")); err == nil {
		l.Close()
		t.Error("a path of that length is no trouble here: the test proves nothing")
	}
}

func TestTailKeepsTheLastUpToItsCeiling(t *testing.T) {
	var k tail
	for i := range 3 * maxTail / 1000 {
		k.add([]Kind{Stdout, Stderr}[i%2], bytes.Repeat([]byte{byte(i)}, 1000))
	}
	var all []byte
	for _, p := range k.pieces {
		all = append(all, p.Body...)
	}
	if len(all) != maxTail || k.size != maxTail || all[len(all)-1] != byte(3*maxTail/1000-1) {
		t.Errorf("%d bytes are kept, %d are counted, the last is %d", len(all), k.size, all[len(all)-1])
	}
	k.add(Stdout, bytes.Repeat([]byte("x"), 2*maxTail))
	if k.size != maxTail || len(k.pieces) != 1 {
		t.Errorf("%d bytes in %d pieces", k.size, len(k.pieces))
	}
}

func TestTailIsKeptInSoManyPieces(t *testing.T) {
	var k tail
	for i := range 3 * maxPieces {
		k.add([]Kind{Stdout, Stderr}[i%2], []byte{byte(i)})
	}
	if last := k.pieces[len(k.pieces)-1]; len(k.pieces) != maxPieces || k.size != maxPieces || last.Body[0] != byte((3*maxPieces-1)%256) {
		t.Errorf("%d pieces of %d bytes, and the last is %v", len(k.pieces), k.size, last)
	}
}

func TestConnectionThatCannotBeTakenIsWaitedFor(t *testing.T) {
	answers := []error{syscall.EMFILE, syscall.ECONNABORTED, nil, net.ErrClosed}
	began, taken := time.Now(), 0
	acceptLoop(func() (*net.UnixConn, error) {
		err := answers[0]
		answers = answers[1:]
		return nil, err
	}, func(*net.UnixConn) { taken++ })
	if took := time.Since(began); took < 2*acceptPause || taken != 1 || len(answers) != 0 {
		t.Errorf("%d taken, after %v", taken, took)
	}
}

func TestFrameIsReadUpToItsCeiling(t *testing.T) {
	for size, good := range map[uint32]bool{maxFrame: true, maxFrame + 1: false, 1 << 31: false} {
		head := binary.BigEndian.AppendUint32([]byte{byte(Input)}, size)
		_, err := Receive(io.MultiReader(bytes.NewReader(head), io.LimitReader(zeros{}, maxFrame)))
		if (err == nil) != good {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
	var sent bytes.Buffer
	if err := Send(&sent, Input, make([]byte, maxFrame+1)); err != nil {
		t.Fatal(err)
	}
	for _, want := range []int{maxFrame, 1} {
		if f, err := Receive(&sent); err != nil || len(f.Body) != want {
			t.Errorf("%d bytes, %v, want %d", len(f.Body), err, want)
		}
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }

// A viewer that was stopped must not stop the command. The server's own end is looked at:
// what it waits for is a time.
func TestViewerThatDoesNotReadIsLetGo(t *testing.T) {
	c, err := New(Options{Signals: make(chan os.Signal, 1), Detached: true})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(0)
	viewer := &stuck{}
	c.viewer = viewer
	write(t, c, Stdout, "x")
	if !viewer.closed || c.viewer != nil {
		t.Error("it holds the command up still")
	}
	if d := time.Until(viewer.deadline); d <= 0 || d > viewerPatience {
		t.Errorf("it is waited for %v", d)
	}
}

// stuck is a connection whose deadline comes at once.
type stuck struct {
	net.Conn
	deadline time.Time
	closed   bool
}

func (s *stuck) SetWriteDeadline(t time.Time) error { s.deadline = t; return nil }
func (s *stuck) Write([]byte) (int, error)          { return 0, os.ErrDeadlineExceeded }
func (s *stuck) Close() error                       { s.closed = true; return nil }

func TestClientsAreBounded(t *testing.T) {
	_, dir, _ := made(t, Options{Detached: true})
	var conns []net.Conn
	for range maxClients {
		conn, err := dial(dir)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		conns = append(conns, conn)
	}
	one, err := dial(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer one.Close()
	_ = one.SetReadDeadline(time.Now().Add(helloTimeout / 2))
	if _, err := one.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one too many was not sent away: %v", err)
	}
	// The control: one that was let in is heard.
	if err := SendJSON(conns[0], Hello, Request{Want: Tail}); err != nil {
		t.Fatal(err)
	}
	_ = conns[0].SetReadDeadline(time.Now().Add(time.Minute))
	if f, err := Receive(conns[0]); err != nil || f.Kind != Welcome {
		t.Errorf("%c %v", f.Kind, err)
	}
}

func TestAnswersOfManyAtOnceAreWhole(t *testing.T) {
	c, dir, _ := made(t, Options{Detached: true})
	conn, _ := dialed(t, dir, Request{Want: Attach})
	var writers sync.WaitGroup
	for range 8 {
		writers.Go(func() { write(t, c, Stdout, strings.Repeat("y", 100)) })
	}
	for got := 0; got < 800; {
		f := received(t, conn)
		if strings.Trim(string(f.Body), "y") != "" {
			t.Fatalf("%q", f.Body)
		}
		got += len(f.Body)
	}
	writers.Wait()
}
