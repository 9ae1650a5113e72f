package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// net/http reads somewhat more than it is told: 4 KiB in HTTP/1, 320 bytes in HTTP/2.
const slop = 4 << 10

func TestHeadOfARequestIsBounded(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		arrived := &counter{}
		w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) { arrived.add() })
		send := func(size int) int {
			req := try(http.NewRequest("GET", "https://"+apiHost+"/", nil))(t)
			for left := size; left > 0; left -= 8 << 10 { // no single field is the reason
				req.Header.Add("X-Long", strings.Repeat("a", min(left, 8<<10)))
			}
			res, err := w.clientOf(byToken, h2).Do(req)
			if err != nil {
				return 0 // the client itself may keep to what the proxy says that it takes
			}
			res.Body.Close()
			return res.StatusCode
		}
		if got := send(maxHeaderBytes - 2<<10); got != 200 || arrived.get() != 1 {
			t.Errorf("HTTP/2 %v, at the ceiling: %d", h2, got)
		}
		if got := send(maxHeaderBytes + slop); got != 431 && !(h2 && got == 0) || arrived.get() != 1 {
			t.Errorf("HTTP/2 %v, above it: %d", h2, got)
		}
	}
}

func TestHeadOfAnAnswerIsBounded(t *testing.T) {
	head := func(size int) string {
		const begin, end = "HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: ", "\r\n\r\n"
		return begin + strings.Repeat("a", size-len(begin)-len(end)) + end
	}
	for size, want := range map[int]int{maxResponseHeaderBytes: 200, maxResponseHeaderBytes + slop: 502} {
		up := newScripted(t, func(_ int, conn net.Conn, r *bufio.Reader) {
			if readHead(r) {
				_, _ = io.WriteString(conn, head(size))
			}
		})
		w := up.world(t)
		transport := w.clientOf(byToken, false)
		transport.Transport.(*http.Transport).MaxResponseHeaderBytes = 1 << 20
		res := try(transport.Get("https://" + apiHost + "/"))(t)
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("a head of %d bytes: %s, want %d", size, res.Status, want)
		}
	}
}

// What the framing check keeps is a line, and no more of it than this.
func TestLinesOfARequestAreBounded(t *testing.T) {
	line := func(size int, begin string) string { return begin + strings.Repeat("a", size-len(begin)-1) + "\r\n" }
	for what, c := range map[string]struct{ before, begin string }{
		"a line of a head": {"GET / HTTP/1.1\r\n", "X: "},
		"a chunk's size":   {chunked(""), "5;"},
	} {
		most := maxLine
		if c.begin == "5;" {
			most = maxChunkLine
		}
		for _, pieces := range []bool{false, true} {
			scan := func(size int) error {
				var f framing
				in := []byte(c.before + line(size, c.begin))
				if !pieces {
					_, err := f.scan(in)
					return err
				}
				for piece := range slices.Chunk(in, 100) {
					if _, err := f.scan(piece); err != nil {
						return err
					}
				}
				return nil
			}
			if err := scan(most); err != nil {
				t.Errorf("%s at the ceiling, in pieces %v: %v", what, pieces, err)
			}
			if err := scan(most + 1); err == nil || !strings.Contains(err.Error(), "too long") {
				t.Errorf("%s of one byte more, in pieces %v: %v", what, pieces, err)
			}
		}
	}
}

func TestRecordHoldsTheBeginningOfALongPathOrName(t *testing.T) {
	for _, size := range []int{maxRecordedPath, maxRecordedPath + 1} {
		path := "/" + strings.Repeat("a", size-1)
		if got := pathOf(httptest.NewRequest("GET", path, nil)); got != path[:maxRecordedPath] {
			t.Errorf("of a path of %d bytes %d are recorded", size, len(got))
		}
	}
	for _, size := range []int{maxRecordedName, maxRecordedName + 1} {
		name := strings.Repeat("n", size)
		if got := (&sniError{name}).Error(); strings.Count(got, "n") != maxRecordedName+strings.Count((&sniError{}).Error(), "n") {
			t.Errorf("of a name of %d bytes it says %s", size, got)
		}
	}
}

// A stream more than there may be is reset, and the others go on.
func TestStreamAboveTheCeilingIsReset(t *testing.T) {
	held := make(chan struct{})
	release := sync.OnceFunc(func() { close(held) })
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) { <-held })
	defer release()
	conn := try(w.tls(byToken, apiHost+":443", apiHost, "h2"))(t)
	must(t, conn.SetDeadline(time.Now().Add(3*patience)))
	try(io.WriteString(conn, http2.ClientPreface))(t)
	framer := http2.NewFramer(conn, conn)
	must(t, framer.WriteSettings())
	var block bytes.Buffer
	encoder := hpack.NewEncoder(&block)
	ask := func(n int) uint32 {
		block.Reset()
		for _, f := range [][2]string{{":method", "GET"}, {":scheme", "https"}, {":authority", apiHost}, {":path", "/"}} {
			must(t, encoder.WriteField(hpack.HeaderField{Name: f[0], Value: f[1]}))
		}
		id := uint32(2*n + 1)
		must(t, framer.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: block.Bytes(), EndHeaders: true, EndStream: true}))
		return id
	}
	next := func() http2.Frame {
		f := try(framer.ReadFrame())(t)
		if s, ok := f.(*http2.SettingsFrame); ok && !s.IsAck() {
			must(t, framer.WriteSettingsAck())
		}
		return f
	}
	next() // the proxy's settings, so that what follows breaks a rule that we know
	for n := range maxStreams {
		ask(n)
	}
	last := ask(maxStreams)
	for {
		f := next()
		if reset, ok := f.(*http2.RSTStreamFrame); ok {
			if reset.StreamID != last || reset.ErrCode != http2.ErrCodeProtocol {
				t.Fatalf("reset %v with %v, want stream %d, for it was told", reset, reset.ErrCode, last)
			}
			break
		}
		if _, ok := f.(*http2.HeadersFrame); ok {
			t.Fatalf("an answer came: %v", f)
		}
	}
	release()
	answered := 0
	for answered < maxStreams {
		switch f := next().(type) {
		case *http2.HeadersFrame:
			answered++
		case *http2.RSTStreamFrame:
			t.Fatalf("another is reset: %+v", f)
		case *http2.GoAwayFrame:
			t.Fatalf("the connection ends: %v", f)
		}
	}
}

// A burst opens more connections to an upstream than are kept after it.
func TestIdleConnectionsOfAnUpstreamAreBounded(t *testing.T) {
	const burst = maxIdlePerUpstream + 1
	all, waiting := make(chan struct{}), &counter{}
	var mu sync.Mutex
	states := map[net.Conn]http.ConnState{}
	up := newUnstarted(t, func(http.ResponseWriter, *http.Request) {
		if waiting.add(); waiting.get() == burst {
			close(all)
		}
		<-all
	}, false, apiHost)
	up.Config.ConnState = func(c net.Conn, s http.ConnState) {
		mu.Lock()
		defer mu.Unlock()
		states[c] = s
	}
	up.StartTLS()
	w := newWorld(t, setup{services: services(up.bearer(apiHost))})
	client := w.client(byToken)
	var wg sync.WaitGroup
	for range burst {
		wg.Go(func() {
			res, err := client.Get("https://" + apiHost + "/")
			if err != nil {
				t.Error(err)
				return
			}
			res.Body.Close()
		})
	}
	wg.Wait()
	count := func() (idle, closed int) {
		mu.Lock()
		defer mu.Unlock()
		for _, s := range states {
			switch s {
			case http.StateIdle:
				idle++
			case http.StateClosed:
				closed++
			}
		}
		return idle, closed
	}
	late := time.Now().Add(patience)
	for idle, closed := count(); idle != maxIdlePerUpstream || closed != 1; idle, closed = count() {
		if time.Now().After(late) {
			t.Fatalf("%d are kept and %d closed, of %d", idle, closed, burst)
		}
		time.Sleep(time.Millisecond)
	}
}
