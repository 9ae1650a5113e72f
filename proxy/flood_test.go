package proxy

import (
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"testing"

	"golang.org/x/net/http2"

	"github.com/av-project/av/vault"
)

// What a flood may leave behind in memory, with its connection still open. One HTTP/2
// connection has buffers of 64 KiB or so and at most maxStreams handlers.
const (
	floodHeap       = 24 << 20
	floodGoroutines = 12
)

// flooding is a vendor that answers, another session beside the attacker's, and what the
// process weighed before.
func flooding(t *testing.T) (*world, *h2, *bystander, weight) {
	t.Helper()
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) { _, _ = io.Copy(io.Discard, r.Body) })
	b := w.bystander()
	b.isServed()
	client := w.h2()
	client.answers(1)
	return w, client, b, weigh()
}

// Frames that ask for little and cost the sender nothing. net/http carries each of these
// floods to its end, for nothing of them stays: afterwards the connection works.
func TestFloodOfFramesCostsNoMemory(t *testing.T) {
	const many = 20_000
	for _, c := range []struct {
		name  string
		frame func(c *h2, i int) error
		end   func(c *h2) error
	}{
		{"settings", func(c *h2, i int) error {
			return c.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: uint32(i)})
		}, nil},
		{"settings of the header table", func(c *h2, i int) error {
			return c.WriteSettings(http2.Setting{ID: http2.SettingHeaderTableSize, Val: uint32(i%2) << 30})
		}, nil},
		{"answers to no ping", func(c *h2, i int) error { return c.WritePing(true, [8]byte{byte(i)}) }, nil},
		{"priorities", func(c *h2, i int) error {
			return c.WritePriority(uint32(2*i+1001), http2.PriorityParam{StreamDep: uint32(2*i + 999), Weight: byte(i)})
		}, nil},
		{"empty data", func(c *h2, i int) error { return c.open(3, i, func() error { return c.WriteData(3, false, nil) }) },
			func(c *h2) error { return c.WriteData(3, true, nil) }},
		{"padding alone", func(c *h2, i int) error {
			return c.open(3, i, func() error { return c.WriteDataPadded(3, false, nil, make([]byte, 1)) })
		}, func(c *h2) error { return c.WriteData(3, true, nil) }},
		{"empty continuations", func(c *h2, i int) error {
			if i == 0 {
				return c.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, EndStream: true})
			}
			return c.WriteContinuation(3, false, nil)
		}, func(c *h2) error { return c.WriteContinuation(3, true, c.block(plain("/")...)) }},
		{"frames of no known type", func(c *h2, i int) error { return c.WriteRawFrame(0xbe, 0, 0, []byte("what?")) }, nil},
		{"resets of streams that are closed", func(c *h2, i int) error { return c.WriteRSTStream(1, http2.ErrCodeCancel) }, nil},
		{"windows", func(c *h2, i int) error { return c.WriteWindowUpdate(0, 1) }, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, client, b, before := flooding(t)
			last := uint32(5)
			b.isServedDuring(func() {
				done := make(chan struct{})
				go func() {
					defer close(done)
					for i := range many {
						if err := c.frame(client, i); err != nil {
							t.Errorf("frame %d: %v", i, err)
							break
						}
					}
					if c.end != nil {
						must(t, c.end(client))
					}
					must(t, client.ask(last, true, plain("/after")...))
				}()
				if got := client.outcome(last); got != "200" {
					t.Errorf("a plain request gets %s", got)
				}
				<-done
			})
			before.grewBy(t, floodHeap, floodGoroutines)
			client.conn.Close()
			want := 2
			if c.end != nil {
				want = 3 // the flooded stream was a request too
			}
			for _, e := range b.but(w.records()) {
				if e.Status != 200 && e.Status != 0 {
					t.Errorf("record %+v", e)
				}
				want--
			}
			if want != 0 {
				t.Errorf("%d records are missing", want)
			}
		})
	}
}

// open begins a request with a body at the first frame of a flood.
func (c *h2) open(stream uint32, i int, then func() error) error {
	if i == 0 {
		if err := c.ask(stream, false, plain("/")...); err != nil {
			return err
		}
	}
	return then()
}

// The answers that a client does not take are kept for it, up to 10,000 of net/http's.
func TestPingsWhoseAnswersAreNotReadCloseTheConnection(t *testing.T) {
	up := newUpstream(t, func(http.ResponseWriter, *http.Request) {}, apiHost)
	w := newWorld(t, setup{services: services(up.bearer(apiHost)), listener: func(l net.Listener) net.Listener { return tight{l} }})
	b := w.bystander()
	client := w.h2()
	for i := range 1000 { // control: who takes its answers gets them
		must(t, client.WritePing(false, [8]byte{byte(i)}))
		for {
			if ping, ok := try(client.ReadFrame())(t).(*http2.PingFrame); ok && ping.IsAck() && ping.Data[0] == byte(i) {
				break
			}
		}
	}
	client.answers(1)
	before := weigh()
	b.isServedDuring(func() {
		for i := 0; ; i++ {
			if err := client.WritePing(false, [8]byte{}); err != nil {
				return
			}
			if i == 5_000_000 {
				t.Error("the connection bears them all")
				return
			}
		}
	})
	before.grewBy(t, floodHeap, floodGoroutines)
	client.conn.Close()
	if e := b.but(w.records()); len(e) != 1 || e[0].Status != 200 {
		t.Errorf("records %+v", e)
	}
}

// tight is a listener whose connections hold little that was not read.
type tight struct{ net.Listener }

func (l tight) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetWriteBuffer(4 << 10)
	}
	return conn, err
}

// CVE-2023-44487: a stream that is reset does not count as open, while its handler still
// runs. Handlers are bounded, those that wait for one are bounded too, and then the
// connection ends.
func TestRapidResetIsCarriedOrEnded(t *testing.T) {
	const many = 5_000
	for _, slow := range []bool{false, true} {
		name := map[bool]string{false: "handlers that end", true: "handlers that do not"}[slow]
		t.Run(name, func(t *testing.T) {
			var open, most atomic.Int64
			w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
				most.Store(max(most.Load(), open.Add(1)))
				defer open.Add(-1)
				if r.URL.Path == "/hang" {
					<-r.Context().Done()
				}
			})
			b := w.bystander()
			client := w.h2()
			client.answers(1)
			before := weigh()
			gate := make(chan struct{})
			if slow {
				w.proxy.recorder = gated{w.ledger, gate}
			} else {
				close(gate)
			}
			ended := make(chan string, 1)
			b.isServedDuring(func() {
				go func() { ended <- client.outcome(1<<31 - 1) }()
				for i := range uint32(many) {
					id := 2*i + 3
					if client.ask(id, true, plain("/hang")...) != nil || client.WriteRSTStream(id, http2.ErrCodeCancel) != nil {
						break
					}
				}
				_ = client.ask(1<<31-1, true, plain("/after")...)
				got := <-ended
				if slow {
					oneOf(t, "it ends", got, "GOAWAY ENHANCE_YOUR_CALM")
				} else {
					oneOf(t, "it ends", got, "200|GOAWAY ENHANCE_YOUR_CALM")
				}
			})
			if !slow {
				before.grewBy(t, floodHeap, 20*maxStreams)
			} else {
				// The handlers that the test holds, and what waits for them.
				before.grewBy(t, floodHeap, 20*maxStreams)
				close(gate)
			}
			client.conn.Close()
			entries := b.but(w.records())
			if n := most.Load(); n > maxStreams {
				t.Errorf("%d requests at a time upstream", n)
			}
			if len(entries) > many+2 || slow && len(entries) > 5*maxStreams+2 {
				t.Errorf("%d records", len(entries))
			}
			for _, e := range entries {
				if e.Path == "/hang" && e.Reason != reasonGone && e.Reason != reasonEnded && e.Reason != "" {
					t.Fatalf("record %+v", e)
				}
			}
		})
	}
}

// gated is a recorder that keeps the handlers of a path waiting.
type gated struct {
	Recorder
	gate <-chan struct{}
}

func (g gated) Record(e vault.Entry) {
	if e.Path == "/hang" {
		<-g.gate
	}
	g.Recorder.Record(e)
}
