package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2 is a client, or a server, that says any frames it likes.
type h2 struct {
	t    testing.TB
	conn net.Conn
	*http2.Framer
	head bytes.Buffer
	enc  *hpack.Encoder
}

func framed(t testing.TB, conn net.Conn) *h2 {
	c := &h2{t: t, conn: conn, Framer: http2.NewFramer(conn, conn)}
	c.AllowIllegalWrites = true
	c.enc = hpack.NewEncoder(&c.head)
	c.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	c.SetMaxReadFrameSize(1 << 20)
	return c
}

// h2 opens a tunnel to the vendor, in which both sides have said hello.
func (w *world) h2() *h2 {
	w.t.Helper()
	conn := try(w.tls(byToken, apiHost+":443", apiHost, "h2"))(w.t)
	return hello2(w.t, conn)
}

func hello2(t testing.TB, conn *tls.Conn) *h2 {
	t.Helper()
	if got := conn.ConnectionState().NegotiatedProtocol; got != "h2" {
		t.Fatalf("the proxy speaks %q", got)
	}
	must(t, conn.SetDeadline(time.Now().Add(6*patience))) // a flood takes a while
	c := framed(t, conn)
	try(io.WriteString(conn, http2.ClientPreface))(t)
	must(t, c.WriteSettings())
	if _, ok := try(c.ReadFrame())(t).(*http2.SettingsFrame); !ok {
		t.Fatal("the first frame holds no settings")
	}
	must(t, c.WriteSettingsAck())
	return c
}

// block encodes fields, given as names and values in turn.
func (c *h2) block(fields ...string) []byte {
	c.head.Reset()
	for i := 0; i < len(fields); i += 2 {
		must(c.t, c.enc.WriteField(hpack.HeaderField{Name: fields[i], Value: fields[i+1]}))
	}
	return bytes.Clone(c.head.Bytes())
}

// plain are the pseudo-headers of a request for path, with more fields behind.
func plain(path string, more ...string) []string {
	return append([]string{":method", "GET", ":scheme", "https", ":authority", apiHost, ":path", path}, more...)
}

// ask sends a request's head.
func (c *h2) ask(stream uint32, end bool, fields ...string) error {
	return c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: c.block(fields...), EndHeaders: true, EndStream: end})
}

// outcome is how a stream ended: the status of its answer, "RST CODE", "GOAWAY CODE", or
// "closed".
func (c *h2) outcome(stream uint32) string {
	c.t.Helper()
	status := ""
	for {
		f, err := c.ReadFrame()
		if err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				c.t.Errorf("stream %d: neither an answer nor an end", stream)
			}
			return "closed"
		}
		switch f := f.(type) {
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				return "GOAWAY " + f.ErrCode.String()
			}
		case *http2.RSTStreamFrame:
			if f.StreamID == stream && (status == "" || f.ErrCode != http2.ErrCodeNo) {
				return "RST " + f.ErrCode.String()
			}
		case *http2.MetaHeadersFrame:
			if f.StreamID == stream {
				if s := f.PseudoValue("status"); s != "" && s[0] != '1' {
					status = s
				}
				if f.StreamEnded() {
					return status
				}
			}
		case *http2.DataFrame:
			_ = c.WriteWindowUpdate(0, max(1, f.Length))
			if f.StreamID == stream && f.StreamEnded() {
				return status
			}
		}
	}
}

// answers fails unless a plain request still gets its answer on the connection.
func (c *h2) answers(stream uint32) {
	c.t.Helper()
	must(c.t, c.ask(stream, true, plain("/after")...))
	if got := c.outcome(stream); got != "200" {
		c.t.Errorf("a plain request gets %s", got)
	}
}

// isClosed waits until the other side has hung up, and fails if it never does.
func (c *h2) isClosed() {
	c.t.Helper()
	must(c.t, c.conn.SetReadDeadline(time.Now().Add(patience)))
	for {
		if _, err := c.conn.Read(make([]byte, 1<<10)); err != nil {
			if timeout, ok := errors.AsType[net.Error](err); ok && timeout.Timeout() {
				c.t.Error("the connection stays open")
			}
			return
		}
	}
}

// byFrame cuts an encoded head into HEADERS and CONTINUATIONs, as one that is longer
// than a frame has to be.
func (c *h2) askLong(stream uint32, end bool, block []byte) error {
	first := block[:min(len(block), 16<<10)]
	block = block[len(first):]
	err := c.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: first, EndHeaders: len(block) == 0, EndStream: end})
	for err == nil && len(block) > 0 {
		next := block[:min(len(block), 16<<10)]
		block = block[len(next):]
		err = c.WriteContinuation(stream, len(block) == 0, next)
	}
	return err
}

// oneOf fails unless got is one of want, which are parted by "|".
func oneOf(t testing.TB, what, got, want string) {
	t.Helper()
	for each := range strings.SplitSeq(want, "|") {
		if got == each {
			return
		}
	}
	t.Errorf("%s: %q, want %q", what, got, want)
}
