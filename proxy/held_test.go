package proxy

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// bodies is a world whose one service searches bodies.
func bodies(t *testing.T, h2 bool) (*world, *counter) { return bodiesFor(t, h2, 0) }

func bodiesFor(t *testing.T, h2 bool, holdFor time.Duration) (*world, *counter) {
	t.Helper()
	arrived := &counter{}
	up := startUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
		arrived.add()
		if r.URL.Path == "/large" {
			body, _ := io.ReadAll(r.Body)
			fmt.Fprintf(rw, "%d %s", len(body), body[len(body)-len(awkward):])
			return
		}
		mirror(rw, r)
	}, h2, apiHost)
	return newWorld(t, setup{services: services(swapping(up, sub(policy.InBody))), secrets: map[string]string{"AWKWARD": awkward}, holdFor: holdFor}), arrived
}

func TestBodyIsSearchedAsItsTypeHasIt(t *testing.T) {
	const text, raw = "k=__key__", "k=" + awkward
	for _, c := range []struct{ kind, coding, want string }{
		{"application/json; charset=utf-8", "", `k=a/b \"c\"&d=é`},
		{"application/vnd.api+json", "identity", `k=a/b \"c\"&d=é`},
		{"application/x-www-form-urlencoded", "", "k=a%2Fb+%22c%22%26d%3D%C3%A9"},
		{"text/plain", "", raw},
		{"application/xml", "", raw},
		{"", "", raw},
		{"application/json", "gzip", text},
		{"multipart/form-data; boundary=x", "", text},
		{"application/octet-stream", "", text},
		{"application/grpc+proto", "", text},
		{"nonsense;;", "", text},
	} {
		for _, h2 := range []bool{false, true} {
			for _, chunked := range []bool{false, true} {
				t.Run(fmt.Sprintf("%s %s, HTTP/2 %v, chunked %v", c.kind, c.coding, h2, chunked), func(t *testing.T) {
					w, _ := bodies(t, h2)
					req := try(http.NewRequest("POST", "https://"+apiHost+"/", strings.NewReader(text)))(t)
					req.Header["Content-Type"] = nil
					if c.kind != "" {
						req.Header.Set("Content-Type", c.kind)
					}
					if c.coding != "" {
						req.Header.Set("Content-Encoding", c.coding)
					}
					length := int64(len(c.want))
					if chunked {
						req.ContentLength, length = -1, -1
						req.Trailer = http.Header{"X-Digest": {"d1"}}
					}
					got := sawOf(t, try(w.clientOf(byToken, h2).Do(req))(t))
					if got.Body != c.want || got.Length != length || chunked != (got.Trailer.Get("X-Digest") == "d1") {
						t.Errorf("arrived %q of length %d, trailers %v, want %q", got.Body, got.Length, got.Trailer, c.want)
					}
					if e := w.records()[0]; e.BytesOut != int64(len(c.want)) || (e.Keys == nil) != (c.want == text) {
						t.Errorf("record %+v", e)
					}
				})
			}
		}
	}
}

func TestBodyThatIsTooLargeToBeSearchedSendsNothing(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, chunked := range []bool{false, true} {
			t.Run(fmt.Sprintf("HTTP/2 %v, chunked %v", h2, chunked), func(t *testing.T) {
				w, arrived := bodies(t, h2)
				client := w.clientOf(byToken, h2)
				post := func(size int, kind string) *http.Response {
					body := append(bytes.Repeat([]byte{'x'}, size-len("__key__")), "__key__"...)
					req := try(http.NewRequest("POST", "https://"+apiHost+"/large", bytes.NewReader(body)))(t)
					req.Header.Set("Content-Type", kind)
					if chunked {
						req.ContentLength = -1
					}
					return try(client.Do(req))(t)
				}
				// At the ceiling, and across the pieces in which it is read.
				if got, want := read(t, post(maxSearchedBody, "text/plain")), fmt.Sprint(maxSearchedBody-len("__key__")+len(awkward), " ", awkward); got != want {
					t.Errorf("%s arrived, want %s", got, want)
				}
				res := post(maxSearchedBody+1, "text/plain")
				if e := reason(t, res); res.StatusCode != 413 || e.Code != "body_too_large" || !strings.Contains(e.Message, "10 MiB") {
					t.Errorf("%s %+v", res.Status, e)
				}
				if arrived.get() != 1 {
					t.Errorf("%d requests arrived", arrived.get())
				}
				// What is not searched may be of any size.
				if got := read(t, post(maxSearchedBody+1, "application/octet-stream")); !strings.HasPrefix(got, fmt.Sprint(maxSearchedBody+1, " ")) {
					t.Errorf("%s arrived", got)
				}
			})
		}
	}
}

func TestSearchedUploadThatAsksFirstIsToldToContinue(t *testing.T) {
	w, _ := bodies(t, false)
	conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	try(io.WriteString(conn, "POST / HTTP/1.1\r\nHost: "+apiHost+"\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n"))(t)
	r := bufio.NewReader(conn)
	if got := try(r.ReadString('\n'))(t); got != "HTTP/1.1 100 Continue\r\n" {
		t.Fatalf("got %q", got)
	}
	try(r.ReadString('\n'))(t)
	try(io.WriteString(conn, "__key__"))(t)
	if got := sawOf(t, try(http.ReadResponse(r, nil))(t)); got.Body != awkward || got.Header["Expect"] != nil {
		t.Errorf("arrived %+v", got)
	}
}

// A body that breaks off is no request: half of it is not sent.
func TestSearchedBodyThatBreaksOffSendsNothing(t *testing.T) {
	for _, c := range []struct{ name, head, rest, reason string }{
		{"the client goes away", "Content-Length: 10", "__key__", reasonGone},
		{"a chunk that is none", "Transfer-Encoding: chunked", "7\r\n__key__\r\nzz\r\n", "a chunk's size is not a hexadecimal number"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, arrived := bodies(t, false)
			conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
			try(io.WriteString(conn, "POST / HTTP/1.1\r\nHost: "+apiHost+"\r\n"+c.head+"\r\n\r\n"+c.rest))(t)
			if c.reason == reasonGone {
				conn.Close()
			}
			if e := w.ledger.wait(t, 1); e.Reason != c.reason || arrived.get() != 0 {
				t.Errorf("%d arrived, record %+v", arrived.get(), e)
			}
		})
	}
}

// More uploads than may be in memory: each has its turn, and a stalled one holds up
// none but its own session's.
func TestSearchedBodiesOfASessionWaitForRoom(t *testing.T) {
	w, arrived := bodies(t, false)
	late := w.client(byToken)
	read(t, try(late.Get("https://"+apiHost+"/"))(t)) // it has its connection now
	var stalled []io.Closer
	for range maxHeldBodies {
		conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		try(io.WriteString(conn, "POST / HTTP/1.1\r\nHost: "+apiHost+"\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n"))(t)
		// It is being read, so it has its place.
		if got := try(bufio.NewReader(conn).ReadString('\n'))(t); got != "HTTP/1.1 100 Continue\r\n" {
			t.Fatalf("got %q", got)
		}
		stalled = append(stalled, conn)
	}
	waiting := make(chan string, 1)
	go func() {
		res, err := late.Post("https://"+apiHost+"/", "text/plain", strings.NewReader("late __key__"))
		if err != nil {
			waiting <- err.Error()
			return
		}
		defer res.Body.Close()
		body, _ := io.ReadAll(res.Body)
		waiting <- string(body)
	}()
	w.opened = w.session(setup{})
	res := try(w.client(byToken).Post("https://"+apiHost+"/", "text/plain", strings.NewReader("__key__")))(t)
	if got := sawOf(t, res).Body; got != awkward {
		t.Errorf("another session's body arrived as %q", got)
	}
	if n := arrived.get(); n != 2 {
		t.Errorf("%d requests arrived", n)
	}
	stalled[0].Close()
	select {
	case got := <-waiting:
		if !strings.Contains(got, "late a/b") {
			t.Errorf("the one that waited: %s", got)
		}
	case <-time.After(patience):
		t.Error("there is room, and the one that waited still does")
	}
	for _, conn := range stalled {
		conn.Close()
	}
}

// Stalled bodies would keep a session's other ones out for ever.
func TestSearchedBodyThatDoesNotComeInTimeMakesRoom(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			w, arrived := bodiesFor(t, h2, 300*time.Millisecond)
			client := w.clientOf(byToken, h2)
			answers := make(chan string, maxHeldBodies)
			for range maxHeldBodies {
				stalled, more := io.Pipe()
				defer time.AfterFunc(patience, func() { more.Close() }).Stop()
				defer more.Close()
				go func() { _, _ = io.WriteString(more, "__k") }()
				go func() {
					res, err := client.Post("https://"+apiHost+"/", "text/plain", stalled)
					if err != nil {
						answers <- err.Error()
						return
					}
					answers <- fmt.Sprint(res.StatusCode, " ", res.Header.Get(errorHeader))
					res.Body.Close()
				}()
			}
			for range maxHeldBodies {
				if got := <-answers; got != "408 body_too_slow" {
					t.Error(got)
				}
			}
			// There is room, and a connection on which a body was late is closed or of use.
			if got := sawOf(t, try(client.Post("https://"+apiHost+"/", "text/plain", strings.NewReader("__key__")))(t)).Body; got != awkward {
				t.Errorf("the next one arrived as %q", got)
			}
			if n := arrived.get(); n != 1 {
				t.Errorf("%d requests arrived", n)
			}
			late := 0
			for _, e := range w.records() {
				if e.Status == http.StatusRequestTimeout && e.Keys == nil && !e.Allowed {
					late++
				}
			}
			if late != maxHeldBodies {
				t.Errorf("%d records of late ones", late)
			}
		})
	}
}

func TestSearchedBodyMakesRoomWhenItHasLeft(t *testing.T) {
	w, arrived := bodies(t, true)
	client := w.client(byToken)
	for range maxHeldBodies + 2 {
		res := try(client.Post("https://"+apiHost+"/", "text/plain", strings.NewReader("k=__key__")))(t)
		if got := read(t, res); res.StatusCode != 200 || !strings.Contains(got, `k=a/b \"c\"`) {
			t.Fatalf("%s %s", res.Status, got)
		}
	}
	if n := arrived.get(); n != maxHeldBodies+2 {
		t.Errorf("%d arrived", n)
	}
}

func TestBodyThatItsPlaceholdersWouldBlowUpSendsNothing(t *testing.T) {
	w, arrived := bodies(t, true)
	body := strings.Repeat("__key__", 1<<20)
	res := try(w.client(byToken).Post("https://"+apiHost+"/", "text/plain", strings.NewReader(body)))(t)
	if e := reason(t, res); res.StatusCode != 413 || e.Code != "too_large_with_credentials" || arrived.get() != 0 {
		t.Errorf("%s %+v, %d arrived", res.Status, e, arrived.get())
	}
}

// The header's credential is fetched, and then the body is waited for.
func TestCredentialThatIsTakenAwayWhileABodyComesIsNotSent(t *testing.T) {
	arrived := &counter{}
	up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) { arrived.add(); mirror(rw, r) }, apiHost)
	service := swapping(up, sub(policy.InBody))
	service.Auth = policy.Auth{Type: policy.Bearer, Token: "VENDOR_TOKEN"}
	w := newWorld(t, setup{services: services(service), secrets: map[string]string{"AWKWARD": awkward}})
	body, send := io.Pipe()
	answer := make(chan *http.Response, 1)
	go func() {
		res, err := w.client(byToken).Post("https://"+apiHost+"/", "text/plain", body)
		if err != nil {
			t.Error(err)
		}
		answer <- res
	}()
	try(io.WriteString(send, "k="))(t) // it is there, so the proxy is at the body or will come to it
	must(t, w.vault.DeleteCredential(t.Context(), vault.Owner(), "VENDOR_TOKEN", true))
	try(io.WriteString(send, "x"))(t)
	send.Close()
	res := <-answer
	if res == nil {
		return
	}
	if read(t, res); res.StatusCode == 200 || arrived.get() != 0 {
		t.Errorf("%s, %d arrived", res.Status, arrived.get())
	}
}
