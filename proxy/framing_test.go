package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"strings"
	"testing"
)

// vectors are requests with more than one reading, and the reason against each.
var vectors = []struct{ name, request, want string }{
	{"both lengths", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "both Content-Length and Transfer-Encoding"},
	{"both, other order", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", "both Content-Length and Transfer-Encoding"},
	{"two lengths that differ", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello", "more than one Content-Length"},
	{"two lengths alike", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\ncontent-length: 5\r\n\r\nhello", "more than one Content-Length"},
	{"length list", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5, 5\r\n\r\nhello", "not a number"},
	{"length with sign", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello", "not a number"},
	{"negative length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: -5\r\n\r\nhello", "not a number"},
	{"hexadecimal length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0x5\r\n\r\nhello", "not a number"},
	{"length with space inside", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5 5\r\n\r\nhello", "not a number"},
	{"empty length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length:\r\n\r\nhello", "not a number"},
	{"huge length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999999999999999\r\n\r\n", "not a number"},
	{"two encodings", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "not chunked, once"},
	{"encoding list", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", "not chunked, once"},
	{"identity", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: identity\r\n\r\n", "not chunked, once"},
	{"disguised encoding", "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n", "not chunked, once"},
	{"encoding in HTTP/1.0", "POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", "HTTP/1.0 has no"},
	{"space before the colon", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length : 5\r\n\r\nhello", "name holds a character"},
	{"folded line", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\r\n y\r\n\r\n", "NAME: VALUE"},
	{"folded line with a colon", "POST / HTTP/1.1\r\nHost: a\r\nX: 1\r\n Content-Length: 5\r\n\r\nhello", "name holds a character"},
	{"space before the first header", "GET / HTTP/1.1\r\n Host: a\r\n\r\n", "name holds a character"},
	{"bare line feed in the head", "GET / HTTP/1.1\r\nHost: a\nX: 1\r\n\r\n", "without a carriage return"},
	{"bare line feed ends the head", "GET / HTTP/1.1\r\nHost: a\r\n\n", "without a carriage return"},
	{"bare carriage return", "GET / HTTP/1.1\r\nHost: a\r\nX: 1\rY: 2\r\n\r\n", "inside a line"},
	{"no colon", "GET / HTTP/1.1\r\nHost: a\r\nnonsense\r\n\r\n", "NAME: VALUE"},
	{"empty name", "GET / HTTP/1.1\r\nHost: a\r\n: 1\r\n\r\n", "NAME: VALUE"},
	{"two hosts", "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "more than one Host"},
	{"URL and Host differ", "GET http://a/ HTTP/1.1\r\nHost: b\r\n\r\n", "name different hosts"},
	{"URL and Host differ in port", "GET http://a/ HTTP/1.1\r\nHost: a:8080\r\n\r\n", "name different hosts"},
	{"empty line first", "\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", "METHOD TARGET VERSION"},
	{"no version", "GET /\r\n\r\n", "METHOD TARGET VERSION"},
	{"two spaces", "GET  / HTTP/1.1\r\nHost: a\r\n\r\n", "METHOD TARGET VERSION"},
	{"space in the target", "GET /a b HTTP/1.1\r\nHost: a\r\n\r\n", "version is neither"},
	{"HTTP/2 in the clear", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", "version is neither"},
	{"lower case version", "GET / http/1.1\r\nHost: a\r\n\r\n", "version is neither"},
	{"WebSocket with a body", "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nContent-Length: 5\r\n\r\nhello", "has no body"},
	{"chunk size with line feed alone", chunked("5\nhello\r\n0\r\n\r\n"), "without a carriage return"},
	{"chunk extension with line feed alone", chunked("5;a=b\nhello\r\n0\r\n\r\n"), "without a carriage return"},
	{"negative chunk", chunked("-5\r\nhello\r\n0\r\n\r\n"), "hexadecimal"},
	{"prefixed chunk", chunked("0x5\r\nhello\r\n0\r\n\r\n"), "hexadecimal"},
	{"huge chunk", chunked("fffffffffffffffff\r\nhello\r\n0\r\n\r\n"), "hexadecimal"},
	{"chunk with space", chunked("5 \r\nhello\r\n0\r\n\r\n"), "hexadecimal"},
	{"empty chunk size", chunked("\r\nhello\r\n0\r\n\r\n"), "hexadecimal"},
	{"chunk longer than its size", chunked("5\r\nhello!\r\n0\r\n\r\n"), "longer than its size"},
	{"chunk ends with line feed alone", chunked("5\r\nhello\n0\r\n\r\n"), "without a carriage return"},
	{"folded trailer", chunked("0\r\nX: 1\r\n y\r\n\r\n"), "NAME: VALUE"},
	{"trailer with line feed alone", chunked("0\r\nX: 1\n\r\n"), "without a carriage return"},
	{"endless line", "GET / HTTP/1.1\r\nX: " + strings.Repeat("a", maxLine) + "\r\n\r\n", "too long"},
	{"extensions without end", chunked(strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 10)), "no data"},
	{"endless trailer", chunked("0\r\nX: " + strings.Repeat("a", maxTrailers) + "\r\n\r\n"), "too long"},
	{"trailers without end", chunked("0\r\n" + strings.Repeat("X: "+strings.Repeat("a", 100)+"\r\n", 100) + "\r\n"), "trailers are too long"},
	{"length as a trailer", chunked("0\r\nContent-Length: 5\r\n\r\n"), "Content-Length is a trailer"},
	{"encoding as a trailer", chunked("0\r\ntransfer-encoding: chunked\r\n\r\n"), "Transfer-Encoding is a trailer"},
	{"host as a trailer", chunked("0\r\nhost: b\r\n\r\n"), "Host is a trailer"},
	{"endless chunk extension", chunked("5;" + strings.Repeat("a", maxChunkLine) + "\r\nhello\r\n"), "too long"},
}

func chunked(body string) string {
	return "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + body
}

// fine are requests with one reading, and how many there are.
var fine = []struct {
	name, requests string
	count          int
}{
	{"no body", "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 1},
	{"no headers", "GET / HTTP/1.0\r\n\r\n", 1},
	{"length", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello", 1},
	{"length of nothing", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n", 1},
	{"chunks, extension, trailer", chunked("5;a=b\r\nhello\r\nA\r\n0123456789\r\n0\r\nX: 1\r\n\r\n"), 1},
	{"many small chunks", chunked(strings.Repeat("1\r\nx\r\n", 10000) + "0\r\n\r\n"), 1},
	{"as long as trailers may be", chunked("0\r\nX: " + strings.Repeat("a", maxTrailers-5) + "\r\n\r\n"), 1},
	{"encoding in capitals", "POST / HTTP/1.1\r\nHost: a\r\ntransfer-encoding: \tChunked \r\n\r\n0\r\n\r\n", 1},
	{"pipelined", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello" + chunked("2\r\nhi\r\n0\r\n\r\n") + "GET / HTTP/1.1\r\nHost: a\r\n\r\n", 3},
	{"a body that looks like a request", "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 20\r\n\r\nGET / HTTP/1.1\nX\r\n\r\n", 1},
	{"URL and Host agree", "GET http://A:80/?x HTTP/1.1\r\nHost: a\r\n\r\n", 1},
	{"URL without a path", "GET https://a?x HTTP/1.1\r\nHost: a:443\r\n\r\n", 1},
}

func TestRequestsWithTwoReadingsAreRefused(t *testing.T) {
	for _, c := range vectors {
		t.Run(c.name, func(t *testing.T) {
			var f framing
			n, err := f.scan([]byte(c.request))
			if bad, ok := err.(*malformed); !ok || !strings.Contains(bad.reason, c.want) {
				t.Fatalf("error %v, want %q in it", err, c.want)
			}
			// What is passed on must not be a whole request to net/http.
			if whole(c.request[:n]) != 0 {
				t.Errorf("passed a whole request on: %q", c.request[:n])
			}
		})
	}
}

func TestRequestsWithOneReadingPass(t *testing.T) {
	for _, c := range fine {
		var f framing
		n, err := f.scan([]byte(c.requests))
		if err != nil || n != len(c.requests) || f.state != inRequestLine {
			t.Errorf("%s: passed %d of %d, state %d, error %v", c.name, n, len(c.requests), f.state, err)
		}
		if got := whole(c.requests); got != c.count {
			t.Errorf("%s: net/http reads %d requests", c.name, got)
		}
	}
}

func TestNothingIsReadInsideTunnels(t *testing.T) {
	for _, head := range []string{
		"CONNECT a:443 HTTP/1.1\r\nHost: a:443\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: a\r\nConnection: upgrade\r\nUpgrade: WebSocket\r\n\r\n",
	} {
		var f framing
		all := head + "\x16\x03\x01\n\n\r\r\x00GET"
		if n, err := f.scan([]byte(all)); err != nil || n != len(all) || f.state != isOpaque {
			t.Errorf("%q: passed %d, error %v", head, n, err)
		}
	}
}

// whole counts the requests that net/http reads in s to their ends.
func whole(s string) (n int) {
	r := bufio.NewReader(strings.NewReader(s))
	for {
		req, err := http.ReadRequest(r)
		if err != nil {
			return n
		}
		if _, err := io.Copy(io.Discard, req.Body); err != nil {
			return n
		}
		n++
	}
}

// FuzzFraming holds the framing check to two laws. It finds the same in pieces as in
// one; and where it finds the end of a request, net/http finds it too, or refuses.
func FuzzFraming(f *testing.F) {
	for _, c := range vectors {
		if len(c.request) < 1<<10 {
			f.Add([]byte(c.request), 7)
		}
	}
	for _, c := range fine {
		f.Add([]byte(c.requests), 1)
	}
	f.Fuzz(func(t *testing.T, in []byte, size int) {
		var once framing
		n, err := once.scan(in)

		var bit framing
		total, size := 0, max(1, min(size, len(in)))
		for rest := in; len(rest) > 0; {
			piece := rest[:min(size, len(rest))]
			m, bad := bit.scan(piece)
			total += m
			if bad != nil {
				if err == nil {
					t.Fatalf("in pieces of %d: %v, at once: nothing", size, bad)
				}
				break
			}
			rest = rest[len(piece):]
		}
		if err == nil && (total != n || bit.state != once.state) {
			t.Fatalf("in pieces: %d bytes, state %d; at once: %d, %d", total, bit.state, n, once.state)
		}

		// Ours and net/http's reading of the first request.
		var ours framing
		end := 0
		for i := range in {
			if _, err := ours.scan(in[i : i+1]); err != nil || ours.state == isOpaque {
				return
			}
			if ours.state == inRequestLine && len(ours.line) == 0 {
				end = i + 1
				break
			}
		}
		if end == 0 {
			return
		}
		src := bytes.NewReader(in)
		buffered := bufio.NewReader(src)
		req, readErr := http.ReadRequest(buffered)
		if readErr != nil {
			return // it refuses more than framing
		}
		if _, readErr = io.Copy(io.Discard, req.Body); readErr != nil {
			return
		}
		if theirs := len(in) - src.Len() - buffered.Buffered(); theirs != end {
			t.Fatalf("we end the request at %d, net/http at %d: %q", end, theirs, in)
		}
	})
}
