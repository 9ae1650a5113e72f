package proxy

import (
	"fmt"
	"net/http"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
)

// TestWhatATripTookIsToldApart: every row is what the transport told, and when.
func TestWhatATripTookIsToldApart(t *testing.T) {
	for name, c := range map[string]struct {
		wanted, handshake, secured, got, answered int64
		reused                                    bool
		want                                      vault.Entry
	}{
		"denied":                          {},
		"new connection":                  {wanted: 10, handshake: 30, secured: 60, got: 61, answered: 80, want: vault.Entry{Queue: 10, Dial: 20, TLS: 30, FirstByte: 19}},
		"new connection without TLS":      {wanted: 10, got: 30, answered: 80, want: vault.Entry{Queue: 10, Dial: 20, FirstByte: 50}},
		"open connection":                 {wanted: 10, got: 30, answered: 80, reused: true, want: vault.Entry{Queue: 30, FirstByte: 50}},
		"own connection came too late":    {wanted: 10, handshake: 40, got: 30, answered: 80, reused: true, want: vault.Entry{Queue: 30, FirstByte: 50}},
		"nobody picks up":                 {wanted: 10, want: vault.Entry{Queue: 10, Dial: 90}},
		"handshake that fails":            {wanted: 10, handshake: 30, secured: 60, want: vault.Entry{Queue: 10, Dial: 20, TLS: 30}},
		"handshake that does not end":     {wanted: 10, handshake: 30, want: vault.Entry{Queue: 10, Dial: 20, TLS: 70}},
		"no answer":                       {wanted: 10, handshake: 30, secured: 60, got: 61, want: vault.Entry{Queue: 10, Dial: 20, TLS: 30}},
		"handshake of the one before":     {wanted: 50, handshake: 30, secured: 40, got: 60, answered: 70, want: vault.Entry{Queue: 50, Dial: 10, FirstByte: 10}},
		"secured after the trip was over": {wanted: 10, handshake: 30, secured: 200, want: vault.Entry{Queue: 10, Dial: 20, TLS: 70}},
	} {
		var k stopwatch
		k.wanted.Store(c.wanted)
		k.handshake.Store(c.handshake)
		k.secured.Store(c.secured)
		k.got.Store(c.got)
		k.answered.Store(c.answered)
		k.reused.Store(c.reused)
		got := vault.Entry{Duration: 100}
		k.into(&got)
		c.want.Duration = 100
		if diff := cmp.Diff(c.want, got); diff != "" {
			t.Errorf("%s:\n%s", name, diff)
		}
	}
}

// TestRecordSaysWhatARequestTook: the first dials, the second finds the connection open,
// the third is not carried. The handler's answer ends when its client has its beginning.
func TestRecordSaysWhatARequestTook(t *testing.T) {
	begun := make(chan struct{})
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
		_, _ = fmt.Fprint(rw, "begin")
		_ = http.NewResponseController(rw).Flush()
		<-begun
	})
	client := w.client(byToken)
	for range 2 {
		res := try(client.Get("https://" + apiHost + "/v1"))(t)
		try(res.Body.Read(make([]byte, 5)))(t)
		begun <- struct{}{}
		read(t, res)
	}
	if _, res := w.connect(byToken, "evil.test:443"); res.StatusCode != 403 {
		t.Error(res.Status)
	}
	var carried []vault.Entry
	for _, e := range w.records() {
		if e.Status == 200 && e.Method == "GET" {
			carried = append(carried, e)
		} else if e.Status == 403 && (e.Queue != 0 || e.Dial != 0 || e.TLS != 0 || e.FirstByte != 0 || e.UpstreamProto != "") {
			t.Errorf("denied, and yet: %+v", e)
		}
	}
	if len(carried) != 2 {
		t.Fatalf("%+v", carried)
	}
	first, second := carried[0], carried[1]
	if first.Dial <= 0 || first.TLS <= 0 {
		t.Errorf("dialled: %+v", first)
	}
	if second.Dial != 0 || second.TLS != 0 {
		t.Errorf("not dialled: %+v", second)
	}
	for _, e := range carried {
		sum := e.Queue + e.Dial + e.TLS + e.FirstByte
		if e.Queue <= 0 || e.FirstByte <= 0 || sum >= e.Duration || e.Duration > 2*patience+time.Second {
			t.Errorf("parts are %v of %v: %+v", sum, e.Duration, e)
		}
		if e.Proto != "HTTP/2.0" || e.UpstreamProto != "HTTP/2.0" || e.Scheme != "https" {
			t.Errorf("spoken: %s and %s, %s", e.Proto, e.UpstreamProto, e.Scheme)
		}
	}
}
