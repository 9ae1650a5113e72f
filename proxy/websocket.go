package proxy

import (
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/av-project/av/proxy/inject"
)

// extensions is where the two ends of a WebSocket agree to compress.
var extensions = inject.Slot{Header: "Sec-Websocket-Extensions"}

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
