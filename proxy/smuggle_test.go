package proxy

import (
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"
)

// hidden is what an attacker wants an upstream to take for a request of its own.
const hidden = "GET {T}/smuggled HTTP/1.1\r\nHost: {H}\r\n\r\n"

// post is a request with fields before the body, and a hidden one at its end.
func post(fields, body string) string {
	return "POST {T}/x HTTP/1.1\r\nHost: {H}\r\n" + fields + "\r\n" + body + hidden
}

func inChunks(body string) string { return post("Transfer-Encoding: chunked\r\n", body) }

// smuggled are requests that two servers could read differently. None of them arrives,
// and nothing that stands behind.
func smuggled() map[string]string {
	all := map[string]string{
		"CL.TE": post("Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", "0\r\n\r\n"),
		"TE.CL": post("Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),

		"a folded line":             post("X: 1\r\n Transfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
		"a folded line with a tab":  post("X: 1\r\n\tContent-Length: 5\r\n", "hello"),
		"a line feed hides a field": post("X: 1\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
		"so does a return":          post("X: 1\rTransfer-Encoding: chunked\r\nContent-Length: 5\r\n", "0\r\n\r\n"),
		"two returns end a line":    post("X: 1\r\r\nContent-Length: 5\r\n", "hello"),
		"line feeds end the head":   "POST {T}/x HTTP/1.1\nHost: {H}\nContent-Length: 0\n\n" + hidden,
		"NUL in a value":            post("X: a\x00b\r\nContent-Length: 0\r\n", ""),
		"NUL in a name":             post("X\x00Y: b\r\nContent-Length: 0\r\n", ""),
		"vertical tab in a value":   post("X: a\x0bb\r\nContent-Length: 0\r\n", ""),
		"a line without a colon":    post("Content-Length\r\n", ""),

		"encoding in HTTP/1.0":   strings.Replace(inChunks("0\r\n\r\n"), "HTTP/1.1", "HTTP/1.0", 1),
		"HTTP/0.9":               "GET {T}/smuggled\r\n",
		"HTTP/0.9, spelled out":  "GET {T}/smuggled HTTP/0.9\r\n\r\n",
		"HTTP/1.2":               "GET {T}/smuggled HTTP/1.2\r\nHost: {H}\r\n\r\n",
		"HTTP/01.1":              "GET {T}/smuggled HTTP/01.1\r\nHost: {H}\r\n\r\n",
		"HTTP/2 in the clear":    "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + hidden,
		"lower case version":     "GET {T}/smuggled http/1.1\r\nHost: {H}\r\n\r\n",
		"two spaces":             "GET  {T}/smuggled HTTP/1.1\r\nHost: {H}\r\n\r\n",
		"two spaces, later":      "GET {T}/smuggled  HTTP/1.1\r\nHost: {H}\r\n\r\n",
		"space at the end":       "GET {T}/smuggled HTTP/1.1 \r\nHost: {H}\r\n\r\n",
		"space in the target":    "GET {T}/x HTTP/1.1 {T}/smuggled HTTP/1.1\r\nHost: {H}\r\n\r\n",
		"tabs":                   "GET\t{T}/smuggled\tHTTP/1.1\r\nHost: {H}\r\n\r\n",
		"tab in the target":      "GET {T}/x\t/smuggled HTTP/1.1\r\nHost: {H}\r\n\r\n",
		"return in the target":   "GET {T}/x\r/smuggled HTTP/1.1\r\nHost: {H}\r\n\r\n",
		"NUL in the target":      "GET {T}/x\x00/smuggled HTTP/1.1\r\nHost: {H}\r\n\r\n",
		"an empty line first":    "\r\nGET {T}/smuggled HTTP/1.1\r\nHost: {H}\r\n\r\n",
		"a URL for another host": "GET http://other.test/smuggled HTTP/1.1\r\nHost: {H}\r\n\r\n",
		"two hosts":              "GET {T}/smuggled HTTP/1.1\r\nHost: {H}\r\nHost: other.test\r\n\r\n",
		"space after Host":       "GET {T}/smuggled HTTP/1.1\r\nHost: {H}\r\nHost : other.test\r\n\r\n",
		"no host":                "GET {T}/smuggled HTTP/1.1\r\n\r\n",
		"trailer is announced":   post("Transfer-Encoding: chunked\r\nTrailer: Content-Length\r\n", "0\r\nContent-Length: 5\r\n\r\n"),
		"Host as a trailer":      post("Transfer-Encoding: chunked\r\nTrailer: Host\r\n", "0\r\nHost: other.test\r\n\r\n"),
		"length as a trailer":    inChunks("0\r\nContent-Length: 50\r\n\r\n"),
		"encoding as a trailer":  inChunks("0\r\nTransfer-Encoding: chunked\r\n\r\n"),
		"folded trailer":         inChunks("0\r\nX: 1\r\n Content-Length: 5\r\n\r\n"),
		"no end of the chunks":   inChunks("5\r\nhello\r\n0\r\n"),
	}
	for _, length := range []string{"5, 5", "5,6", "5 5", "+5", "-5", "0x5", "5.0", "5e0", "5_0", "5;", "\x0b5", "5\x0b", "\"5\"", "٥", "",
		"9999999999999999999", "18446744073709551621", strings.Repeat("9", 400)} {
		all["length "+length] = post("Content-Length: "+length+"\r\n", "hello")
	}
	all["two lengths alike"] = post("Content-Length: 5\r\nContent-Length: 5\r\n", "hello")
	all["two lengths"] = post("Content-Length: 5\r\nContent-Length: 0\r\n", "hello")
	all["space before a length's colon"] = post("Content-Length : 5\r\n", "hello")
	for _, line := range []string{"Transfer-Encoding: xchunked", "Transfer-Encoding : chunked", "Transfer-Encoding\t: chunked",
		" Transfer-Encoding: chunked", "Transfer-Encoding:\r\n chunked", "Transfer-Encoding: chunked, identity", "Transfer-Encoding: identity, chunked",
		"Transfer-Encoding: chunked, chunked", "Transfer-Encoding: gzip, chunked", "Transfer-Encoding: identity", "Transfer-Encoding:",
		"Transfer-Encoding: \x0bchunked", "Transfer-Encoding: chunked\x0b", "Transfer-Encoding: chun\x00ked", "Transfer-Encoding: \"chunked\"",
		"Transfer-Encoding: chunked;q=1", "Transfer-Encoding: chunked,", "Transfer-Encoding: \xa0chunked",
		"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked", "Transfer-Encoding: chunked\r\nTransfer-encoding: identity"} {
		all["alone: "+line] = post(line+"\r\n", "0\r\n\r\n")
		all["before a length: "+line] = post(line+"\r\nContent-Length: 5\r\n", "0\r\n\r\n")
		all["behind a length: "+line] = post("Content-Length: 5\r\n"+line+"\r\n", "0\r\n\r\n")
	}
	for _, size := range []string{" 5", "5 ", "5\t", "\t5", "+5", "-5", "0x5", "5_0", "5,5", "5.", "g", "", "00000000000000005", "fffffffffffffffff", "7fffffffffffffff",
		"5;a\nb", "5\n", "5;" + strings.Repeat("a", maxChunkLine), strings.Repeat("1;"+strings.Repeat("a", 1000)+"\r\nx\r\n", 20) + "5"} {
		all["chunk of "+size[:min(len(size), 20)]] = inChunks(size + "\r\nhello\r\n0\r\n\r\n")
	}
	for name, body := range map[string]string{
		"line feed behind a size": "5\nhello\r\n0\r\n\r\n", "return behind a size": "5\rhello\r\n0\r\n\r\n", "line feed behind a chunk": "5\r\nhello\n0\r\n\r\n",
		"chunk longer than its size": "5\r\nhello!\r\n0\r\n\r\n", "chunk shorter": "6\r\nhello\r\n0\r\n\r\n", "line feed behind the last": "0\n\r\n",
		"line feed ends the trailers": "0\r\n\n",
		"endless trailer":             "0\r\nX: " + strings.Repeat("a", 10_000) + "\r\n\r\n",
		"trailers without end":        "0\r\n" + strings.Repeat("X: "+strings.Repeat("a", 100)+"\r\n", 100) + "\r\n",
	} {
		all[name] = inChunks(body)
	}
	return all
}

func TestSmuggledRequestReachesNoUpstream(t *testing.T) {
	for _, l := range legs {
		t.Run(l.name, func(t *testing.T) {
			w, up := l.world(t, obliging)
			n := 0
			for name, request := range smuggled() {
				n++
				conn := l.open(t, w)
				must(t, conn.SetWriteDeadline(time.Now().Add(patience)))
				_, _ = io.WriteString(conn, l.to(request)) // it may close before it has all
				codes, closed := statuses(t, conn, 2)
				conn.Close()
				e := w.ledger.wait(t, n)
				if e.Allowed || e.Reason == "" {
					t.Fatalf("%q: answers %v, record %+v", name, codes, e)
				}
				if strings.HasPrefix(e.Reason, reasonOther) {
					continue // to a tunnel it is no HTTP at all, and it was closed
				}
				if !slices.Equal(codes, []int{400}) || !closed || e.Status != 400 {
					t.Errorf("%q: answers %v, closed %v, record %+v", name, codes, closed, e)
				}
			}
			if entries := w.records(); len(entries) != n {
				t.Errorf("%d records of %d requests", len(entries), n)
			}
			// The head of a request may be on its way when its body turns out to be bad.
			for _, got := range up.received() {
				whole, _, err := arrived([]string{got})
				if len(whole) > 0 || err != nil || strings.Contains(got, "smuggled") {
					t.Errorf("arrived %q, %v, whole %q", got, err, whole)
				}
			}
		})
	}
}

// What has one reading arrives, with one framing, whatever it looks like. These are the
// control of all that does not.
func TestRequestWithOneReadingArrivesOnce(t *testing.T) {
	const held = `"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"`
	for _, c := range []struct {
		name, requests string
		want           []string
	}{
		{"nothing odd", hidden, []string{`GET /smuggled ""`}},
		{"a length", post("Content-Length: 5\r\n", "hello"), []string{`POST /x "hello"`, `GET /smuggled ""`}},
		{"white space around it", post("Content-Length: \t5 \t\r\n", "hello"), []string{`POST /x "hello"`, `GET /smuggled ""`}},
		{"zeros before it", post("Content-Length: 0005\r\n", "hello"), []string{`POST /x "hello"`, `GET /smuggled ""`}},
		{"chunks", inChunks("5\r\nhello\r\n0\r\n\r\n"), []string{`POST /x "hello"`, `GET /smuggled ""`}},
		{"case and white space", post("tRANSFER-eNCODING:\t cHuNkEd \r\n", "5\r\nhello\r\n0\r\n\r\n"), []string{`POST /x "hello"`, `GET /smuggled ""`}},
		{"extensions", inChunks("5;a=b;c=\"GET /\"\r\nhello\r\n00;x\r\n\r\n"), []string{`POST /x "hello"`, `GET /smuggled ""`}},
		{"capitals and zeros", inChunks("00A\r\n0123456789\r\n000\r\n\r\n"), []string{`POST /x "0123456789"`, `GET /smuggled ""`}},
		{"a trailer nobody announced", inChunks("5\r\nhello\r\n0\r\nX: 1\r\n\r\n"), []string{`POST /x "hello"`, `GET /smuggled ""`}},
		{"an announced one", post("Transfer-Encoding: chunked\r\nTrailer: X\r\n", "5\r\nhello\r\n0\r\nX: 1\r\n\r\n"), []string{`POST /x "hello" X: 1`, `GET /smuggled ""`}},
		{"a credential as a trailer", post("Transfer-Encoding: chunked\r\nTrailer: Proxy-Authorization\r\n", "5\r\nhello\r\n0\r\nProxy-Authorization: Basic eA==\r\n\r\n"), []string{`POST /x "hello"`, `GET /smuggled ""`}},
		{"a body that holds a request", "POST {T}/x HTTP/1.1\r\nHost: {H}\r\nContent-Length: 35\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n", []string{"POST /x " + held}},
		{"in a chunk", "POST {T}/x HTTP/1.1\r\nHost: {H}\r\nTransfer-Encoding: chunked\r\n\r\n23\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n\r\n0\r\n\r\n", []string{"POST /x " + held}},
		{"a GET with a body", "GET {T}/x HTTP/1.1\r\nHost: {H}\r\nContent-Length: 5\r\n\r\nhello" + hidden, []string{`GET /x "hello"`, `GET /smuggled ""`}},
		{"HTTP/1.0", "POST {T}/x HTTP/1.0\r\nHost: {H}\r\nContent-Length: 5\r\n\r\nhello", []string{`POST /x "hello"`}},
		{"HTTP/1.0 does not go on", "POST {T}/x HTTP/1.0\r\nHost: {H}\r\nContent-Length: 5\r\n\r\nhello" + hidden, []string{`POST /x "hello"`}},
		{"asked to close", post("Content-Length: 0\r\nConnection: close\r\n", ""), []string{`POST /x ""`}},
		// What Connection nominates ends here; framing that ended here would leave the body behind.
		{"a nominated length", post("Content-Length: 5\r\nConnection: Content-Length\r\n", "hello"), []string{`POST /x "hello"`, `GET /smuggled ""`}},
		{"a nominated encoding", post("Transfer-Encoding: chunked\r\nConnection: Transfer-Encoding, Host\r\n", "5\r\nhello\r\n0\r\n\r\n"), []string{`POST /x "hello"`, `GET /smuggled ""`}},
		{"names of CGI", post("Content-Length: 5\r\nTransfer_Encoding: chunked\r\n", "hello"), []string{`POST /x "hello"`, `GET /smuggled ""`}},
		{"an upgrade to HTTP/2", post("Content-Length: 0\r\nConnection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n", ""), []string{`POST /x ""`, `GET /smuggled ""`}},
		{"pipelined", hidden + inChunks("5\r\nhello\r\n0\r\n\r\n") + hidden, []string{`GET /smuggled ""`, `POST /x "hello"`, `GET /smuggled ""`, `GET /smuggled ""`}},
	} {
		for _, l := range legs {
			t.Run(l.name+"/"+c.name, func(t *testing.T) {
				w, up := l.world(t, obliging)
				conn := l.open(t, w)
				try(io.WriteString(conn, l.to(c.requests)))(t)
				for i, code := range first(statuses(t, conn, len(c.want))) {
					if code != http.StatusOK {
						t.Errorf("answer %d: %d", i, code)
					}
				}
				conn.Close()
				if entries := w.records(); len(entries) != len(c.want) {
					t.Errorf("records %+v", entries)
				}
				got := up.received()
				if whole, rest, err := arrived(got); !slices.Equal(whole, c.want) || rest != "" || err != nil {
					t.Errorf("arrived\n%q\nwant\n%q\nand then %q, %v\nin %q", whole, c.want, rest, err, got)
				}
			})
		}
	}
}

func first[A, B any](a A, _ B) A { return a }

// A pipelined request behind a bad one is dropped with it, and one before it is not.
func TestGoodRequestBeforeASmuggledOneArrivesAlone(t *testing.T) {
	for _, l := range legs {
		t.Run(l.name, func(t *testing.T) {
			w, up := l.world(t, obliging)
			conn := l.open(t, w)
			good := "POST {T}/good HTTP/1.1\r\nHost: {H}\r\nContent-Length: 5\r\n\r\nhello"
			try(io.WriteString(conn, l.to(good+smuggled()["CL.TE"])))(t)
			codes, closed := statuses(t, conn, 3)
			if len(codes) == 0 || codes[0] != 200 || len(codes) > 1 && codes[1] != 400 || !closed {
				t.Errorf("answers %v, closed %v", codes, closed)
			}
			if entries := w.records(); len(entries) != 2 || entries[0].Status != 200 || entries[1].Allowed {
				t.Errorf("records %+v", entries)
			}
			got := up.received()
			if whole, rest, err := arrived(got); !slices.Equal(whole, []string{`POST /good "hello"`}) || rest != "" || err != nil {
				t.Errorf("arrived %q, then %q, %v", whole, rest, err)
			}
		})
	}
}
