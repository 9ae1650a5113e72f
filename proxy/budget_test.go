package proxy

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// counting is an upstream that says how much of a body arrived.
func counting(t *testing.T, arrived chan int64) *server {
	t.Helper()
	return newUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
		n, err := io.Copy(io.Discard, r.Body)
		if err != nil {
			n = -1 // it did not come to its end
		}
		arrived <- n
		fmt.Fprint(rw, n)
	}, apiHost)
}

// upload posts n bytes. Without a length they go in pieces.
func (w *world) upload(client *http.Client, n int, sized bool) (*http.Response, error) {
	w.t.Helper()
	var body io.Reader = strings.NewReader(strings.Repeat("x", n))
	if !sized {
		body = struct{ io.Reader }{body}
	}
	req := try(http.NewRequest("POST", "https://"+apiHost+"/", body))(w.t)
	return client.Do(req)
}

func TestBodyOfARequestIsBounded(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, sized := range []bool{false, true} {
			t.Run(fmt.Sprintf("HTTP/2 %v, sized %v", h2, sized), func(t *testing.T) {
				arrived := make(chan int64, 2)
				up := counting(t, arrived)
				w := newWorld(t, setup{services: services(up.bearer(apiHost)), limits: vault.Limits{MaxBody: 1000}})
				client := w.clientOf(byToken, h2)
				if got := read(t, try(w.upload(client, 1000, sized))(t)); got != "1000" {
					t.Errorf("1000 bytes: %q", got)
				}
				<-arrived
				res := try(w.upload(client, 1001, sized))(t)
				if e := reason(t, res); res.StatusCode != 413 || e.Code != "body_too_large" || !strings.Contains(e.Hint, "--limit max_body") {
					t.Errorf("%s %+v", res.Status, e)
				}
				if e := w.ledger.wait(t, 2); e.Allowed || e.Status != 413 || e.BytesOut > 1000 {
					t.Errorf("record %+v", e)
				}
				// What was sent already must not pass for the whole.
				select {
				case n := <-arrived:
					if n != -1 {
						t.Errorf("the upstream took %d bytes for a whole body", n)
					}
				default:
				}
			})
		}
	}
}

func TestSessionIsCutOffAtItsByteBudget(t *testing.T) {
	atTheBudget(t, func(s *setup) { s.limits.MaxBytesOut = 10_000 }, "--limit max_bytes_out")
}

func TestHostIsCutOffAtItsByteBudget(t *testing.T) {
	atTheBudget(t, func(s *setup) { s.limits.HostMaxBytesOut = map[string]int64{apiHost: 10_000} }, "--limit max_bytes_out@"+apiHost)
}

func TestServiceIsCutOffAtItsByteBudget(t *testing.T) {
	atTheBudget(t, func(s *setup) { s.services[0].MaxBytesOut = 10_000 }, "max_bytes_out of the service")
}

// atTheBudget uses a budget of 10,000 bytes up, which budget sets.
func atTheBudget(t *testing.T, budget func(*setup), raise string) {
	for _, sized := range []bool{false, true} {
		t.Run(fmt.Sprintf("sized %v", sized), func(t *testing.T) {
			arrived := make(chan int64, 8)
			up := counting(t, arrived)
			s := setup{services: services(up.bearer(apiHost))}
			budget(&s)
			w := newWorld(t, s)
			client := w.client(byToken)
			for range 2 {
				if got := read(t, try(w.upload(client, 4000, sized))(t)); got != "4000" {
					t.Fatalf("within the budget: %q", got)
				}
				<-arrived
			}
			res := try(w.upload(client, 4000, sized))(t)
			if e := reason(t, res); res.StatusCode != 403 || e.Code != "budget_spent" || !strings.Contains(e.Hint, raise) {
				t.Errorf("beyond it: %s %+v", res.Status, e)
			}
			if e := w.ledger.wait(t, 3); e.Allowed || e.Status != 403 || !strings.Contains(e.Reason, "may go out") {
				t.Errorf("record %+v", e)
			}
			total := int64(0)
			for _, e := range w.ledger.all() {
				total += e.BytesOut
			}
			if total > 10_000 {
				t.Errorf("%d bytes left", total)
			}
			// Data leaves in a query as well.
			for n := 0; ; n++ {
				res := try(client.Get("https://" + apiHost + "/?" + strings.Repeat("q", 500)))(t)
				res.Body.Close()
				if res.StatusCode == 403 {
					break
				}
				if n > 4 {
					t.Fatal("queries are not counted")
				}
			}
			// A service that is set anew has still spent what it had.
			w.replace(append(s.services, policy.Service{Name: "other", Host: "other.test", Auth: policy.Auth{Type: policy.Passthrough}})...)
			if res := try(w.upload(client, 4000, true))(t); res.StatusCode != 403 {
				t.Errorf("after a new policy: %s", res.Status)
			}
			other := setup{}
			if raise == "max_bytes_out of the service" {
				return
			}
			if got := read(t, try(w.upload(w.another(other).client(byToken), 4000, sized))(t)); got != "4000" {
				t.Errorf("another run: %q", got)
			}
		})
	}
}

// sendsHalf sends a piece that comes back, and one that its budget has no room for.
func (w *world) sendsHalf(conn net.Conn) {
	w.t.Helper()
	piece := []byte(strings.Repeat("x", 1000))
	try(conn.Write(piece))(w.t)
	try(io.ReadFull(conn, make([]byte, len(piece))))(w.t)
	try(conn.Write(piece))(w.t)
	ended(w.t, conn)
	if e := w.ledger.wait(w.t, 1); e.Allowed || !strings.Contains(e.Reason, "may go out") || e.BytesOut != 1000 {
		w.t.Errorf("record %+v", e)
	}
}

func TestWebSocketIsCutOffAtTheByteBudget(t *testing.T) {
	up := newUnstarted(t, func(rw http.ResponseWriter, _ *http.Request) {
		conn, _, err := http.NewResponseController(rw).Hijack()
		must(t, err)
		defer conn.Close()
		fmt.Fprintf(conn, "HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: %s\r\n\r\n", socketAnswer)
		_, _ = io.Copy(conn, conn)
	}, false, apiHost)
	up.StartTLS()
	w := newWorld(t, setup{services: services(up.bearer(apiHost)), limits: vault.Limits{MaxBytesOut: 2000}})
	conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
	if res := raw(t, conn, handshake); res.StatusCode != 101 {
		t.Fatal(res.Status)
	}
	w.sendsHalf(conn)
}

func TestUnreadTunnelIsCutOffAtTheByteBudget(t *testing.T) {
	w := rawWorld(t, rawServer(t, func(conn *net.TCPConn) { _, _ = io.Copy(conn, conn) }), setup{})
	w.opened = try(w.vault.OpenSession(t.Context(), vault.Owner(), vault.Grant{
		Raw: []policy.Target{{Host: dbHost, Port: 5432}}, Limits: vault.Limits{MaxBytesOut: 2000},
	}))(t)
	conn := w.tunnel(byToken, dbAt)
	w.sendsHalf(conn)
}

func TestBudgetIsNotNewWhenTheSessionIsReadAgain(t *testing.T) {
	w := newWorld(t, setup{limits: vault.Limits{MaxBytesOut: 100}})
	ctx := context.Background()
	token := string(w.opened.Token.Open())
	first := try(w.vault.SessionByToken(ctx, token))(t)
	if short := w.proxy.meters.of(first).budgets.account("any.test", nil).spend(60); short != nil {
		t.Fatal("nothing fits")
	}
	again := try(vault.Open(ctx, vault.Options{Home: w.home}))(t)
	defer again.Close()
	second := try(again.SessionByToken(ctx, token))(t)
	if second == first {
		t.Fatal("it is the same in memory")
	}
	if short := w.proxy.meters.of(second).budgets.account("any.test", nil).spend(60); short == nil {
		t.Error("a session that is read again may send everything once more")
	}
}

func TestWhatDoesNotFitIsTakenFromNoBudget(t *testing.T) {
	large, small := &budget{limit: 100}, &budget{limit: 10}
	if short := (account{large, small}).spend(50); short != small {
		t.Errorf("short of %v", short)
	}
	if n := large.spent.Load(); n != 0 {
		t.Errorf("%d bytes were taken for what was not sent", n)
	}
	if short := (account{large, small}).spend(10); short != nil || small.spent.Load() != 10 {
		t.Error("what just fits does not")
	}
}

// Data leaves in trailers too, and in their names.
func TestTrailersDrawOnTheByteBudget(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		for _, c := range []struct {
			name, trailer, value string
			refused              bool
		}{
			{"a short one", "X-Sum", "1", false},
			{"a long name", "X-" + strings.Repeat("n", 5000), "1", true},
			{"a long value", "X-Sum", strings.Repeat("v", 1900), true},
		} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", c.name, h2), func(t *testing.T) {
				arrived := make(chan int64, 1)
				up := counting(t, arrived)
				w := newWorld(t, setup{services: services(up.bearer(apiHost)), limits: vault.Limits{MaxBytesOut: 2000}})
				req := try(http.NewRequest("POST", "https://"+apiHost+"/", struct{ io.Reader }{strings.NewReader("body")}))(t)
				req.Trailer = http.Header{c.trailer: {c.value}}
				res := try(w.clientOf(byToken, h2).Do(req))(t)
				res.Body.Close()
				if refused := res.StatusCode == 403 && res.Header.Get(errorHeader) == "budget_spent"; refused != c.refused {
					t.Errorf("%s %v", res.Status, res.Header)
				}
				if c.refused {
					select {
					case n := <-arrived:
						if n != -1 {
							t.Error("it arrived as a whole")
						}
					default:
					}
				}
			})
		}
	}
}
