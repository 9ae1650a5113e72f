package proxy

import (
	"slices"
	"strings"
	"testing"
)

// HTTP/2 has lengths of its own, so what stands in its fields is only text; an upstream
// that speaks HTTP/1 would read it as framing. Each of these is refused or arrives once.
func TestHTTP2RequestIsNoTwoOfHTTP1(t *testing.T) {
	get := func(more ...string) []string { return plain("/x", more...) }
	with := func(name, value string) []string {
		fields := get()
		fields[slices.Index(fields, name)+1] = value
		return fields
	}
	const line = "a\r\nX: b\r\n\r\nGET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"
	refused := "RST PROTOCOL_ERROR"
	for _, c := range []struct {
		name    string
		fields  []string
		data    string // after which the stream ends; "-" for none, the head ends it
		outcome string
		arrives []string
	}{
		{"control: a request", get(), "-", "200", []string{`GET /x ""`}},
		{"control: a body", get("content-length", "5"), "hello", "200", []string{`GET /x "hello"`}},
		{"control: a body of any length", get(), "hello", "200", []string{`GET /x "hello"`}},
		{"control: a body that holds a request", get(), "GET /x HTTP/1.1\r\n\r\n", "200", []string{`GET /x "GET /x HTTP/1.1\r\n\r\n"`}},

		{"line breaks in a value", get("x", line), "-", refused, nil},
		{"a line feed", get("x", "a\nb: smuggled"), "-", refused, nil},
		{"a return", get("x", "a\rb: smuggled"), "-", refused, nil},
		{"NUL", get("x", "a\x00b"), "-", refused, nil},
		{"line breaks in a name", get("x: a\r\ny", "b"), "-", refused, nil},
		{"a colon in a name", get("transfer-encoding:", "chunked"), "-", refused, nil},
		{"a space in a name", get("content-length ", "5"), "-", refused, nil},
		{"a name in capitals", get("Content-Length", "5"), "-", refused, nil},
		{"an empty name", get("", "5"), "-", refused, nil},
		{"line breaks in the path", with(":path", "/x HTTP/1.1\r\nHost: a\r\n\r\nGET /smuggled"), "-", refused, nil},
		{"line breaks in the method", with(":method", "GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\nGET"), "-", refused, nil},
		{"line breaks in the authority", with(":authority", apiHost+"\r\nX: smuggled"), "-", refused, nil},
		{"line breaks in the scheme", with(":scheme", "https\r\nX: smuggled"), "-", refused, nil},
		{"a space in the path", with(":path", "/x HTTP/1.1"), "-", "200", []string{`GET /x%20HTTP/1.1 ""`}},
		{"a space in the query", with(":path", "/x?a HTTP/1.1"), "-", "400", nil},
		{"a tab in the path", with(":path", "/x\tsmuggled"), "-", refused, nil},
		{"a space in the method", with(":method", "GET /smuggled HTTP/1.1"), "-", "400", nil},
		{"a tab in the method", with(":method", "GET\t/smuggled"), "-", "400", nil},
		{"another host in the path", with(":path", "http://other.test/smuggled"), "-", "421", nil},
		{"no slash", with(":path", "smuggled"), "-", refused, nil},
		{"no path", with(":path", ""), "-", refused, nil},
		{"another scheme", with(":scheme", "ftp"), "-", refused, nil},
		{"two paths", get(":path", "/smuggled"), "-", refused, nil},
		{"a pseudo-header behind the others", append(get("x", "y"), ":path", "/smuggled"), "-", refused, nil},
		{"one that nobody knows", append([]string{":smuggled", "1"}, get()...), "-", refused, nil},
		{"extended CONNECT", append([]string{":protocol", "websocket"}, with(":method", "CONNECT")...), "-", refused, nil},

		{"a length that is too short", get("content-length", "2"), "hello", refused, nil},
		{"a length that is too long", get("content-length", "50"), "hello", "RST INTERNAL_ERROR|RST PROTOCOL_ERROR", nil},
		{"a length without a body", get("content-length", "50"), "-", "200", []string{`GET /x ""`}},
		// The body is not the request's: it ends the stream, if the answer did not before.
		{"a length of nothing", get("content-length", "0"), "hello", "200|" + refused, []string{`GET /x ""`}},
		{"a length that is no number", get("content-length", "0x5"), "hello", "200|" + refused, []string{`GET /x ""`}},
		{"two lengths", get("content-length", "5", "content-length", "0"), "hello", "200", []string{`GET /x "hello"`}},
		{"two lengths, other order", get("content-length", "0", "content-length", "5"), "hello", "200|" + refused, []string{`GET /x ""`}},
		{"an encoding", get("transfer-encoding", "chunked"), "0\r\n\r\nGET /smuggled HTTP/1.1\r\n\r\n", "400", nil},
		{"an encoding without a body", get("transfer-encoding", "chunked"), "-", "400", nil},
		{"connection", get("connection", "keep-alive"), "-", "400", nil},
		{"keep-alive", get("keep-alive", "1"), "-", "400", nil},
		{"proxy-connection", get("proxy-connection", "close"), "-", "400", nil},
		{"upgrade", get("upgrade", "websocket"), "-", "400", nil},
		{"te: trailers", get("te", "trailers"), "-", "200", []string{`GET /x ""`}},
		{"te: gzip", get("te", "gzip"), "-", "400", nil},
		{"two te", get("te", "trailers", "te", "trailers"), "-", "400", nil},
		{"names of CGI", get("content_length", "0", "transfer_encoding", "chunked"), "hello", "200", []string{`GET /x "hello"`}},
		{"another Host", get("host", "other.test"), "-", "421", nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := newTap(t, true, obliging)
			w := newWorld(t, setup{services: services(up.bearer())})
			client := w.h2()
			must(t, client.ask(1, c.data == "-", c.fields...))
			if c.data != "-" {
				must(t, client.WriteData(1, true, []byte(c.data)))
			}
			oneOf(t, "the stream's end", client.outcome(1), c.outcome)
			client.answers(3) // the others of the connection are as they were
			client.conn.Close()
			entries := w.records()
			if n := len(entries); n > 2 || n == 0 || entries[n-1].Path != "/after" && entries[0].Path != "/after" {
				t.Errorf("records %+v", entries)
			}
			got := up.received()
			whole, _, err := arrived(got)
			whole = slices.DeleteFunc(whole, func(s string) bool { return s == `GET /after ""` })
			cut := len(whole) == 0 && strings.Contains(c.outcome, "|")
			if !cut && !slices.Equal(whole, c.arrives) || err != nil || strings.Contains(strings.Join(got, ""), "smuggled") {
				t.Errorf("arrived %q, %v\nwant %q\nin %q", whole, err, c.arrives, got)
			}
		})
	}
}

// A trailer is a head too, of what has one already. One that frames or routes does not
// arrive; most end their stream.
func TestHTTP2TrailerThatFramesOrRoutesStaysBehind(t *testing.T) {
	for _, c := range []struct{ name, value string }{
		{"x-sum", "1"}, // control
		{"content-length", "0"}, {"transfer-encoding", "chunked"}, {"host", "other.test"}, {"authorization", "Bearer x"},
		{"x-sum", "1\r\nX: smuggled"}, {":path", "/smuggled"},
	} {
		for _, announced := range []string{c.name, "x-sum"} {
			t.Run(c.name+" "+c.value+", announced "+announced, func(t *testing.T) {
				up := newTap(t, true, obliging)
				w := newWorld(t, setup{services: services(up.bearer())})
				client := w.h2()
				must(t, client.ask(1, false, plain("/x", "trailer", announced)...))
				must(t, client.WriteData(1, false, []byte("hello")))
				must(t, client.ask(1, true, c.name, c.value))
				outcome := client.outcome(1)
				client.conn.Close()
				if n := len(w.records()); n != 1 {
					t.Errorf("%d records", n)
				}
				got := up.received()
				whole, _, err := arrived(got)
				want := []string{`GET /x "hello"`}
				if c.value == "1" {
					want[0] += " X-Sum: 1"
				}
				if outcome != "200" && c.value != "1" {
					want = nil
				}
				if !slices.Equal(whole, want) || err != nil || strings.Contains(strings.Join(got, ""), "smuggled") {
					t.Errorf("%s: arrived %q, %v, in %q", outcome, whole, err, got)
				}
			})
		}
	}
}
