package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// Who stalls is closed when its time is over, and not before somebody else was served.
// Each has its control: the same with all that was to be said is served.
func TestConnectionThatStallsIsClosed(t *testing.T) {
	hello := helloOf(t, &tls.Config{ServerName: apiHost})
	get := "GET /x HTTP/1.1\r\nHost: " + apiHost + "\r\n"
	secure := func(t *testing.T, w *world) net.Conn {
		return try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
	}
	for _, c := range []struct {
		name string
		// open goes as far as the stall, with what would be the rest of it.
		open func(t *testing.T, w *world) (conn net.Conn, said, rest string)
		// reason is of the record, "" for none, "*" for any or none.
		reason  string
		dribble bool
	}{
		{"no first byte", func(t *testing.T, w *world) (net.Conn, string, string) { return w.dial(byToken), "", "GET " }, "", false},
		{"half a handshake", func(t *testing.T, w *world) (net.Conn, string, string) {
			return w.dial(byToken), string(hello[:len(hello)/2]), string(hello[len(hello)/2:])
		}, "", true},
		{"half a head", func(t *testing.T, w *world) (net.Conn, string, string) {
			return w.dial(byToken), "GET http://" + apiHost + "/x HTTP/1.1\r\nHost: ", apiHost + "\r\nX: " + strings.Repeat("a", 10_000)
		}, "the request could not be read", true},
		{"a tunnel without a byte", func(t *testing.T, w *world) (net.Conn, string, string) {
			return w.tunnel(byToken, apiHost+":443"), "", string(hello)
		}, "timed out waiting for the first byte", false},
		{"half a method in a tunnel", func(t *testing.T, w *world) (net.Conn, string, string) {
			return w.tunnel(byToken, apiHost+":443"), "GE", "T"
		}, "timed out waiting for the first byte", false},
		{"half a handshake in a tunnel", func(t *testing.T, w *world) (net.Conn, string, string) {
			return w.tunnel(byToken, apiHost+":443"), string(hello[:len(hello)/2]), string(hello[len(hello)/2:])
		}, "timed out in the TLS handshake", true},
		{"half a head in a tunnel", func(t *testing.T, w *world) (net.Conn, string, string) {
			return secure(t, w), get + "X: a", strings.Repeat("a", 10_000)
		}, "the request could not be read", true},
		{"half a second head in a tunnel", func(t *testing.T, w *world) (net.Conn, string, string) {
			conn := secure(t, w)
			read(t, raw(t, conn, get+"\r\n"))
			return conn, get + "X: a", strings.Repeat("a", 10_000)
		}, "*", true},
	} {
		for _, dribble := range []bool{false, true} {
			if dribble && !c.dribble {
				continue // one byte more would say what it is
			}
			t.Run(fmt.Sprintf("%s, dribble %v", c.name, dribble), func(t *testing.T) {
				t.Parallel() // they wait
				up := newUpstream(t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ok") }, apiHost)
				w := newWorld(t, setup{services: services(up.bearer(apiHost)), openFor: 1500 * time.Millisecond, headFor: 1500 * time.Millisecond})
				b := w.bystander()
				conn, said, rest := c.open(t, w)
				defer conn.Close()
				must(t, conn.SetDeadline(time.Now().Add(patience)))
				_, _ = io.WriteString(conn, said)
				b.isServedDuring(func() {
					if dribble {
						go func() {
							// A byte now and then keeps nothing open.
							now := time.NewTicker(20 * time.Millisecond)
							defer now.Stop()
							for _, b := range []byte(rest) {
								if _, err := conn.Write([]byte{b}); err != nil {
									return
								}
								<-now.C
							}
						}()
					}
					ended(t, conn)
				})
				var reasons []string
				for _, e := range b.but(w.records()) {
					if e.Reason != "" {
						reasons = append(reasons, e.Reason)
					}
				}
				if got := strings.Join(reasons, "|"); c.reason != "*" && got != c.reason {
					t.Errorf("reasons %q", got)
				}
			})
		}
	}
}

func TestHeadThatComesByTheByteInTimeIsServed(t *testing.T) {
	w, _ := vendor(t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "ok") })
	conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	for _, b := range []byte("GET /x HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n") {
		try(conn.Write([]byte{b}))(t)
	}
	if res := try(http.ReadResponse(bufio.NewReader(conn), nil))(t); res.StatusCode != 200 {
		t.Error(res.Status)
	}
}

// A body may take as long as it likes, for so do uploads of an agent that thinks. It
// holds one connection on either side, and slows down nobody.
func TestBodiesThatDribbleSlowNobodyDown(t *testing.T) {
	const slow = 50
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) { _, _ = io.Copy(rw, r.Body) }, apiHost)
			w := newWorld(t, setup{services: services(up.bearer(apiHost)), openFor: patience, headFor: 100 * time.Millisecond})
			b := w.bystander()
			client := w.clientOf(byToken, h2)
			answers := make(chan string, slow)
			var bodies []*io.PipeWriter
			for range slow {
				body, send := io.Pipe()
				bodies = append(bodies, send)
				go func() {
					res, err := client.Post("https://"+apiHost+"/", "text/plain", body)
					if err != nil {
						answers <- err.Error()
						return
					}
					got, _ := io.ReadAll(res.Body)
					res.Body.Close()
					answers <- string(got)
				}()
				try(io.WriteString(send, "a"))(t)
			}
			for range 10 {
				b.isServed()
			}
			for _, send := range bodies {
				try(io.WriteString(send, "b"))(t)
				send.Close()
			}
			for range slow {
				if got := <-answers; got != "ab" {
					t.Errorf("got %q", got)
				}
			}
			if n := len(b.but(w.records())); n != slow {
				t.Errorf("%d records", n)
			}
		})
	}
}

// A client that asks for much and takes nothing. What its upstreams have sent by then
// waits in the proxy: one piece of an answer that comes by HTTP/1, and the window of one that
// comes by HTTP/2.
func TestAnswersThatNobodyTakesAreHeldBack(t *testing.T) {
	const streams, size = 20, 16 << 20
	for h2up, most := range map[bool]uint64{false: 512 << 10, true: maxUnreadAnswer + 512<<10} {
		t.Run(fmt.Sprintf("upstream with HTTP/2 %v", h2up), func(t *testing.T) {
			piece := make([]byte, 64<<10)
			var sent atomic.Int64
			up := startUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
				for range size / len(piece) {
					if _, err := rw.Write(piece); err != nil {
						return
					}
					sent.Add(int64(len(piece)))
				}
			}, h2up, apiHost)
			w := newWorld(t, setup{services: services(up.bearer(apiHost))})
			b := w.bystander()
			b.isServed()
			client := w.h2()
			must(t, client.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 0}))
			before := weigh()
			for i := range uint32(streams) {
				must(t, client.ask(2*i+3, true, plain("/much")...))
			}
			for heads := 0; heads < streams; { // each answer has begun
				if f, ok := try(client.ReadFrame())(t).(*http2.MetaHeadersFrame); ok && f.PseudoValue("status") == "200" {
					heads++
				}
			}
			// Until the upstream gets nothing more rid of.
			for still, last := 0, sent.Load(); still < 50; still++ {
				b.isServed()
				if now := sent.Load(); now != last {
					still, last = 0, now
				}
			}
			if got := sent.Load(); got > streams*size/2 {
				t.Errorf("%d MiB left the upstream", got>>20)
			}
			before.grewBy(t, streams*most, 20*streams)
			client.conn.Close()
			if n := len(b.but(w.records())); n != streams {
				t.Errorf("%d records", n)
			}
		})
	}
}
