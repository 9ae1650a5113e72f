package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// saying is an upstream that reads a request's head, says answer and hangs up.
func saying(answer string) func(net.Conn, *bufio.Reader) {
	return func(conn net.Conn, r *bufio.Reader) {
		if readHead(r) {
			_, _ = io.WriteString(conn, answer)
		}
		conn.Close()
	}
}

// What an upstream of HTTP/1 may say, and what its client makes of it: a whole answer, a
// part that is known to be one, or a 502.
func TestAnswerIsWholeOrKnownNotToBe(t *testing.T) {
	const ok = "HTTP/1.1 200 OK\r\n"
	long := strings.Repeat("a", maxResponseHeaderBytes)
	for _, c := range []struct {
		name, answer string
		status       int
		body         string
		broken       bool // the client is told that there is more
		reason       string
	}{
		{"control: a length", ok + "Content-Length: 5\r\n\r\nhello", 200, "hello", false, ""},
		{"control: chunks", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, "hello", false, ""},
		{"control: until it closes", ok + "\r\nhello", 200, "hello", false, ""},
		{"closes at once", "", 502, "", false, "*"},
		{"closes in the status line", "HTTP/1.1 2", 502, "", false, "*"},
		{"closes in the head", ok + "Content-Length: 5\r\nX: a", 502, "", false, "*"},
		{"closes in the body", ok + "Content-Length: 10\r\n\r\nhello", 200, "hello", true, reasonUpstreamGone},
		{"closes in a chunk", ok + "Transfer-Encoding: chunked\r\n\r\na\r\nhello", 200, "hello", true, reasonUpstreamGone},
		{"closes between chunks", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", 200, "hello", true, reasonUpstreamGone},
		{"closes in the trailers", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nX: ", 200, "hello", true, reasonUpstreamGone},
		{"garbage for a chunk", ok + "Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nxyz\r\n", 200, "hello", true, reasonUpstreamGone},
		{"garbage", "\x16\x03\x01\x00\x00garbage\r\n\r\n", 502, "", false, "*"},
		{"HTTP/0.9", "<html>hello</html>", 502, "", false, "*"},
		{"another protocol", "SSH-2.0-OpenSSH_9.9\r\n", 502, "", false, "*"},
		{"no version", "HTTP/x 200 OK\r\n\r\n", 502, "", false, "*"},
		{"no status", "HTTP/1.1\r\n\r\n", 502, "", false, "*"},
		{"a status of two digits", "HTTP/1.1 20 OK\r\n\r\n", 502, "", false, "*"},
		{"two lengths", ok + "Content-Length: 5\r\nContent-Length: 6\r\n\r\nhello!", 502, "", false, "*"},
		{"a list of lengths", ok + "Content-Length: 5, 6\r\n\r\nhello!", 502, "", false, "*"},
		{"a negative length", ok + "Content-Length: -1\r\n\r\nhello", 502, "", false, "*"},
		{"a length with a sign", ok + "Content-Length: +5\r\n\r\nhello", 502, "", false, "*"},
		{"two encodings", ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 502, "", false, "*"},
		{"an encoding that nobody knows", ok + "Transfer-Encoding: xchunked\r\n\r\nhello", 502, "", false, "*"},
		{"a folded line", ok + "X: a\r\n b\r\nContent-Length: 5\r\n\r\nhello", 200, "hello", false, ""},
		{"a length that is none", ok + "Content-Length : 3\r\n\r\nhello", 200, "hello", false, ""},
		{"a long head", ok + "X: " + long + "\r\n\r\n", 502, "", false, "*"},
		{"a head of many fields", ok + strings.Repeat("X: a\r\n", maxResponseHeaderBytes/6) + "\r\n", 502, "", false, "*"},
		{"a head without end", ok + strings.Repeat("X: a\r\n", 1_000_000), 502, "", false, "*"},
		// The encoding counts, and the length is gone before the client sees it.
		{"both", ok + "Content-Length: 50\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", 200, "hello", false, ""},
		{"a body without leave", "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\nhello", 204, "", false, ""},
		{"trailers that frame", ok + "Trailer: Content-Length\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nContent-Length: 1\r\n\r\n", 502, "", false, "*"},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", c.name, h2), func(t *testing.T) {
				up := newTap(t, true, saying(c.answer))
				w := newWorld(t, setup{services: services(up.bearer())})
				res := try(w.clientOf(byToken, h2).Get("https://" + apiHost + "/"))(t)
				body, err := io.ReadAll(res.Body)
				res.Body.Close()
				if res.StatusCode != c.status || c.status != 502 && string(body) != c.body || (err != nil) != c.broken && !(h2 && c.status == 204) { // HTTP/2 has a length there, and no body
					t.Errorf("%s %q, %v", res.Status, body, err)
				}
				if lengths := res.Header["Content-Length"]; len(lengths) > 1 || len(lengths) == 1 && len(res.TransferEncoding) > 0 {
					t.Errorf("framed by %q and %q", lengths, res.TransferEncoding)
				}
				entries := w.records()
				if len(entries) != 1 || entries[0].Status != c.status || entries[0].Reason != c.reason && (c.reason != "*" || entries[0].Reason == "") {
					t.Errorf("records %+v", entries)
				}
			})
		}
	}
}

// net/http bounds the heads before an answer only where nobody looks at them, and the
// reverse proxy does. So we count.
func TestInformationalAnswersWithoutEndAreA502(t *testing.T) {
	const hint = "HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
	const answer = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"
	for _, c := range []struct {
		name, first string
		n, status   int
	}{
		{"as many as may be", hint, max1xx, 200}, // control
		{"one more", hint, max1xx + 1, 502},
		{"without end", hint, -1, 502},
		{"of 102", "HTTP/1.1 102 Processing\r\n\r\n", -1, 502},
		{"of 100", "HTTP/1.1 100 Continue\r\n\r\n", -1, 502},
		{"of 199", "HTTP/1.1 199 Almost\r\n\r\n", -1, 502},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", c.name, h2), func(t *testing.T) {
				up := newTap(t, true, func(conn net.Conn, r *bufio.Reader) {
					if !readHead(r) {
						return
					}
					for i := 0; i != c.n; i++ {
						if _, err := io.WriteString(conn, c.first); err != nil {
							return
						}
					}
					_, _ = io.WriteString(conn, answer)
				})
				w := newWorld(t, setup{services: services(up.bearer())})
				conn := try(w.tls(byToken, apiHost+":443", apiHost, map[bool]string{false: "http/1.1", true: "h2"}[h2]))(t)
				var status string
				if h2 {
					client := hello2(t, conn)
					must(t, client.ask(1, true, plain("/")...))
					status = client.outcome(1)
				} else {
					must(t, conn.SetDeadline(time.Now().Add(patience)))
					try(io.WriteString(conn, "GET / HTTP/1.1\r\nHost: "+apiHost+"\r\n\r\n"))(t)
					r := bufio.NewReader(conn)
					for {
						res := try(http.ReadResponse(r, nil))(t)
						if status = fmt.Sprint(res.StatusCode); res.StatusCode >= 200 {
							break
						}
					}
				}
				if status != fmt.Sprint(c.status) {
					t.Errorf("got %s", status)
				}
				conn.Close()
				if e := w.records(); len(e) != 1 || e[0].Status != c.status {
					t.Errorf("records %+v", e)
				}
			})
		}
	}
}

// An upload that breaks off must not look like a whole one to its upstream.
func TestUploadThatBreaksOffIsNotWholeUpstream(t *testing.T) {
	for _, c := range []struct{ name, head, body, half, rest string }{
		{"a length", "Content-Length: 15\r\n", "hello", "there", "world"},
		{"chunks", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n", "5\r\nthere\r\n", "5\r\nworld\r\n0\r\n\r\n"},
		{"in a chunk", "Transfer-Encoding: chunked\r\n", "5\r\nhello\r\n", "a\r\nthere", "world\r\n0\r\n\r\n"},
	} {
		for _, l := range legs {
			for _, whole := range []bool{true, false} { // with its control
				t.Run(fmt.Sprintf("%s, %s, whole %v", l.name, c.name, whole), func(t *testing.T) {
					begun := make(chan struct{}, 1)
					w, up := l.world(t, func(conn net.Conn, r *bufio.Reader) {
						req, err := http.ReadRequest(r)
						if err != nil {
							return
						}
						_, _ = io.ReadFull(req.Body, make([]byte, 5))
						begun <- struct{}{}
						if _, err := io.Copy(io.Discard, req.Body); err == nil {
							_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
						}
					})
					conn := l.open(t, w)
					must(t, conn.SetDeadline(time.Now().Add(patience)))
					try(io.WriteString(conn, l.to("POST {T}/x HTTP/1.1\r\nHost: {H}\r\n"+c.head+"\r\n"+c.body)))(t)
					<-begun
					try(io.WriteString(conn, c.half))(t)
					if whole {
						try(io.WriteString(conn, c.rest))(t)
						if res := try(http.ReadResponse(bufio.NewReader(conn), nil))(t); res.StatusCode != 200 {
							t.Error(res.Status)
						}
					}
					conn.Close()
					e := w.ledger.wait(t, 1)
					if want := map[bool]string{false: reasonGone}[whole]; e.Reason != want {
						t.Errorf("record %+v", e)
					}
					if n := len(w.records()); n != 1 {
						t.Errorf("%d records", n)
					}
					got := up.received()
					requests, _, err := arrived(got)
					if want := map[bool]int{true: 1}[whole]; len(requests) != want || err != nil {
						t.Errorf("arrived whole %q, %v, in %q", requests, err, got)
					}
				})
			}
		}
	}
}

// The client of an upstream that has heard enough is told so, while it still uploads.
func TestEarlyAnswerReachesAClientThatStillUploads(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			done := make(chan struct{})
			up := newTap(t, true, func(conn net.Conn, r *bufio.Reader) {
				if readHead(r) {
					_, _ = io.WriteString(conn, "HTTP/1.1 413 Too Large\r\nContent-Length: 6\r\n\r\nenough")
				}
				<-done // and reads no more
				conn.Close()
			})
			w := newWorld(t, setup{services: services(up.bearer())})
			endless := readerFunc(func(p []byte) (int, error) { return len(p), nil })
			res, err := w.clientOf(byToken, h2).Post("https://"+apiHost+"/", "", endless)
			if err != nil {
				t.Fatal(err)
			}
			if got := read(t, res); res.StatusCode != 413 || got != "enough" {
				t.Errorf("%s %q", res.Status, got)
			}
			close(done)
			if e := w.records(); len(e) != 1 || e[0].Status != 413 {
				t.Errorf("records %+v", e)
			}
		})
	}
}

type readerFunc func([]byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

// An upstream that says nothing has its client's patience, and not a moment more.
func TestSilentUpstreamLosesItsRequestWithItsClient(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			asked, gone := make(chan struct{}), make(chan error, 1)
			up := newTap(t, true, func(conn net.Conn, r *bufio.Reader) {
				if readHead(r) {
					close(asked)
					_, err := r.ReadByte()
					gone <- err
				}
			})
			w := newWorld(t, setup{services: services(up.bearer())})
			b := w.bystander()
			client := w.clientOf(byToken, h2)
			ctx, cancel := context.WithCancel(t.Context())
			req := try(http.NewRequestWithContext(ctx, "GET", "https://"+apiHost+"/", nil))(t)
			answered := make(chan error, 1)
			go func() {
				_, err := client.Do(req)
				answered <- err
			}()
			<-asked
			b.isServed()
			cancel()
			select {
			case err := <-gone:
				if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
					t.Error("the upstream is still asked")
				}
			case <-time.After(patience):
				t.Error("the upstream is still asked")
			}
			if err := <-answered; err == nil {
				t.Error("there was an answer")
			}
			if e := b.others(1); len(e) != 1 || e[0].Reason != reasonGone {
				t.Errorf("records %+v", e)
			}
		})
	}
}

// What nobody asked for is the answer to no request that comes after.
func TestUnsolicitedAnswerIsGivenToNobody(t *testing.T) {
	const good = "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
	for _, c := range []struct{ name, method, answer string }{
		{"behind an answer", "GET", good + "first" + good + "stale"},
		{"behind an empty one", "GET", "HTTP/1.1 204 No Content\r\n\r\n" + good + "stale"},
		{"as the body of an empty one", "GET", "HTTP/1.1 204 No Content\r\nContent-Length: 43\r\n\r\n" + good + "stale"},
		{"as the body of HEAD", "HEAD", good + good + "stale"},
	} {
		t.Run(c.name, func(t *testing.T) {
			dropped := make(chan struct{}, 1)
			up := newTap(t, true, func(conn net.Conn, r *bufio.Reader) {
				req, err := http.ReadRequest(r)
				if err != nil {
					return
				}
				if req.URL.Path == "/first" {
					_, _ = io.WriteString(conn, c.answer)
					_, _ = io.Copy(io.Discard, r)
					dropped <- struct{}{}
					return
				}
				_, _ = io.WriteString(conn, good+"fresh")
			})
			w := newWorld(t, setup{services: services(up.bearer())})
			client := w.clientOf(byToken, false)
			read(t, try(client.Do(try(http.NewRequest(c.method, "https://"+apiHost+"/first", nil))(t)))(t))
			select {
			case <-dropped:
			case <-time.After(patience):
				t.Error("the connection is kept")
			}
			if got := read(t, try(client.Get("https://"+apiHost+"/second"))(t)); got != "fresh" {
				t.Errorf("got %q", got)
			}
			if n := len(w.records()); n != 2 {
				t.Errorf("%d records", n)
			}
		})
	}
}

func TestTrailerOfAnAnswerHoldsWhatMayStandInOne(t *testing.T) {
	w, _ := vendorH1(t, func(rw http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		must(t, err)
		defer conn.Close()
		_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\n"+
			"Content-Length: 9\r\nTransfer-Encoding: x\r\nAv-Error: denied\r\nProxy-Status: x\r\nX-Sum: 1\r\n\r\n")
	})
	for _, h2 := range []bool{false, true} {
		res := try(w.clientOf(byToken, h2).Get("https://" + apiHost + "/"))(t)
		if got := read(t, res); got != "hi" || len(res.Trailer) != 1 || res.Trailer.Get("X-Sum") != "1" {
			t.Errorf("HTTP/2 %v: %q with the trailer %v", h2, got, res.Trailer)
		}
	}
}

func TestLengthUnderAnotherNameDoesNotArrive(t *testing.T) {
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, r.Header["Content_length"], r.Header["Transfer_encoding"], r.Header["X_other"], r.ContentLength)
	})
	req := try(http.NewRequest("POST", "https://"+apiHost+"/", strings.NewReader("body")))(t)
	for _, name := range []string{"Content_Length", "Transfer_Encoding", "X_Other"} {
		req.Header.Set(name, "7")
	}
	if got := read(t, try(w.client(byToken).Do(req))(t)); got != "[] [] [7] 4" {
		t.Errorf("arrived %s", got)
	}
}
