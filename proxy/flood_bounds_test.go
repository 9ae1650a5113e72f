package proxy

import (
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"golang.org/x/net/http2"

	"github.com/av-project/av/vault/policy"
)

// Heads that are larger than they look, and those that never end.
func TestHeadBeyondItsBoundIsNotKept(t *testing.T) {
	long := strings.Repeat("a", 4000)
	for _, c := range []struct {
		name string
		// send is handed the stream to flood, 3.
		send    func(c *h2) error
		outcome string
		goesOn  bool // the connection does
	}{
		// HPACK bomb: an entry of the dynamic table is one byte each time it is used.
		{"entries of the table", func(c *h2) error {
			fields := plain("/", "x-long", long)
			for range 10_000 {
				fields = append(fields, "x-long", long)
			}
			block := c.block(fields...)
			if len(block) > 20_000 {
				c.t.Errorf("%d bytes are no bomb", len(block))
			}
			return c.askLong(3, true, block)
		}, "431", true},
		{"entries of the table, and then some more", func(c *h2) error {
			fields := plain("/", "x-long", long)
			for range 100_000 {
				fields = append(fields, "x-long", long)
			}
			return c.askLong(3, true, c.block(fields...))
		}, "GOAWAY PROTOCOL_ERROR", false},
		{"one long value", func(c *h2) error {
			return c.askLong(3, true, c.block(plain("/", "x-long", strings.Repeat("a", 2*maxHeaderBytes))...))
		}, "GOAWAY PROTOCOL_ERROR|GOAWAY COMPRESSION_ERROR", false},
		// CVE-2023-45288.
		{"continuations without end", func(c *h2) error {
			err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: c.block(plain("/")...), EndStream: true})
			for i := 0; err == nil && i < 10_000; i++ {
				err = c.WriteContinuation(3, false, c.block("x-"+strings.Repeat("b", i%4000), long))
			}
			return nil // it ends the connection under us
		}, "GOAWAY PROTOCOL_ERROR|closed", false},
		{"continuations behind what is invalid", func(c *h2) error {
			err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: c.block("X", "capital"), EndStream: true})
			for i := 0; err == nil && i < 10_000; i++ {
				err = c.WriteContinuation(3, false, c.block("x", long))
			}
			return nil
		}, "GOAWAY PROTOCOL_ERROR|closed", false},
		{"a table beyond its bound", func(c *h2) error {
			// "The maximum size is 2^20", where we said 4096.
			return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: []byte{0x3f, 0xe1, 0xff, 0x3f}, EndHeaders: true, EndStream: true})
		}, "GOAWAY COMPRESSION_ERROR", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, client, b, before := flooding(t)
			b.isServedDuring(func() {
				must(t, c.send(client))
				oneOf(t, "it ends", client.outcome(3), c.outcome)
			})
			before.grewBy(t, floodHeap, floodGoroutines)
			want := 1 // nothing of the flood comes to a handler
			if c.goesOn {
				client.answers(5)
				client.conn.Close()
				want++
			} else {
				client.isClosed()
			}
			if entries := b.but(w.records()); len(entries) != want {
				t.Errorf("records %+v", entries)
			}
		})
	}
}

func TestStreamsBeyondTheBoundAreReset(t *testing.T) {
	const beyond = 5_000
	release := make(chan struct{})
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/hang" {
			<-release
		}
	})
	b := w.bystander()
	client := w.h2()
	client.answers(1)
	for i := range uint32(maxStreams) {
		must(t, client.ask(2*i+3, true, plain("/hang")...))
	}
	before := weigh()
	last := uint32(2*(maxStreams+beyond) + 1)
	b.isServedDuring(func() {
		go func() {
			for i := range uint32(beyond) {
				if client.ask(2*(maxStreams+i)+3, true, plain("/beyond")...) != nil {
					return
				}
			}
		}()
		oneOf(t, "one too many", client.outcome(last), "RST PROTOCOL_ERROR")
	})
	// What the first ones hold comes and goes meanwhile.
	before.grewBy(t, 2*floodHeap, 20*maxStreams)
	close(release)
	oneOf(t, "the first", client.outcome(3), "200")
	until(t, "what has ended makes no room", func() bool {
		last += 2
		must(t, client.ask(last, true, plain("/after")...))
		return client.outcome(last) == "200"
	})
	client.conn.Close()
	paths := map[string]int{}
	for _, e := range b.but(w.records()) {
		paths[e.Path]++
	}
	if paths["/beyond"] != 0 || paths["/hang"] != maxStreams || paths["/after"] != 2 {
		t.Errorf("records %v", paths)
	}
}

func TestFlowControlIsHeldTo(t *testing.T) {
	for _, c := range []struct {
		name    string
		spoil   func(c *h2) error
		outcome string
		closes  bool
	}{
		{"a window of the connection", func(c *h2) error { return c.WriteWindowUpdate(0, 1<<31-1) }, "GOAWAY FLOW_CONTROL_ERROR", true},
		{"a window of a stream", func(c *h2) error { return c.WriteWindowUpdate(3, 1<<31-1) }, "RST FLOW_CONTROL_ERROR", false},
		{"no window", func(c *h2) error { return c.WriteWindowUpdate(0, 0) }, "GOAWAY PROTOCOL_ERROR", true},
		{"windows by settings", func(c *h2) error {
			if err := c.WriteWindowUpdate(3, 1<<30); err != nil {
				return err
			}
			return c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1<<31 - 1})
		}, "GOAWAY FLOW_CONTROL_ERROR", true},
	} {
		t.Run(c.name, func(t *testing.T) {
			release := make(chan struct{})
			w, _ := vendorH1(t, func(rw http.ResponseWriter, r *http.Request) {
				if r.URL.Path == "/hang" {
					<-release
				}
			})
			b := w.bystander()
			client := w.h2()
			client.answers(1)
			must(t, client.ask(3, false, plain("/hang")...))
			b.isServedDuring(func() {
				must(t, c.spoil(client))
				oneOf(t, "it ends", client.outcome(3), c.outcome)
			})
			close(release)
			want := 2
			if c.closes {
				client.isClosed()
			} else {
				client.answers(5)
				want++
			}
			client.conn.Close()
			if entries := b.but(w.records()); len(entries) != want {
				t.Errorf("records %+v", entries)
			}
		})
	}
}

// A body that nobody reads yet, since its upstream does not answer the handshake.
func TestDataBeyondItsWindowResetsItsStream(t *testing.T) {
	mute := try(net.Listen("tcp", "127.0.0.1:0"))(t)
	defer mute.Close()
	w := newWorld(t, setup{services: services(policy.Service{
		Name: "vendor", Host: apiHost, Auth: policy.Auth{Type: policy.Bearer, Token: "VENDOR_TOKEN"},
		Upstream: policy.Upstream{Address: netip.MustParseAddrPort(mute.Addr().String())},
	})})
	b := w.bystander()
	client := w.h2()
	must(t, client.ask(1, false, plain("/x")...))
	before := weigh()
	b.isServedDuring(func() {
		for range 100 { // 1.6 MB, where 1 MiB is allowed
			must(t, client.WriteData(1, false, make([]byte, 16<<10)))
		}
		oneOf(t, "it ends", client.outcome(1), "RST FLOW_CONTROL_ERROR")
	})
	before.grewBy(t, floodHeap, floodGoroutines)
	client.conn.Close()
	if e := b.others(1); len(e) != 1 || e[0].Reason != reasonGone {
		t.Errorf("records %+v", e)
	}
}
