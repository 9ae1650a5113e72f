package proxy

import (
	"bufio"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"golang.org/x/net/http2"
)

// ok answers each request on an upstream's connection.
func ok(conn *tls.Conn, r *bufio.Reader) {
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		_, _ = io.Copy(io.Discard, req.Body)
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	}
}

// closes waits for the other side to close a connection, and tells how long that took.
func closes(conn io.Reader) time.Duration {
	began := time.Now()
	_, _ = io.Copy(io.Discard, conn)
	return time.Since(began)
}

// inTime tells whether something took as long as it may, and no less.
func inTime(took, limit time.Duration) bool { return took >= limit && took < limit+time.Second }

func TestClientThatSaysNothingIsClosedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		_, silent := b.client(t)
		if took := closes(silent); !inTime(took, openTimeout) {
			t.Errorf("it may be silent for %v", took)
		}
		conn, tunnel := b.client(t)
		try(io.WriteString(conn, "CONNECT "+apiHost+":443 HTTP/1.1\r\nHost: "+apiHost+":443\r\nProxy-Authorization: "+b.basic()+"\r\n\r\n"))(t)
		if res := try(http.ReadResponse(tunnel, &http.Request{Method: "CONNECT"}))(t); res.StatusCode != 200 {
			t.Fatal(res.Status)
		}
		if took := closes(tunnel); !inTime(took, openTimeout) {
			t.Errorf("a tunnel may be silent for %v", took)
		}
		b.serves(t, nil, ok)
		slow, r := b.client(t)
		time.Sleep(openTimeout - 1)
		try(io.WriteString(slow, b.head("GET")))(t)
		if res, _ := reply(t, r, "GET"); res.StatusCode != 200 {
			t.Errorf("control: who is silent for a moment less gets %s", res.Status)
		}
	})
}

func TestHeadThatDoesNotComeIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.serves(t, nil, ok)
		for _, wait := range []time.Duration{headTimeout - time.Second, headTimeout + time.Second} {
			conn, r := b.client(t)
			head := b.head("GET")
			try(io.WriteString(conn, head[:len(head)-2]))(t)
			began := time.Now()
			if wait > headTimeout {
				if closes(r); !inTime(time.Since(began), headTimeout) {
					t.Errorf("half a head is waited for %v", time.Since(began))
				}
				continue
			}
			time.Sleep(wait)
			try(io.WriteString(conn, head[len(head)-2:]))(t)
			if res, _ := reply(t, r, "GET"); res.StatusCode != 200 {
				t.Errorf("control: a head that comes in %v gets %s", wait, res.Status)
			}
		}
	})
}

func TestClientBetweenTwoRequestsIsClosedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		b.serves(t, nil, ok)
		conn, r := b.client(t)
		for _, wait := range []time.Duration{0, idleTimeout - time.Second} {
			time.Sleep(wait)
			try(io.WriteString(conn, b.head("GET")))(t)
			if res, _ := reply(t, r, "GET"); res.StatusCode != 200 {
				t.Errorf("after %v: %s", wait, res.Status)
			}
		}
		if took := closes(r); !inTime(took, idleTimeout) {
			t.Errorf("it may be idle for %v", took)
		}
	})
}

func TestUpstreamThatIsNotUsedIsClosedInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		kept := make(chan time.Duration, 1)
		b.serves(t, nil, func(conn *tls.Conn, r *bufio.Reader) {
			var last time.Time
			for {
				if _, err := http.ReadRequest(r); err != nil {
					kept <- time.Since(last)
					return
				}
				_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
				last = time.Now()
			}
		})
		conn, r := b.client(t)
		for range 2 {
			try(io.WriteString(conn, b.head("GET")))(t)
			reply(t, r, "GET")
			time.Sleep(upstreamIdleTimeout - time.Second) // and then it is used again
		}
		if took := <-kept; !inTime(took, upstreamIdleTimeout) {
			t.Errorf("it is kept for %v", took)
		}
	})
}

func TestUpstreamThatDoesNotShakeHandsIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		go func() {
			for {
				conn, err := b.upstreams.Accept()
				if err != nil {
					return
				}
				_, _ = io.Copy(io.Discard, conn) // and never a word
			}
		}()
		conn, r := b.client(t)
		began := time.Now()
		try(io.WriteString(conn, b.head("GET")))(t)
		res, body := reply(t, r, "GET")
		if res.StatusCode != 504 || !strings.Contains(body, `"timeout"`) || !inTime(time.Since(began), upstreamTLSTimeout) {
			t.Errorf("%s %s after %v", res.Status, body, time.Since(began))
		}
	})
}

func TestUploadDoesNotWaitLongForLeaveToContinue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		waited := make(chan time.Duration, 1)
		b.serves(t, nil, func(conn *tls.Conn, r *bufio.Reader) {
			if !readHead(r) {
				return
			}
			began := time.Now() // it neither says 100 nor answers
			_, _ = io.ReadFull(r, make([]byte, 4))
			waited <- time.Since(began)
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
		})
		conn, r := b.client(t)
		try(io.WriteString(conn, b.head("POST", "Content-Length: 4", "Expect: 100-continue")+"body"))(t)
		for res, _ := reply(t, r, "POST"); res.StatusCode == http.StatusContinue; res, _ = reply(t, r, "POST") {
		}
		if took := <-waited; !inTime(took, continueTimeout) {
			t.Errorf("it waits %v", took)
		}
	})
}

// An upstream that died without a word would keep what is asked of it for ever.
func TestUpstreamThatDiedIsFoundInTime(t *testing.T) {
	for _, alive := range []bool{true, false} {
		synctest.Test(t, func(t *testing.T) {
			b := newBubble(t)
			const later = 10 * (pingAfter + pingTimeout)
			b.serves(t, []string{"h2"}, func(conn *tls.Conn, r *bufio.Reader) {
				_, _ = io.ReadFull(r, make([]byte, len(http2.ClientPreface)))
				framer := http2.NewFramer(conn, r)
				_ = framer.WriteSettings()
				var writing sync.Mutex
				for {
					f, err := framer.ReadFrame()
					if err != nil {
						return
					}
					writing.Lock()
					switch f := f.(type) {
					case *http2.PingFrame:
						if alive {
							_ = framer.WritePing(true, f.Data)
						}
					case *http2.HeadersFrame:
						stream := f.StreamID
						time.AfterFunc(later, func() {
							writing.Lock()
							defer writing.Unlock()
							_ = framer.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: []byte{0x88}, EndHeaders: true, EndStream: true})
						})
					}
					writing.Unlock()
				}
			})
			conn, r := b.client(t)
			began := time.Now()
			try(io.WriteString(conn, b.head("GET")))(t)
			res, body := reply(t, r, "GET")
			took := time.Since(began)
			if alive && (res.StatusCode != 200 || took != later) {
				t.Errorf("control: %s after %v", res.Status, took)
			}
			if !alive && (res.StatusCode != 502 || !strings.Contains(body, `"upstream_failed"`) || !inTime(took, pingAfter+pingTimeout)) {
				t.Errorf("%s %s after %v", res.Status, body, took)
			}
			conn.Close()
			time.Sleep(later) // the timer of the upstream's answer
		})
	}
}

// An upstream that does not answer a close frame keeps the client's connection so long.
func TestWebSocketThatWeEndedIsCutOffInTime(t *testing.T) {
	for _, polite := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			near, far := net.Pipe()
			s := &stream{ReadWriteCloser: near, x: &exchange{}}
			began := time.Now()
			s.end(errors.New("it was too large"))
			if polite {
				time.AfterFunc(closeTimeout-1, func() { _ = s.Close() })
			}
			took := closes(far)
			if want := closeTimeout; !polite && took != want || polite && took != want-1 || s.x.late.Load() == nil {
				t.Errorf("it is closed after %v", time.Since(began))
			}
		})
	}
}

// exhausted is a listener without a file descriptor left, which notes when it is asked.
type exhausted struct {
	*pipes
	fails int
	asked []time.Time
}

func (l *exhausted) Accept() (net.Conn, error) {
	if l.asked = append(l.asked, time.Now()); len(l.asked) <= l.fails {
		return nil, &net.OpError{Op: "accept", Err: os.NewSyscallError("accept", syscall.EMFILE)}
	}
	return l.pipes.Accept()
}

func TestPauseBeforeTheNextAcceptIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBubble(t)
		ln := &exhausted{pipes: newPipes(), fails: 12}
		s := b.proxy.serving(t.Context(), ln.Addr())
		done := make(chan error, 1)
		go func() { done <- s.accept(ln) }()
		time.Sleep(time.Minute)
		ln.Close()
		<-done
		var longest time.Duration
		for i := 1; i <= ln.fails; i++ {
			pause := ln.asked[i].Sub(ln.asked[i-1])
			if pause < longest || pause > maxAcceptPause {
				t.Errorf("pause %d is %v", i, pause)
			}
			longest = pause
		}
		if longest != maxAcceptPause {
			t.Errorf("the longest pause is %v", longest)
		}
		if !strings.Contains(b.logs.String(), "accept failed") {
			t.Error("nobody is told")
		}
	})
}
