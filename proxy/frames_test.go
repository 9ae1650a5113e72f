package proxy

import (
	"bufio"
	"encoding/binary"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault/policy"
)

// frame is a frame as a client sends it: first is FIN, the reserved bits and the opcode.
func frame(first byte, payload string) string {
	mask := [4]byte{0xde, 0xad, 0xbe, 0xef}
	return string(append(frameHead(first, 0x80, len(payload)), mask[:]...)) + masked(payload, mask)
}

func frameHead(first, mask byte, n int) []byte {
	head := []byte{first}
	switch {
	case n < 126:
		return append(head, mask|byte(n))
	case n < 1<<16:
		return binary.BigEndian.AppendUint16(append(head, mask|126), uint16(n))
	}
	return binary.BigEndian.AppendUint64(append(head, mask|127), uint64(n))
}

func masked(s string, mask [4]byte) string {
	out := []byte(s)
	for i := range out {
		out[i] ^= mask[i%4]
	}
	return string(out)
}

// readFrame reads one as an upstream does. A client's has a mask, a server's none.
func readFrame(r io.Reader) (first byte, masks bool, payload string, err error) {
	head := make([]byte, 2)
	if _, err = io.ReadFull(r, head); err != nil {
		return
	}
	n := uint64(head[1] & 0x7f)
	if size := map[uint64]int{126: 2, 127: 8}[n]; size > 0 {
		long := make([]byte, 8)
		if _, err = io.ReadFull(r, long[8-size:]); err != nil {
			return
		}
		n = binary.BigEndian.Uint64(long)
	}
	masks = head[1]&0x80 != 0
	var mask [4]byte
	if masks {
		if _, err = io.ReadFull(r, mask[:]); err != nil {
			return
		}
	}
	text := make([]byte, n)
	_, err = io.ReadFull(r, text)
	return head[0], masks, masked(string(text), mask), err
}

// socketUpstream answers the handshake and passes on the frames that arrive, each as
// its first byte and its payload. A close frame it answers in kind, as RFC 6455 asks.
func socketUpstream(frames chan<- string, extensions chan<- string) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		extensions <- fmt.Sprint(r.Header["Sec-Websocket-Extensions"], r.Header["Sec_websocket_extensions"])
		conn, buf, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			return
		}
		defer conn.Close()
		defer close(frames)
		_, _ = io.WriteString(conn, switching("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: "+socketAnswer))
		for {
			first, masks, payload, err := readFrame(buf)
			if err != nil {
				return
			}
			if !masks {
				payload = "no mask: " + payload
			}
			frames <- fmt.Sprintf("%x %s", first, payload)
			if first == 0x88 {
				_, _ = io.WriteString(conn, string(frameHead(first, 0, len(payload)))+payload)
				return
			}
		}
	}
}

// socket is a WebSocket through the proxy, to a service that declares __key__ on.
func socket(t *testing.T, on ...policy.Surface) (w *world, conn net.Conn, r *bufio.Reader, frames, extensions chan string) {
	frames, extensions = make(chan string, 100), make(chan string, 1)
	up := newUpstream(t, socketUpstream(frames, extensions), apiHost)
	service := up.passthrough("vendor", apiHost)
	if len(on) > 0 {
		service = swapping(up, sub(on...))
	}
	w = newWorld(t, setup{services: services(service), secrets: map[string]string{"AWKWARD": awkward}})
	conn = try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	head := strings.Replace(handshake, "\r\n\r\n", "\r\nSec-WebSocket-Extensions: permessage-deflate\r\nSec_WebSocket_Extensions: x\r\n\r\n", 1)
	try(io.WriteString(conn, head))(t)
	r = bufio.NewReader(conn)
	if res := try(http.ReadResponse(r, nil))(t); res.StatusCode != 101 {
		t.Fatal(res.Status)
	}
	return w, conn, r, frames, extensions
}

const (
	fin                  = 0x80
	text, binaryOp, ping = 1, 2, 9
)

func TestPlaceholderInATextMessageIsReplaced(t *testing.T) {
	long := strings.Repeat("x", 70000)
	sent := frame(fin|text, `{"k":"__key__"}`) +
		frame(fin|text, "k=__key__") +
		frame(text, "half __k") + frame(fin|ping, "__key__") + frame(0, "ey__ and ") + frame(0, "") + frame(fin, "half") +
		frame(fin|binaryOp, "__key__") + frame(binaryOp, "__ke") + frame(fin, "y__") +
		frame(fin|text, "") + frame(fin|text, long+"__key__") + frame(fin|text, "__other__") + frame(fin|8, "\x03\xe8")
	for _, c := range []struct {
		on         []policy.Surface
		extensions string
		want       []string
		keys       []string
	}{
		{[]policy.Surface{policy.InWebSocket}, "[] []", []string{
			`81 {"k":"a/b \"c\"&d=é"}`, "81 k=" + awkward, "89 __key__", "81 half " + awkward + " and half",
			"82 __key__", "2 __ke", "80 y__", "81 ", "81 " + long + awkward, "81 __other__", "88 \x03\xe8"}, []string{"AWKWARD"}},
		// Control: the same bytes where messages are not declared.
		{[]policy.Surface{policy.InHeader, policy.InBody}, "[permessage-deflate] [x]", []string{
			`81 {"k":"__key__"}`, "81 k=__key__", "1 half __k", "89 __key__", "0 ey__ and ", "0 ", "80 half",
			"82 __key__", "2 __ke", "80 y__", "81 ", "81 " + long + "__key__", "81 __other__", "88 \x03\xe8"}, nil},
	} {
		for _, piece := range []int{len(sent), 1000, 7, 1} {
			sent, want := sent, c.want
			if piece == 1 { // byte by byte, and so without the long one
				sent = strings.Replace(sent, frame(fin|text, long+"__key__"), "", 1)
				want = without(want, long)
			}
			t.Run(fmt.Sprint(c.on, " in pieces of ", piece), func(t *testing.T) {
				w, conn, r, frames, extensions := socket(t, c.on...)
				if got := <-extensions; got != c.extensions {
					t.Errorf("extensions %s arrived", got)
				}
				for rest := sent; rest != ""; {
					n := min(piece, len(rest))
					try(io.WriteString(conn, rest[:n]))(t)
					rest = rest[n:]
				}
				var got []string
				for f := range frames {
					got = append(got, f)
				}
				if diff := cmp.Diff(want, got); diff != "" {
					t.Error(diff)
				}
				if first, masks, payload, err := readFrame(r); err != nil || first != 0x88 || masks || payload != "\x03\xe8" {
					t.Errorf("the answer is %x %q, %v", first, payload, err)
				}
				if e := w.records()[0]; e.Status != 101 || !cmp.Equal(e.Keys, c.keys) {
					t.Errorf("record %+v", e)
				}
			})
		}
	}
}

func without(list []string, part string) (rest []string) {
	for _, s := range list {
		if !strings.Contains(s, part) {
			rest = append(rest, s)
		}
	}
	return rest
}

func TestMessageThatCannotBeSearchedClosesTheWebSocket(t *testing.T) {
	const limit = maxMessage
	atLimit := strings.Repeat("x", limit)
	for _, c := range []struct {
		name   string
		sent   string
		code   uint16
		reason string
	}{
		{"too large", frame(fin|text, "x"+atLimit), 1009, "a text message is too large"},
		{"too large in fragments", frame(text, atLimit[1:]) + frame(0, "x") + frame(fin, "y"), 1009, "a text message is too large"},
		{"too large by its head", frame(fin|text, "x"+atLimit)[:14], 1009, "a text message is too large"},
		{"compressed", frame(fin|0x40|text, "x"), 1002, "a frame is not as RFC 6455 has it"},
		{"no mask", string(frameHead(fin|text, 0, 1)) + "x", 1002, "a frame is not as RFC 6455 has it"},
		{"a continuation of nothing", frame(fin, "x"), 1002, "a frame is not as RFC 6455 has it"},
		{"a text within a text", frame(text, "__k") + frame(fin|text, "ey__"), 1002, "a frame is not as RFC 6455 has it"},
		{"a large ping", frame(fin|ping, strings.Repeat("x", 126)), 1002, "a frame is not as RFC 6455 has it"},
		{"an opcode that nobody knows", frame(fin|3, "x"), 1002, "a frame is not as RFC 6455 has it"},
		{"a credential that is gone", "", 1011, "the credential AWKWARD cannot be used"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, conn, r, frames, _ := socket(t, policy.InWebSocket)
			control := frame(fin|text, atLimit) // what is as large as it may be passes
			if c.sent == "" {
				w.without("AWKWARD")
				c.sent = frame(fin|text, "__key__")
			}
			try(io.WriteString(conn, control+c.sent+frame(fin|text, "after it __key__")))(t)
			want := string(binary.BigEndian.AppendUint16(nil, c.code))
			if got := <-frames; got != "81 "+atLimit {
				t.Errorf("control: %d bytes arrived", len(got))
			}
			if got := <-frames; got != "88 "+want {
				t.Errorf("%q arrived, want %d", got[:min(len(got), 50)], c.code)
			}
			if got, more := <-frames; more {
				t.Errorf("then %q arrived", got)
			}
			if first, _, payload, err := readFrame(r); err != nil || first != 0x88 || payload != want {
				t.Errorf("the client is told %x %q, %v", first, payload, err)
			}
			ended(t, conn)
			if e := w.records()[0]; e.Reason != "the websocket was closed: "+c.reason {
				t.Errorf("record %+v", e)
			}
		})
	}
}

// An upstream that compresses all the same would hide what its client's messages are.
func TestExtensionThatNobodyOfferedIsRefused(t *testing.T) {
	up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		must(t, err)
		defer conn.Close()
		_, _ = io.WriteString(conn, switching("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: "+socketAnswer, "Sec-WebSocket-Extensions: permessage-deflate"))
		_, _ = io.Copy(io.Discard, conn)
	}, apiHost)
	w := newWorld(t, setup{services: services(swapping(up, sub(policy.InWebSocket))), secrets: map[string]string{"AWKWARD": awkward}})
	conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
	if res := raw(t, conn, handshake); res.StatusCode != 502 || res.Header.Get("Av-Error") != "bad_upgrade" {
		t.Errorf("%s", res.Status)
	}
}
