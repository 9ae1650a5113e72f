package proxy

import (
	"crypto/tls"
	"io"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// newFramed is an upstream of HTTP/2 that does what play says with each connection, once
// both sides have said hello.
func newFramed(t *testing.T, play func(n int, c *h2)) *tap {
	t.Helper()
	cert, pem := selfSigned(t, apiHost)
	ln := try(tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"h2"}}))(t)
	var wg sync.WaitGroup
	wg.Go(func() {
		for n := 1; ; n++ {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer conn.Close()
				_ = conn.SetDeadline(time.Now().Add(2 * patience))
				preface := make([]byte, len(http2.ClientPreface))
				if _, err := io.ReadFull(conn, preface); err != nil {
					return
				}
				c := framed(t, conn)
				if c.WriteSettings() == nil {
					play(n, c)
				}
			})
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return &tap{addr: netip.MustParseAddrPort(ln.Addr().String()), ca: pem}
}

// next reads up to the next request, and gives its stream; 0 at the end.
func (c *h2) next() uint32 {
	for {
		f, err := c.ReadFrame()
		if err != nil {
			return 0
		}
		switch f := f.(type) {
		case *http2.SettingsFrame:
			if !f.IsAck() {
				_ = c.WriteSettingsAck()
			}
		case *http2.MetaHeadersFrame:
			return f.StreamID
		}
	}
}

// drain reads until the connection ends.
func (c *h2) drain() { _, _ = io.Copy(io.Discard, c.conn) }

// drained does so beside what its caller writes, and waits for it.
func (c *h2) drained() (wait func()) {
	done := make(chan struct{})
	go func() { defer close(done); c.drain() }()
	return func() { <-done }
}

func (c *h2) say(stream uint32, body string) {
	_ = c.ask(stream, false, ":status", "200")
	_ = c.WriteData(stream, true, []byte(body))
}

func TestBadUpstreamOfHTTP2IsToldFromAGoodOne(t *testing.T) {
	long := strings.Repeat("a", 4000)
	for _, c := range []struct {
		name   string
		play   func(n int, c *h2)
		status int
		body   string
		broken bool
		reason string
	}{
		{"control", func(_ int, c *h2) { c.say(c.next(), "hello"); c.drain() }, 200, "hello", false, ""},
		{"control: GOAWAY behind the answer", func(_ int, c *h2) {
			id := c.next()
			c.say(id, "hello")
			_ = c.WriteGoAway(id, http2.ErrCodeNo, nil)
			c.drain()
		}, 200, "hello", false, ""},
		{"control: a GOAWAY that takes the request still", func(_ int, c *h2) {
			id := c.next()
			_ = c.WriteGoAway(id, http2.ErrCodeNo, nil)
			c.say(id, "hello")
			c.drain()
		}, 200, "hello", false, ""},
		// The first request of a session is sent once, whatever the upstream makes of it.
		{"a GOAWAY that does not take the request", func(n int, c *h2) {
			id := c.next()
			if n == 1 {
				_ = c.WriteGoAway(0, http2.ErrCodeNo, nil)
			} else {
				c.say(id, "hello")
			}
			c.drain()
		}, 502, "", false, "*"},
		{"GOAWAY for a fault", func(_ int, c *h2) {
			_ = c.WriteGoAway(c.next(), http2.ErrCodeInternal, []byte(secret))
			c.conn.Close()
		}, 502, "", false, "*"},
		{"GOAWAY in the body", func(_ int, c *h2) {
			id := c.next()
			_ = c.ask(id, false, ":status", "200")
			_ = c.WriteData(id, false, []byte("hello"))
			_ = c.WriteGoAway(0, http2.ErrCodeInternal, []byte(secret))
			c.conn.Close()
		}, 200, "hello", true, reasonUpstreamGone},
		{"reset at once", func(_ int, c *h2) { _ = c.WriteRSTStream(c.next(), http2.ErrCodeInternal); c.drain() }, 502, "", false, "*"},
		{"reset in the body", func(_ int, c *h2) {
			id := c.next()
			_ = c.ask(id, false, ":status", "200")
			_ = c.WriteData(id, false, []byte("hello"))
			_ = c.WriteRSTStream(id, http2.ErrCodeCancel)
			c.drain()
		}, 200, "hello", true, reasonUpstreamGone},
		{"reset without a fault in the body", func(_ int, c *h2) {
			id := c.next()
			_ = c.ask(id, false, ":status", "200")
			_ = c.WriteData(id, false, []byte("hello"))
			_ = c.WriteRSTStream(id, http2.ErrCodeNo)
			c.drain()
		}, 200, "hello", true, reasonUpstreamGone},
		{"less than its length", func(_ int, c *h2) {
			id := c.next()
			_ = c.ask(id, false, ":status", "200", "content-length", "10")
			_ = c.WriteData(id, true, []byte("hello"))
			c.drain()
		}, 200, "hello", true, reasonUpstreamGone},
		{"more than its length", func(_ int, c *h2) {
			id := c.next()
			_ = c.ask(id, false, ":status", "200", "content-length", "5")
			_ = c.WriteData(id, true, []byte("hello, and then some"))
			c.drain()
		}, 200, "hello", false, "*"},
		{"no status", func(_ int, c *h2) { _ = c.ask(c.next(), true, "x", "y"); c.drain() }, 502, "", false, "*"},
		{"line breaks in a value", func(_ int, c *h2) {
			_ = c.ask(c.next(), true, ":status", "200", "x", "a\r\nSet-Cookie: b\r\n\r\n")
			c.drain()
		}, 502, "", false, "*"},
		{"line breaks in the status", func(_ int, c *h2) { _ = c.ask(c.next(), true, ":status", "200\r\n\r\n"); c.drain() }, 502, "", false, "*"},
		{"garbage", func(_ int, c *h2) { c.next(); _, _ = io.WriteString(c.conn, strings.Repeat("garbage", 100)); c.drain() }, 502, "", false, "*"},
		{"data before a head", func(_ int, c *h2) { _ = c.WriteData(c.next(), true, []byte("hello")); c.drain() }, 502, "", false, "*"},
		{"a list of fields that is too long", func(_ int, c *h2) {
			id := c.next()
			fields := []string{":status", "200"}
			for range maxResponseHeaderBytes/len(long) + 2 {
				fields = append(fields, "x-long", long)
			}
			_ = c.askLong(id, true, c.block(fields...))
			c.drain()
		}, 502, "", false, "*"},
		{"continuations without end", func(_ int, c *h2) {
			id := c.next()
			err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: c.block(":status", "200")})
			for err == nil {
				err = c.WriteContinuation(id, false, c.block("x", long))
			}
		}, 502, "", false, "*"},
		{"1xx without end", func(_ int, c *h2) {
			for id := c.next(); c.ask(id, false, ":status", "103", "link", "</a>") == nil; {
			}
		}, 502, "", false, "*"},
		{"a push that nobody wants", func(_ int, c *h2) {
			id := c.next()
			_ = c.WritePushPromise(http2.PushPromiseParam{StreamID: id, PromiseID: 2, EndHeaders: true, BlockFragment: c.block(plain("/pushed")...)})
			c.drain()
		}, 502, "", false, "*"},
		{"settings without end", func(_ int, c *h2) {
			id := c.next()
			defer c.drained()()
			for range 20_000 {
				_ = c.WriteSettings(http2.Setting{ID: http2.SettingMaxConcurrentStreams, Val: 100})
			}
			c.say(id, "hello")
		}, 200, "hello", false, ""},
		{"pings without end", func(_ int, c *h2) {
			id := c.next()
			defer c.drained()()
			for range 20_000 {
				_ = c.WritePing(false, [8]byte{})
			}
			c.say(id, "hello")
		}, 200, "hello", false, ""},
		{"empty data without end", func(_ int, c *h2) {
			id := c.next()
			_ = c.ask(id, false, ":status", "200")
			for range 20_000 {
				_ = c.WriteData(id, false, nil)
			}
			_ = c.WriteData(id, true, []byte("hello"))
			c.drain()
		}, 200, "hello", false, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			var before weight
			up := newFramed(t, func(n int, up *h2) { c.play(n, up) })
			w := newWorld(t, setup{services: services(up.bearer())})
			b := w.bystander()
			b.isServed()
			client := w.clientOf(byToken, false)
			before = weigh()
			b.isServedDuring(func() {
				res, err := client.Get("https://" + apiHost + "/")
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != c.status || c.status != 502 && !strings.HasPrefix("hello", string(body)) || !c.broken && c.status == 200 && string(body) != "hello" || (err != nil) != c.broken {
					t.Errorf("%s %q, %v", res.Status, body, err)
				}
				if strings.Contains(string(body), secret) || res.Header["Set-Cookie"] != nil {
					t.Errorf("%v %q", res.Header, body)
				}
			})
			before.grewBy(t, floodHeap, 30)
			entries := b.others(1)
			if len(entries) != 1 || entries[0].Status != c.status || entries[0].Reason != c.reason && (c.reason != "*" || entries[0].Reason == "") {
				t.Errorf("records %+v", entries)
			}
			if strings.Contains(w.logs.String(), secret) {
				t.Error("the secret is in the log")
			}
		})
	}
}

// An upload that breaks off is a reset to an upstream of HTTP/2, not an end.
func TestUploadThatBreaksOffIsResetUpstream(t *testing.T) {
	for _, whole := range []bool{true, false} {
		t.Run(map[bool]string{true: "control: it does not", false: "it does"}[whole], func(t *testing.T) {
			begun, end := make(chan struct{}), make(chan string, 1)
			up := newFramed(t, func(_ int, c *h2) {
				id := c.next()
				for {
					f, err := c.ReadFrame()
					if err != nil {
						end <- "closed"
						return
					}
					switch f := f.(type) {
					case *http2.RSTStreamFrame:
						end <- "reset"
						return
					case *http2.DataFrame:
						if f.StreamEnded() {
							end <- "end"
							c.say(id, "hello")
							c.drain()
							return
						}
						close(begun)
					}
				}
			})
			w := newWorld(t, setup{services: services(up.bearer())})
			conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
			must(t, conn.SetDeadline(time.Now().Add(patience)))
			try(io.WriteString(conn, chunkedTo(apiHost)+"5\r\nhello\r\n"))(t)
			<-begun
			if whole {
				res := raw(t, conn, "0\r\n\r\n")
				if got := read(t, res); got != "hello" {
					t.Errorf("got %q", got)
				}
			}
			conn.Close()
			if got := <-end; (got == "end") != whole {
				t.Errorf("the upstream sees: %s", got)
			}
			if e := w.records(); len(e) != 1 || (e[0].Reason == "") != whole {
				t.Errorf("records %+v", e)
			}
		})
	}
}
