package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

const (
	socketKey    = "dGhlIHNhbXBsZSBub25jZQ==" // RFC 6455, section 1.3
	socketAnswer = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
	handshake    = "GET /socket HTTP/1.1\r\nHost: " + apiHost + "\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n" +
		"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + socketKey + "\r\n\r\n"
)

// answering is an upstream that takes the connection over and says head, then echoes.
func answering(t *testing.T, head string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		if got := fmt.Sprint(r.Header["Authorization"]); got != "[Bearer "+secret+"]" {
			t.Errorf("the handshake came with %s", got)
		}
		conn, buf, err := http.NewResponseController(rw).Hijack()
		must(t, err)
		defer conn.Close()
		try(io.WriteString(conn, head))(t)
		_, _ = io.Copy(conn, buf)
	}
}

func switching(lines ...string) string {
	return "HTTP/1.1 101 Switching Protocols\r\n" + strings.Join(lines, "\r\n") + "\r\n\r\n"
}

func TestWebSocketPassesAfterAValidAnswer(t *testing.T) {
	for _, by := range ways {
		t.Run(string(by), func(t *testing.T) {
			w, _ := vendor(t, answering(t, switching("Connection: upgrade", "Upgrade: WebSocket", "Sec-WebSocket-Accept: "+socketAnswer)))
			conn, err := w.tls(by, apiHost+":443", apiHost, "http/1.1")
			must(t, err)
			must(t, conn.SetDeadline(time.Now().Add(patience)))
			try(io.WriteString(conn, handshake))(t)
			r := bufio.NewReader(conn)
			res := try(http.ReadResponse(r, nil))(t)
			if res.StatusCode != 101 || res.Header.Get("Sec-WebSocket-Accept") != socketAnswer {
				t.Fatalf("%s %v", res.Status, res.Header)
			}
			// What follows is no HTTP, and nobody reads it as such.
			for _, frame := range []string{"\x81\x05hello", "\n\n\r\x00", "GET / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n"} {
				try(io.WriteString(conn, frame))(t)
				got := make([]byte, len(frame))
				try(io.ReadFull(r, got))(t)
				if string(got) != frame {
					t.Errorf("sent %q, got %q", frame, got)
				}
			}
			conn.Close()
			entries := w.records()
			if len(entries) != 1 || entries[0].Status != 101 || entries[0].BytesOut != entries[0].BytesIn || entries[0].BytesOut < 60 {
				t.Errorf("records %+v", entries)
			}
		})
	}
}

func TestOnlyAValidAnswerMakesATunnel(t *testing.T) {
	valid := []string{"Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: " + socketAnswer}
	plain := strings.Replace(handshake, "Upgrade: websocket\r\n", "", 1)
	for _, c := range []struct{ name, request, answer string }{
		{"wrong proof", handshake, switching("Connection: Upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: AAAA")},
		{"no proof", handshake, switching("Connection: Upgrade", "Upgrade: websocket")},
		{"another protocol", handshake, switching("Connection: Upgrade", "Upgrade: foo", "Sec-WebSocket-Accept: "+socketAnswer)},
		{"no Upgrade", handshake, switching("Connection: Upgrade", "Sec-WebSocket-Accept: "+socketAnswer)},
		{"no Connection", handshake, switching("Upgrade: websocket", "Sec-WebSocket-Accept: "+socketAnswer)},
		{"101 that nobody asked for", plain, switching(valid...)},
		{"bare 101 that nobody asked for", plain, switching()},
		{"101 to another upgrade", strings.Replace(handshake, "websocket", "foo", 1), switching("Connection: Upgrade", "Upgrade: foo")},
		{"101 to a handshake without key", strings.Replace(handshake, "Sec-WebSocket-Key", "X-Key", 1), switching(valid...)},
		{"101 to two upgrades", strings.Replace(handshake, "Upgrade: websocket", "Upgrade: websocket\r\nUpgrade: foo", 1), switching(valid...)},
		{"101 to a POST", strings.Replace(handshake, "GET", "POST", 1), switching(valid...)},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, _ := vendorH1(t, answering(t, c.answer))
			conn, err := w.tls(byToken, apiHost+":443", apiHost, "http/1.1")
			must(t, err)
			res := raw(t, conn, c.request)
			if res.StatusCode != http.StatusBadGateway || res.Header.Get("Av-Error") != "bad_upgrade" {
				t.Errorf("%s %s", res.Status, read(t, res))
			}
			if e := w.records(); len(e) != 1 || e[0].Status != 502 {
				t.Errorf("records %+v", e)
			}
		})
	}
}

// After the handshake the framing check looks away, so nothing may follow it there.
func TestRefusedHandshakeEndsItsConnection(t *testing.T) {
	requests := &counter{}
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
		requests.add()
		fmt.Fprint(rw, "no socket here")
	})
	conn, err := w.tls(byToken, apiHost+":443", apiHost, "http/1.1")
	must(t, err)
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	smuggled := "POST / HTTP/1.1\r\nHost: " + apiHost + "\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
	try(io.WriteString(conn, handshake+smuggled))(t)
	r := bufio.NewReader(conn)
	res := try(http.ReadResponse(r, nil))(t)
	if got := read(t, res); got != "no socket here" || !res.Close {
		t.Errorf("%s %q, closing %v", res.Status, got, res.Close)
	}
	if _, err := r.ReadByte(); err == nil {
		t.Error("the connection answers once more")
	} else if timeout, ok := err.(net.Error); ok && timeout.Timeout() {
		t.Error("the connection stays open")
	}
	if e := w.records(); len(e) != 1 || requests.get() != 1 {
		t.Errorf("%d requests upstream, records %+v", requests.get(), e)
	}
}
