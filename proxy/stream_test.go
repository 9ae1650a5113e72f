package proxy

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/textproto"
	"strings"
	"testing"
	"time"
)

func TestEventsReachTheClientAsTheyHappen(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			next := make(chan string)
			w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Type", "text/event-stream")
				rw.WriteHeader(http.StatusOK)
				must(t, http.NewResponseController(rw).Flush())
				for event := range next {
					fmt.Fprintf(rw, "data: %s\n\n", event)
					must(t, http.NewResponseController(rw).Flush())
				}
			})
			// The answer's head comes although no event has happened.
			res := try(w.clientOf(byCertificate, h2).Get("https://" + apiHost + "/events"))(t)
			defer res.Body.Close()
			lines := bufio.NewReader(res.Body)
			for _, event := range []string{"one", "two", "three"} {
				next <- event // the next is not sent before this one was read
				if got := try(lines.ReadString('\n'))(t); got != "data: "+event+"\n" {
					t.Errorf("got %q", got)
				}
				try(lines.ReadString('\n'))(t)
			}
			close(next)
			if rest := try(io.ReadAll(lines))(t); len(rest) != 0 {
				t.Errorf("then came %q", rest)
			}
		})
	}
}

func TestBothSidesStreamAtOnce(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
				_ = http.NewResponseController(rw).EnableFullDuplex()
				lines := bufio.NewScanner(r.Body)
				for lines.Scan() {
					fmt.Fprintln(rw, "echo", lines.Text())
					must(t, http.NewResponseController(rw).Flush())
				}
			})
			body, send := io.Pipe()
			req := try(http.NewRequest("POST", "https://"+apiHost+"/", body))(t)
			sent := make(chan struct{})
			go func() {
				defer close(sent)
				fmt.Fprintln(send, "one")
			}()
			res := try(w.clientOf(byToken, h2).Do(req))(t)
			defer res.Body.Close()
			<-sent
			lines := bufio.NewReader(res.Body)
			for _, next := range []string{"two", "three", ""} {
				if got := try(lines.ReadString('\n'))(t); !strings.HasPrefix(got, "echo ") {
					t.Errorf("got %q", got)
				}
				if next != "" {
					fmt.Fprintln(send, next)
				}
			}
			send.Close()
			if rest := try(io.ReadAll(lines))(t); len(rest) != 0 {
				t.Errorf("then came %q", rest)
			}
			if e := w.records()[0]; e.BytesOut != 14 || e.BytesIn != 29 {
				t.Errorf("%d bytes out, %d in", e.BytesOut, e.BytesIn)
			}
		})
	}
}

func TestTrailersPassBothWays(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Trailer", "X-Announced")
				try(io.Copy(rw, r.Body))(t)
				rw.Header().Set("X-Announced", r.Trailer.Get("X-Digest"))
				rw.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
				if v := r.Trailer["Authorization"]; v != nil {
					t.Errorf("the slot arrived in a trailer: %s", v)
				}
			})
			req := try(http.NewRequest("POST", "https://"+apiHost+"/", io.NopCloser(strings.NewReader("body"))))(t)
			req.Trailer = http.Header{"X-Digest": {"d1"}}
			if !h2 { // net/http's HTTP/2 refuses it
				req.Trailer.Set("Authorization", "Bearer the-client's")
			}
			res := try(w.clientOf(byToken, h2).Do(req))(t)
			if got := read(t, res); got != "body" {
				t.Errorf("body %q", got)
			}
			if res.Trailer.Get("X-Announced") != "d1" || res.Trailer.Get("Grpc-Status") != "0" {
				t.Errorf("trailers %v", res.Trailer)
			}
		})
	}
}

func TestInformationalAnswersPass(t *testing.T) {
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header().Set("Link", "</style.css>")
		rw.WriteHeader(http.StatusEarlyHints)
		fmt.Fprint(rw, "final")
	})
	hints := make(chan string, 1)
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
			hints <- fmt.Sprint(code, h.Get("Link"))
			return nil
		},
	})
	req := try(http.NewRequestWithContext(ctx, "GET", "https://"+apiHost+"/", nil))(t)
	if got := read(t, try(w.client(byToken).Do(req))(t)); got != "final" {
		t.Errorf("body %q", got)
	}
	if got := <-hints; got != "103</style.css>" {
		t.Errorf("hint %q", got)
	}
	if e := w.records(); len(e) != 1 || e[0].Status != 200 {
		t.Errorf("records %+v", e)
	}
}

// A client that asks first learns of a refusal before it uploads, and the next request
// on its connection is not taken for the upload.
func TestExpectationIsAnsweredByTheUpstream(t *testing.T) {
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/refuse" {
			http.Error(rw, "no", http.StatusForbidden)
			return
		}
		try(io.Copy(rw, r.Body))(t)
	})
	conn, err := w.tls(byToken, apiHost+":443", apiHost, "http/1.1")
	must(t, err)
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	head := " HTTP/1.1\r\nHost: " + apiHost + "\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\n"
	r := bufio.NewReader(conn)
	try(io.WriteString(conn, "POST /take"+head))(t)
	if got := try(r.ReadString('\n'))(t); got != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q", got)
	}
	try(r.ReadString('\n'))(t)
	try(io.WriteString(conn, "body"))(t)
	if got := read(t, try(http.ReadResponse(r, nil))(t)); got != "body" {
		t.Errorf("body %q", got)
	}

	conn, err = w.tls(byToken, apiHost+":443", apiHost, "http/1.1")
	must(t, err)
	res := raw(t, conn, "POST /refuse"+head)
	read(t, res)
	if res.StatusCode != http.StatusForbidden {
		t.Errorf("status %s", res.Status)
	}
}

func TestClientThatGoesAwayEndsTheUpstreamRequest(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			gone := make(chan struct{})
			w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
				rw.WriteHeader(http.StatusOK)
				must(t, http.NewResponseController(rw).Flush())
				<-r.Context().Done()
				close(gone)
			})
			ctx, cancel := context.WithCancel(t.Context())
			req := try(http.NewRequestWithContext(ctx, "GET", "https://"+apiHost+"/", nil))(t)
			res := try(w.clientOf(byToken, h2).Do(req))(t)
			cancel()
			res.Body.Close()
			select {
			case <-gone:
			case <-time.After(patience):
				t.Fatal("the upstream still works for a client that is gone")
			}
			if e := w.ledger.wait(t, 1); e.Reason != "broken off by the client" {
				t.Errorf("record %+v", e)
			}
		})
	}
}

func TestUpstreamThatBreaksOffBreaksTheAnswerOff(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
				rw.Header().Set("Content-Length", "100")
				fmt.Fprint(rw, "half")
				must(t, http.NewResponseController(rw).Flush())
				panic(http.ErrAbortHandler)
			})
			res := try(w.clientOf(byToken, h2).Get("https://" + apiHost + "/"))(t)
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err == nil || string(body) != "half" {
				t.Errorf("the client takes %q for the whole answer: %v", body, err)
			}
			if e := w.ledger.wait(t, 1); e.Reason != "broken off by the upstream" || e.BytesIn != 4 {
				t.Errorf("record %+v", e)
			}
		})
	}
}

// Found by a client that hung up with the last byte, as most do: its request was recorded
// as broken off now and then.
func TestClientThatHasItsWholeAnswerDidNotBreakItOff(t *testing.T) {
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
		if r.ProtoMajor != 2 {
			t.Errorf("the upstream is asked over %s: its answer ends with the length", r.Proto)
		}
		rw.Header().Set("Content-Length", "5")
		_, err := io.WriteString(rw, "hello")
		must(t, err)
		must(t, http.NewResponseController(rw).Flush())
		<-r.Context().Done() // all is said, and the stream stays open
	})
	res := try(w.clientOf(byCertificate, false).Get("https://" + apiHost + "/"))(t)
	if body := read(t, res); body != "hello" {
		t.Errorf("got %q", body)
	}
	if e := w.records(); len(e) != 1 || e[0].Status != 200 || e[0].Reason != "" {
		t.Errorf("records %+v", e)
	}
}
