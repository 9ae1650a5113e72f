package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// streaming is an upstream that says a line at once, and one for each that it is told
// to, until it is cut off.
func streaming(more <-chan string, gone chan<- struct{}) http.HandlerFunc {
	return func(rw http.ResponseWriter, r *http.Request) {
		defer close(gone)
		for line := "first"; ; {
			fmt.Fprintln(rw, line)
			_ = http.NewResponseController(rw).Flush()
			select {
			case line = <-more:
			case <-r.Context().Done():
				return
			}
		}
	}
}

// replace replaces the services, as `av service set` does.
func (w *world) replace(s ...policy.Service) {
	w.t.Helper()
	must(w.t, w.vault.SetServices(w.t.Context(), vault.Owner(), s))
}

func TestTunnelClosesWhenItsGrantIsTakenBack(t *testing.T) {
	for _, by := range ways {
		t.Run(string(by), func(t *testing.T) {
			up := newUpstream(t, answering(t, switching("Connection: upgrade", "Upgrade: websocket", "Sec-WebSocket-Accept: "+socketAnswer)), apiHost)
			other := newUpstream(t, mirror, "other.test")
			w := newWorld(t, setup{services: services(up.bearer(apiHost), other.passthrough("other", "other.test"))})
			silent := w.tunnel(by, apiHost+":443")
			idle := try(w.tls(by, apiHost+":443", apiHost, "h2"))(t)
			socket := try(w.tls(by, apiHost+":443", apiHost, "http/1.1"))(t)
			if res := raw(t, socket, handshake); res.StatusCode != 101 {
				t.Fatal(res.Status)
			}
			stays := try(w.tls(by, "other.test:443", "other.test", "http/1.1"))(t)
			w.replace(other.passthrough("other", "other.test"))
			for _, conn := range []net.Conn{silent, idle, socket} {
				ended(t, conn)
			}
			// Control: what is still granted goes on.
			if res := raw(t, stays, "GET / HTTP/1.1\r\nHost: other.test\r\n\r\n"); res.StatusCode != 200 {
				t.Errorf("the tunnel to the other host: %s", res.Status)
			}
			stays.Close()
			entries := w.records()
			if len(entries) != 4 {
				t.Errorf("%d records", len(entries))
			}
			for _, e := range entries {
				if (e.Host == apiHost) != (e.Reason == reasonRegranted) {
					t.Errorf("record %+v", e)
				}
			}
		})
	}
}

func TestStreamIsCutOffWhenItsOwnGrantIsTakenBack(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*server) []policy.Service
		cut    bool
	}{
		{"its service is removed", func(*server) []policy.Service { return nil }, true},
		{"its service is disabled", func(s *server) []policy.Service {
			off := s.bearer(apiHost)
			off.Disabled = true
			return services(off)
		}, true},
		{"another service takes its place", func(s *server) []policy.Service { return services(s.passthrough("vendor", apiHost)) }, true},
		{"a nearer service takes its path", func(s *server) []policy.Service {
			nearer := s.passthrough("nearer", apiHost)
			nearer.Path = "/long*"
			return services(s.bearer(apiHost), nearer)
		}, true},
		{"its method is taken out", func(s *server) []policy.Service {
			post := s.bearer(apiHost)
			post.Methods = []string{"POST"}
			return services(post)
		}, true},
		{"another service comes", func(s *server) []policy.Service {
			return services(s.bearer(apiHost), s.passthrough("other", "other.test"))
		}, false},
		{"another path gets a service", func(s *server) []policy.Service {
			nearer := s.passthrough("nearer", apiHost)
			nearer.Path = "/short*"
			return services(s.bearer(apiHost), nearer)
		}, false},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", c.name, h2), func(t *testing.T) {
				more, gone := make(chan string), make(chan struct{})
				up := startUpstream(t, streaming(more, gone), h2, apiHost)
				w := newWorld(t, setup{services: services(up.bearer(apiHost), up.passthrough("removed", "removed.test"))})
				res := try(w.clientOf(byToken, h2).Get("https://" + apiHost + "/long"))(t)
				defer res.Body.Close()
				lines := bufio.NewReader(res.Body)
				try(lines.ReadString('\n'))(t)
				removed := w.tunnel(byToken, "removed.test:443")
				w.replace(c.change(up)...)
				ended(t, removed) // so the change has come
				if !c.cut {
					more <- "second"
					if got := try(lines.ReadString('\n'))(t); got != "second\n" {
						t.Errorf("then came %q", got)
					}
					return
				}
				if _, err := lines.ReadByte(); err == nil || err == io.EOF {
					t.Errorf("the stream goes on, or ends well: %v", err)
				}
				select {
				case <-gone:
				case <-time.After(patience):
					t.Fatal("the upstream's connection stays open")
				}
				w.ledger.wait(t, 2)
				for _, e := range w.records() {
					if e.Reason != reasonRegranted {
						t.Errorf("record %+v", e)
					}
				}
			})
		}
	}
}

// A request that is on its way to be judged, or waits for its upstream's answer, when
// the policy changes.
func TestRequestWithoutAnAnswerIsCutOffToo(t *testing.T) {
	asked, gone := make(chan struct{}), make(chan struct{})
	w, _ := vendor(t, func(_ http.ResponseWriter, r *http.Request) {
		close(asked)
		<-r.Context().Done()
		close(gone)
	})
	go func() {
		<-asked
		w.replace()
	}()
	if res, err := w.client(byToken).Get("https://" + apiHost + "/"); err == nil {
		t.Errorf("answered with %s", res.Status)
	}
	<-gone
	if e := w.ledger.wait(t, 1); e.Reason != reasonRegranted {
		t.Errorf("record %+v", e)
	}
}

// Connections that were opened under an older policy are closed when they are idle, at
// once or after their last request, and serve no new one.
func TestConnectionsOfAnOlderPolicyAreClosed(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			open := newGauge()
			hold := make(chan struct{})
			up := newUnstarted(t, func(rw http.ResponseWriter, r *http.Request) {
				fmt.Fprintln(rw, "first")
				_ = http.NewResponseController(rw).Flush()
				if r.URL.Path == "/hold" {
					select {
					case <-hold:
					case <-r.Context().Done():
					}
				}
				fmt.Fprintln(rw, "last")
			}, h2, apiHost)
			up.Config.ConnState = open.follow
			up.StartTLS()
			w := newWorld(t, setup{services: services(up.bearer(apiHost))})
			client := w.clientOf(byToken, h2)
			for range 3 {
				read(t, try(client.Get("https://"+apiHost+"/"))(t))
			}
			open.wait(t, 1) // control: it is kept
			for i := range 5 {
				held := try(client.Get("https://" + apiHost + "/hold"))(t)
				try(held.Body.Read(make([]byte, 6)))(t)
				// The service stays as it is, so what is on its way goes on.
				w.replace(up.bearer(apiHost), up.passthrough(fmt.Sprintf("other-%d", i), "other.test"))
				read(t, try(client.Get("https://"+apiHost+"/"))(t))
				open.wait(t, 2)
				hold <- struct{}{}
				if got := read(t, held); got != "last\n" {
					t.Errorf("the request across the change ended with %q", got)
				}
				open.wait(t, 1)
			}
			w.replace(up.bearer(apiHost))
			open.wait(t, 0)
		})
	}
}

// gauge counts the connections that a server has open.
type gauge struct {
	open    map[net.Conn]bool
	mu      sync.Mutex
	changed chan struct{}
}

func newGauge() *gauge { return &gauge{open: map[net.Conn]bool{}, changed: make(chan struct{})} }

func (g *gauge) follow(c net.Conn, state http.ConnState) {
	g.mu.Lock()
	defer g.mu.Unlock()
	switch state {
	case http.StateNew:
		g.open[c] = true
	case http.StateClosed, http.StateHijacked:
		delete(g.open, c)
	default:
		return
	}
	close(g.changed)
	g.changed = make(chan struct{})
}

// wait waits until n are open.
func (g *gauge) wait(t *testing.T, n int) {
	t.Helper()
	late := time.After(patience)
	for {
		g.mu.Lock()
		open, changed := len(g.open), g.changed
		g.mu.Unlock()
		if open == n {
			return
		}
		select {
		case <-changed:
		case <-late:
			t.Fatalf("%d connections are open, want %d", open, n)
		}
	}
}
