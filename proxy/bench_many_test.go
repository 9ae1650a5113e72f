package proxy

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"
)

const (
	// A session may have 1024 connections and as many requests at a time.
	streamSessions, streamsEach = 8, 625
	tunnelSessions, tunnelsEach = 10, 1000
	// openers is how many are opened at a time: a machine of two cores does no more
	// handshakes than that within their timeouts.
	openers = 64
)

// streamKinds are the ways in which a stream is carried, and what the proxy may take for
// all of them, in MiB. The aim is 500. HTTP/1.1 on both sides does not reach it: each stream
// then has three TLS connections of its own, with their buffers and their goroutines. Its
// bound only keeps it from growing.
var streamKinds = []struct {
	name             string
	client, upstream bool // whether it speaks HTTP/2
	most             float64
}{
	{"h1-to-h1", false, false, 800},
	{"h1-to-h2", false, true, 600}, // most agents, and most vendors
	{"h2-to-h2", true, true, 500},
}

// BenchmarkFiveThousandEventStreams holds 5,000 event streams open, and says what one of
// them takes of the proxy's memory and how long an event takes to reach all.
func BenchmarkFiveThousandEventStreams(b *testing.B) {
	const first, second = "data: 1\n\n", "data: 2\n\n"
	for _, kind := range streamKinds {
		b.Run(kind.name, func(b *testing.B) {
			var publish chan struct{}
			up := startUpstream(b, func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", "text/event-stream")
				_, _ = io.WriteString(rw, first)
				_ = http.NewResponseController(rw).Flush()
				select {
				case <-publish:
					_, _ = io.WriteString(rw, second)
					_ = http.NewResponseController(rw).Flush()
				case <-r.Context().Done():
				}
				<-r.Context().Done()
			}, kind.upstream, apiHost)
			for b.Loop() {
				publish = make(chan struct{})
				p := startProcess(b, up, streamSessions)
				empty := p.memory()
				ctx, hangUp := context.WithTimeout(b.Context(), impatience)
				streams, closeAll := p.streams(ctx, kind.client)
				expect(b, streams, first)
				open := p.memory()
				began := time.Now()
				close(publish)
				expect(b, streams, second)
				b.ReportMetric(float64(time.Since(began).Milliseconds()), "fan-out-ms")
				b.ReportMetric((open.now-empty.now)/float64(len(streams)), "KiB/stream")
				b.ReportMetric(float64(p.connections()), "descriptors")
				p.heap("streams-" + kind.name)
				p.within(kind.most)
				hangUp()
				closeAll()
				p.stop()
			}
		})
	}
}

// streams opens an event stream for each place that the sessions have.
func (p *process) streams(ctx context.Context, h2 bool) (bodies []io.ReadCloser, closeAll func()) {
	p.b.Helper()
	clients := make([]*http.Client, streamSessions)
	for i := range clients {
		clients[i] = p.client(i, h2)
	}
	bodies = make([]io.ReadCloser, streamSessions*streamsEach)
	inTurns(p.b, len(bodies), func(i int) error {
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+apiHost+"/events", nil)
		if err != nil {
			return err
		}
		res, err := clients[i%streamSessions].Do(req)
		if err != nil {
			return err
		}
		if bodies[i] = res.Body; res.StatusCode != http.StatusOK {
			return fmt.Errorf("stream %d: %s", i, res.Status)
		}
		return nil
	})
	return bodies, func() {
		for _, body := range bodies {
			body.Close()
		}
		for _, c := range clients {
			c.CloseIdleConnections()
		}
	}
}

// expect waits until event came on each of streams.
func expect(b *testing.B, streams []io.ReadCloser, event string) {
	b.Helper()
	var wg sync.WaitGroup
	for _, stream := range streams {
		wg.Go(func() {
			got := make([]byte, len(event))
			if _, err := io.ReadFull(stream, got); err != nil || string(got) != event {
				b.Errorf("got %q: %v", got, err)
			}
		})
	}
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}

// BenchmarkTenThousandIdleTunnels holds 10,000 tunnels open that do nothing after their
// first request, and says what one of them takes of the proxy's memory and whether a
// session that comes now waits longer than one did before.
func BenchmarkTenThousandIdleTunnels(b *testing.B) {
	for _, h2 := range []bool{false, true} {
		b.Run(fmt.Sprintf("h2=%v", h2), func(b *testing.B) {
			up := startUpstream(b, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "hello") }, h2, apiHost)
			for b.Loop() {
				const tunnels = tunnelSessions * tunnelsEach
				p := startProcess(b, up, tunnelSessions+2)
				alone := p.latency(tunnelSessions, h2)
				empty := p.memory()
				clients := make([]*http.Client, tunnels) // of one tunnel each
				inTurns(b, tunnels, func(i int) error {
					clients[i] = p.client(i%tunnelSessions, h2)
					return ask(clients[i])
				})
				// Else the figures are those of tunnels that are no longer there.
				if n := p.connections(); n < tunnels {
					b.Fatalf("only %d connections are open", n)
				}
				b.ReportMetric((p.memory().now-empty.now)/tunnels, "KiB/tunnel")
				beside := p.latency(tunnelSessions+1, h2)
				b.ReportMetric(float64(alone.Microseconds())/1000, "alone-ms")
				b.ReportMetric(float64(beside.Microseconds())/1000, "beside-ms")
				b.ReportMetric(float64(beside)/float64(alone), "ratio")
				b.ReportMetric(p.memory().peak/(1<<10), "peak-RSS-MiB")
				p.heap(fmt.Sprintf("tunnels-h2=%v", h2))
				for _, c := range clients {
					c.CloseIdleConnections()
				}
				p.stop()
			}
		})
	}
}

// latency is the median of what a session's requests take, each in a tunnel of its own.
func (p *process) latency(session int, h2 bool) time.Duration {
	p.b.Helper()
	took := make([]time.Duration, 101)
	for i := range took {
		c := p.client(session, h2)
		began := time.Now()
		must(p.b, ask(c))
		took[i] = time.Since(began)
		c.CloseIdleConnections()
	}
	slices.Sort(took)
	return took[len(took)/2]
}

func ask(c *http.Client) error {
	res, err := c.Get("https://" + apiHost + "/")
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if said, err := io.ReadAll(res.Body); err != nil || string(said) != "hello" {
		return fmt.Errorf("%s: %q, %v", res.Status, said, err)
	}
	return nil
}

// inTurns does n things, openers at a time.
func inTurns(b *testing.B, n int, do func(i int) error) {
	b.Helper()
	turns := make(chan int)
	var wg sync.WaitGroup
	for range openers {
		wg.Go(func() {
			for i := range turns {
				if err := do(i); err != nil {
					b.Error(err)
				}
			}
		})
	}
	for i := range n {
		if b.Failed() {
			break
		}
		turns <- i
	}
	close(turns)
	wg.Wait()
	if b.Failed() {
		b.FailNow()
	}
}
