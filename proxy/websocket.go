package proxy

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

var errUpgrade = errors.New("the upstream changed to a protocol that nobody asked for")

// namesWebSocket tells whether the framing check stopped following the connection at
// this request. It must say yes wherever that one does.
func namesWebSocket(h http.Header) bool {
	for _, v := range h["Upgrade"] {
		if strings.EqualFold(v, "websocket") {
			return true
		}
	}
	return false
}

// webSocketAnswer is the Sec-WebSocket-Accept that proves that an upstream speaks
// WebSocket, "" if r is no handshake.
func webSocketAnswer(r *http.Request) string {
	keys := r.Header["Sec-Websocket-Key"]
	if r.Method != http.MethodGet || r.ProtoMajor != 1 || len(r.Header["Upgrade"]) != 1 || len(keys) != 1 ||
		!namesWebSocket(r.Header) || !httpguts.HeaderValuesContainsToken(r.Header["Connection"], "upgrade") {
		return ""
	}
	sum := sha1.Sum([]byte(keys[0] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11")) // RFC 6455
	return base64.StdEncoding.EncodeToString(sum[:])
}

// acceptsWebSocket tells whether a 101 is the answer to the handshake. Any other 101
// would turn a connection with a credential behind it into a raw tunnel.
func acceptsWebSocket(h http.Header, answer string) bool {
	return answer != "" && h.Get("Sec-Websocket-Accept") == answer &&
		strings.EqualFold(h.Get("Upgrade"), "websocket") &&
		httpguts.HeaderValuesContainsToken(h["Connection"], "upgrade")
}

// stream is a WebSocket's connection to the upstream, counted.
type stream struct {
	io.ReadWriteCloser
	x *exchange
}

func countStream(body io.ReadCloser, x *exchange) io.ReadCloser {
	// A 101's body is the connection; if it were not, the reverse proxy would say so.
	if rw, ok := body.(io.ReadWriteCloser); ok {
		return &stream{rw, x}
	}
	return body
}

func (s *stream) Read(p []byte) (int, error) {
	n, err := s.ReadWriteCloser.Read(p)
	s.x.received.Add(int64(n))
	return n, err
}

func (s *stream) Write(p []byte) (int, error) {
	// Counted first: the answer to it may end the exchange before Write returns.
	s.x.sent.Add(int64(len(p)))
	n, err := s.ReadWriteCloser.Write(p)
	s.x.sent.Add(int64(n - len(p)))
	return n, err
}
