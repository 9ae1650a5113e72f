package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// A client that asks may be refused before it has sent its body. Then its next request
// could be taken for the body, or the body for a request, on either side of the proxy.
func TestExpectationDoesNotShiftRequests(t *testing.T) {
	const head = "POST {T}/%s HTTP/1.1\r\nHost: {H}\r\nExpect: 100-continue\r\n"
	sized := strings.Replace(head, "%s", "refuse", 1) + "Content-Length: 5\r\n\r\n"
	chunks := strings.Replace(head, "%s", "refuse", 1) + "Transfer-Encoding: chunked\r\n\r\n"
	for _, c := range []struct {
		name, head, then string
		// What may arrive besides a request that is not whole.
		may []string
	}{
		{"control: told to go on", strings.Replace(head, "%s", "take", 1) + "Content-Length: 5\r\n\r\n", "hello" + hidden, []string{`POST /take "hello"`, `GET /smuggled ""`}},
		{"refused, and sends it all the same", sized, "hello" + hidden, []string{`POST /refuse "hello"`, `GET /smuggled ""`}},
		{"refused, and sends it in chunks", chunks, "5\r\nhello\r\n0\r\n\r\n" + hidden, []string{`POST /refuse "hello"`, `GET /smuggled ""`}},
		{"refused, and sends the next request", sized, hidden, nil},
		{"refused, and sends the next for chunks", chunks, hidden, nil},
		{"a body that is a request", strings.Replace(sized, "5\r\n", "35\r\n", 1), "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n",
			[]string{`POST /refuse "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"`}},
		{"nothing to expect", strings.Replace(head, "%s", "refuse", 1) + "Content-Length: 0\r\n\r\n", hidden, []string{`POST /refuse ""`, `GET /smuggled ""`}},
	} {
		for _, l := range legs {
			t.Run(l.name+"/"+c.name, func(t *testing.T) {
				w, up := l.world(t, choosy)
				conn := l.open(t, w)
				must(t, conn.SetDeadline(time.Now().Add(patience)))
				r := bufio.NewReader(conn)
				try(io.WriteString(conn, l.to(c.head)))(t)
				res := try(http.ReadResponse(r, nil))(t)
				if res.StatusCode == 100 && strings.Contains(c.head, "/refuse") {
					// The refusal leaves the connection to the upstream open, so net/http asks for
					// the body after all, and may do so before the refusal has left.
					res = try(http.ReadResponse(r, nil))(t)
				}
				_, _ = io.Copy(io.Discard, res.Body)
				if want := map[bool]int{true: 100, false: 403}[strings.Contains(c.head, "/take")]; res.StatusCode != want {
					t.Fatal(res.Status)
				}
				_, _ = io.WriteString(conn, l.to(c.then)) // it may be closed
				if strings.Contains(c.name, "control") {
					for range 2 {
						res := try(http.ReadResponse(r, nil))(t)
						if res.StatusCode == 100 {
							// Both the upstream and net/http may say it, and the later one late.
							res = try(http.ReadResponse(r, nil))(t)
						}
						if read(t, res); res.StatusCode != 200 {
							t.Error(res.Status)
						}
					}
				} else {
					if half, ok := conn.(interface{ CloseWrite() error }); ok {
						_ = half.CloseWrite()
					}
					_, _ = io.Copy(io.Discard, r)
				}
				conn.Close()
				if n := len(w.records()); n == 0 || n > 2 {
					t.Errorf("%d records", n)
				}
				got := up.received()
				whole, _, err := arrived(got)
				if len(whole) > len(c.may) || !slices.Equal(whole, c.may[:len(whole)]) || err != nil {
					t.Errorf("arrived %q, %v\nmay be %q\nin %q", whole, err, c.may, got)
				}
				if strings.Contains(c.name, "control") && len(whole) != 2 {
					t.Errorf("arrived %q", whole)
				}
			})
		}
	}
}

// choosy refuses by the head alone, where it is not to take the body, and keeps the
// connection.
func choosy(conn net.Conn, r *bufio.Reader) {
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return
		}
		answer := "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
		if req.URL.Path == "/refuse" {
			_, _ = io.WriteString(conn, "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno")
			answer = ""
		} else if req.Header.Get("Expect") != "" {
			_, _ = io.WriteString(conn, "HTTP/1.1 100 Continue\r\n\r\n")
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return
		}
		_, _ = io.WriteString(conn, answer)
	}
}
