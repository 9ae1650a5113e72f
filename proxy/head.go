package proxy

import (
	"bytes"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// head is what a request's head says about its framing.
type head struct {
	method    string
	authority string // of an absolute-form target, without its default port
	scheme    string
	http10    bool
	hosts     int
	host      string
	lengths   int
	length    int64
	chunked   bool
	websocket bool
}

// malformed is why a request was refused before anyone read it.
type malformed struct {
	reason  string
	request int64 // which of the connection's, from 1
}

func (e *malformed) Error() string { return e.reason }

func malform(reason string) error { return &malformed{reason: reason} }

func (f *framing) requestLine(line []byte) error {
	method, rest, ok := strings.Cut(string(line), " ")
	target, version, ok2 := strings.Cut(rest, " ")
	if !ok || !ok2 || method == "" || target == "" {
		return malform("the request line is not METHOD TARGET VERSION")
	}
	switch version {
	case "HTTP/1.1":
	case "HTTP/1.0":
		f.head.http10 = true
	default:
		return malform("the version is neither HTTP/1.0 nor HTTP/1.1")
	}
	f.head.method = method
	if scheme, rest, absolute := strings.Cut(target, "://"); absolute && target[0] != '/' {
		end := strings.IndexAny(rest, "/?#")
		if end < 0 {
			end = len(rest)
		}
		f.head.scheme, f.head.authority = strings.ToLower(scheme), rest[:end]
	}
	f.state = inHeader
	return nil
}

func (f *framing) header(line []byte) error {
	name, value, err := field(line)
	if err != nil {
		return err
	}
	h := &f.head
	switch {
	case equalFold(name, "Content-Length"):
		if h.lengths++; h.lengths > 1 {
			return malform("there is more than one Content-Length")
		}
		h.length, err = parseLength(value)
		return err
	case equalFold(name, "Transfer-Encoding"):
		if h.chunked || !equalFold(value, "chunked") {
			return malform("the Transfer-Encoding is not chunked, once")
		}
		h.chunked = true
	case equalFold(name, "Host"):
		if h.hosts++; h.hosts > 1 {
			return malform("there is more than one Host")
		}
		h.host = string(value)
	case equalFold(name, "Upgrade") && equalFold(value, "websocket"):
		h.websocket = true
	}
	return nil
}

// endHead decides where the request ends.
func (f *framing) endHead() error {
	h := &f.head
	body := h.chunked || h.length > 0
	switch {
	case h.chunked && h.lengths > 0:
		return malform("there are both Content-Length and Transfer-Encoding")
	case h.chunked && h.http10:
		return malform("HTTP/1.0 has no Transfer-Encoding")
	case h.scheme != "" && h.hosts > 0 && !sameAuthority(h.scheme, h.authority, h.host):
		return malform("the URL and the Host header name different hosts")
	case h.websocket && body:
		return malform("a WebSocket handshake has no body")
	case h.method == "CONNECT" || h.websocket:
		// What follows belongs to the tunnel. Where none comes about, the connection is
		// closed with the answer.
		f.state = isOpaque
	case h.chunked:
		f.state = inChunkSize
	case h.length > 0:
		f.state, f.length = inBody, h.length
	default:
		f.begin()
	}
	return nil
}

// field splits a header line. White space before the colon, and before the name as
// obsolete folding has it, is where parsers part ways.
func field(line []byte) (name, value []byte, err error) {
	name, value, ok := bytes.Cut(line, []byte{':'})
	if !ok || len(name) == 0 {
		return nil, nil, malform("a header line is not NAME: VALUE")
	}
	for _, c := range name {
		if !httpguts.IsTokenRune(rune(c)) {
			return nil, nil, malform("a header's name holds a character that it cannot")
		}
	}
	return name, bytes.Trim(value, " \t"), nil
}

func equalFold(b []byte, s string) bool {
	return len(b) == len(s) && strings.EqualFold(string(b), s)
}

// parseLength takes digits alone: not "+5", "0x5", "5, 5" or " 5 5".
func parseLength(b []byte) (int64, error) {
	if len(b) == 0 || len(b) > 18 {
		return 0, malform("the Content-Length is not a number")
	}
	var n int64
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, malform("the Content-Length is not a number")
		}
		n = n*10 + int64(c-'0')
	}
	return n, nil
}

func parseHex(b []byte) (n int64, ok bool) {
	if len(b) == 0 || len(b) > 15 {
		return 0, false
	}
	for _, c := range b {
		switch {
		case '0' <= c && c <= '9':
			c -= '0'
		case 'a' <= c && c <= 'f':
			c -= 'a' - 10
		case 'A' <= c && c <= 'F':
			c -= 'A' - 10
		default:
			return 0, false
		}
		n = n<<4 | int64(c)
	}
	return n, true
}

// sameAuthority compares as written, but for case and the scheme's own port.
func sameAuthority(scheme, a, b string) bool {
	port := map[string]string{"http": ":80", "https": ":443"}[scheme]
	return strings.EqualFold(strings.TrimSuffix(a, port), strings.TrimSuffix(b, port))
}
