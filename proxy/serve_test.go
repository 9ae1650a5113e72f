package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"

	"github.com/av-project/av/vault/policy"
)

func TestHundredTunnelsCostOneLeaf(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) {})
	var wg sync.WaitGroup
	failed := make(chan error, 100)
	for range 100 {
		wg.Go(func() {
			res, err := w.client(byToken).Get("https://" + apiHost + "/")
			if err != nil {
				failed <- err
				return
			}
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
		})
	}
	wg.Wait()
	close(failed)
	for err := range failed {
		t.Error(err)
	}
	if n := w.authority.Minted(); n != 1 {
		t.Errorf("%d leaves minted", n)
	}
	if n := len(w.records()); n != 100 {
		t.Errorf("%d records", n)
	}
}

func TestServeClosesAllThatItOpened(t *testing.T) {
	arrived := make(chan struct{})
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	})
	fresh := w.dial(byToken)
	defer fresh.Close()
	silent := w.tunnel(byCertificate, apiHost+":443")
	idle := try(w.tls(byToken, apiHost+":443", apiHost, "h2"))(t)
	busy := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
	try(io.WriteString(busy, "GET / HTTP/1.1\r\nHost: "+apiHost+"\r\n\r\n"))(t)
	<-arrived
	entries := w.records()
	for _, conn := range []net.Conn{fresh, silent, idle, busy} {
		ended(t, conn)
	}
	if len(entries) != 3 {
		t.Errorf("records %+v", entries)
	}
}

func TestOneProxyServesManyListeners(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) {})
	ln := try(net.Listen("tcp", "127.0.0.1:0"))(t)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- w.proxy.Serve(ctx, ln) }()
	second := *w
	second.addr = ln.Addr().String()
	for _, each := range []*world{w, &second} {
		read(t, try(each.client(byToken).Get("https://"+apiHost+"/"))(t))
	}
	cancel()
	must(t, <-done)
	// The end of one is not the end of the other.
	read(t, try(w.client(byToken).Get("https://"+apiHost+"/"))(t))
}

// tired is a listener that fails some times before it works, as it does when the
// process has no file descriptor left.
type tired struct {
	net.Listener
	mu    sync.Mutex
	fails int
}

func (l *tired) Accept() (net.Conn, error) {
	l.mu.Lock()
	l.fails--
	failing := l.fails >= 0
	l.mu.Unlock()
	if failing {
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return l.Listener.Accept()
}

func TestAcceptIsTriedAgain(t *testing.T) {
	up := newUpstream(t, func(http.ResponseWriter, *http.Request) {}, apiHost)
	w := newWorld(t, setup{
		services: services(up.bearer(apiHost)),
		listener: func(l net.Listener) net.Listener { return &tired{Listener: l, fails: 4} },
	})
	read(t, try(w.client(byToken).Get("https://"+apiHost+"/"))(t))
}

func TestServeSaysWhyItEnds(t *testing.T) {
	w := newWorld(t, setup{})
	ln := try(net.Listen("tcp", "127.0.0.1:0"))(t)
	ln.Close()
	if err := w.proxy.Serve(t.Context(), ln); !errors.Is(err, net.ErrClosed) {
		t.Errorf("error %v", err)
	}
}

func TestFirstByteDoesNotHoldUpOthers(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) {})
	for range 50 { // slowloris before the first byte
		conn := w.dial(byToken)
		defer conn.Close()
	}
	began := time.Now()
	read(t, try(w.client(byToken).Get("https://"+apiHost+"/"))(t))
	if took := time.Since(began); took > patience/2 {
		t.Errorf("took %s", took)
	}
}

func TestUpstreamsOfASessionAreBounded(t *testing.T) {
	w := newWorld(t, setup{})
	session := try(w.vault.SessionByToken(t.Context(), string(w.opened.Token.Open())))(t)
	l := w.proxy.serving(t.Context(), nil).lease(session)
	target := func(i int) policy.Target { return policy.Target{Host: fmt.Sprintf("host-%d.test", i), Port: 443} }
	upstream := func(i int) *upstream {
		u, done := l.upstream(session.Policy(), policy.Verdict{}, target(i))
		done()
		return u
	}
	first := upstream(0)
	if upstream(0) != first {
		t.Error("asked twice, made twice")
	}
	for i := range maxUpstreams + 1 {
		upstream(i)
	}
	if n := l.upstreams.Len(); n != maxUpstreams {
		t.Errorf("%d upstreams kept, want %d", n, maxUpstreams)
	}
	if upstream(0) == first {
		t.Error("the one that made room is still there")
	}
}

func TestStreamsOfAConnectionAreBounded(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) {})
	conn := try(w.tls(byToken, apiHost+":443", apiHost, "h2"))(t)
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	try(io.WriteString(conn, http2.ClientPreface))(t)
	framer := http2.NewFramer(conn, conn)
	must(t, framer.WriteSettings())
	settings, ok := try(framer.ReadFrame())(t).(*http2.SettingsFrame)
	if !ok {
		t.Fatal("the first frame holds no settings")
	}
	if n, _ := settings.Value(http2.SettingMaxConcurrentStreams); n != maxStreams {
		t.Errorf("%d streams, want %d", n, maxStreams)
	}
}
