package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/av-project/av/vault"
)

// limited is a vendor's world whose first session has limits. Requests to /hold wait until
// released is closed.
func limited(t *testing.T, l vault.Limits) (w *world, arrived chan string, release func()) {
	t.Helper()
	arrived, released := make(chan string, 64), make(chan struct{})
	release = sync.OnceFunc(func() { close(released) })
	up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
		arrived <- r.URL.Path
		if r.URL.Path == "/hold" {
			select {
			case <-released:
			case <-r.Context().Done():
			}
		}
		fmt.Fprint(rw, r.Header.Get("Authorization"))
	}, apiHost)
	t.Cleanup(release)
	return newWorld(t, setup{services: services(up.bearer(apiHost)), limits: l}), arrived, release
}

// answers tells that a request of w is carried, credential and all.
func (w *world) answers() {
	w.t.Helper()
	client := w.client(byToken)
	if got := read(w.t, try(client.Get("https://"+apiHost+"/"))(w.t)); got != "Bearer "+secret {
		w.t.Errorf("another run is answered with %q", got)
	}
	client.CloseIdleConnections()
}

// until tries something until it succeeds.
func until(t testing.TB, what string, try func() bool) {
	t.Helper()
	for deadline := time.Now().Add(patience); !try(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal(what)
		}
	}
}

func TestConnectionsOfASessionAreBounded(t *testing.T) {
	for _, by := range ways {
		t.Run(string(by), func(t *testing.T) {
			w, _, _ := limited(t, vault.Limits{Connections: 2})
			first := w.tunnel(by, apiHost+":443")
			w.tunnel(by, apiHost+":443")
			_, res := w.connect(by, apiHost+":443")
			if e := reason(t, res); res.StatusCode != 429 || e.Code != "too_many_connections" || !strings.Contains(e.Hint, "--limit connections") {
				t.Errorf("%s %+v", res.Status, e)
			}
			if !res.Close {
				t.Error("the connection that is too many may stay")
			}
			w.another(setup{}).answers()
			first.Close()
			until(t, "the one that was closed makes no room", func() bool {
				conn, _ := w.connect(by, apiHost+":443")
				if conn != nil {
					conn.Close()
				}
				return conn != nil
			})
		})
	}
}

func TestConnectionCountsForTheSessionThatItIsUsedWith(t *testing.T) {
	w, _, _ := limited(t, vault.Limits{Connections: 1})
	other := w.another(setup{limits: vault.Limits{Connections: 1}})
	conn := w.dial(byToken)
	defer conn.Close()
	// The target is denied, so the connection stays what it is.
	ask := func(as *world) string {
		return raw(t, conn, "GET http://denied.test/ HTTP/1.1\r\nHost: denied.test\r\nProxy-Authorization: "+as.basic()+"\r\n\r\n").Header.Get(errorHeader)
	}
	for _, as := range []*world{w, other, w, other} {
		if got := ask(as); got != "denied" {
			t.Fatalf("answered %q", got)
		}
	}
	w.tunnel(byToken, apiHost+":443")
	if got := ask(w); got != "too_many_connections" {
		t.Errorf("the session has its tunnel and this one besides: %q", got)
	}
}

func TestRequestsOfASessionAreBounded(t *testing.T) {
	w, arrived, release := limited(t, vault.Limits{Requests: 2})
	client := w.client(byCertificate)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() { read(t, try(client.Get("https://"+apiHost+"/hold"))(t)) })
	}
	<-arrived
	<-arrived
	res := try(client.Get("https://" + apiHost + "/"))(t)
	if e := reason(t, res); res.StatusCode != 429 || e.Code != "too_many_requests" || !strings.Contains(e.Hint, "--limit requests") {
		t.Errorf("%s %+v", res.Status, e)
	}
	w.another(setup{}).answers()
	release()
	wg.Wait()
	if got := read(t, try(client.Get("https://"+apiHost+"/"))(t)); got != "Bearer "+secret {
		t.Errorf("afterwards: %q", got)
	}
}

func TestRequestRateOfASessionIsBounded(t *testing.T) {
	w, _, _ := limited(t, vault.Limits{Rate: 1})
	var mu sync.Mutex
	refused := 0
	var wg sync.WaitGroup
	for range 20 {
		wg.Go(func() {
			_, res := w.connect(byToken, "denied.test:443")
			e := reason(t, res)
			switch after, _ := strconv.Atoi(res.Header.Get("Retry-After")); {
			case e.Code == "denied":
			case res.StatusCode != 429 || e.Code != "rate_limited" || after < 1:
				t.Errorf("%s %+v, try again after %d s", res.Status, e, after)
			default:
				mu.Lock()
				refused++
				mu.Unlock()
			}
		})
	}
	w.another(setup{}).answers()
	wg.Wait()
	if refused == 0 || refused == 20 {
		t.Errorf("%d of 20 requests at once were refused where one a second may come", refused)
	}
}

func TestCredentialRateIsBounded(t *testing.T) {
	w, _, _ := limited(t, vault.Limits{CredentialRate: 1})
	client := w.client(byToken)
	codes := make(chan string, 20)
	for range 20 {
		go func() {
			res, err := client.Get("https://" + apiHost + "/")
			if err != nil {
				codes <- err.Error()
				return
			}
			codes <- res.Header.Get(errorHeader)
			res.Body.Close()
		}()
	}
	count := map[string]int{}
	for range 20 {
		count[<-codes]++
	}
	if count[""] == 0 || count["credential_rate_limited"] == 0 || len(count) != 2 {
		t.Errorf("20 uses at once: %v", count)
	}
	w.another(setup{}).answers()
}

func TestBurstIsSpreadOutAndNotRefused(t *testing.T) {
	const rate = 50
	w, _, _ := limited(t, vault.Limits{Rate: rate})
	var wg sync.WaitGroup
	began := time.Now()
	for range rate + 10 { // a second's worth at once, and those that wait for a fifth of the next
		wg.Go(func() {
			if _, res := w.connect(byToken, "denied.test:443"); res.StatusCode != 403 {
				t.Error(res.Status)
			}
		})
	}
	wg.Wait()
	// They may have come in slowly, but not faster than they may.
	if took := time.Since(began); took < 10*time.Second/rate {
		t.Errorf("%d requests at %d a second took %v", rate+10, rate, took)
	}
}

func TestHeaderFieldsAreCounted(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("HTTP/2 %v", h2), func(t *testing.T) {
			w, _, _ := limited(t, vault.Limits{})
			for _, over := range []int{0, 1} {
				req := try(http.NewRequest("GET", "https://"+apiHost+"/", nil))(t)
				req.Header.Set("User-Agent", "") // and so none
				for range maxHeaders + over {
					req.Header.Add("X", "")
				}
				res := try(w.clientOf(byToken, h2).Do(req))(t)
				if over == 0 && res.StatusCode != 200 {
					t.Errorf("with %d: %s", maxHeaders, res.Status)
				}
				if over == 1 && (res.StatusCode != 431 || reason(t, res).Code != "too_many_headers") {
					t.Errorf("with one more: %s", res.Status)
				}
				res.Body.Close()
			}
		})
	}
}

func TestRunAtItsCeilingDoesNotSlowAnother(t *testing.T) {
	w, arrived, _ := limited(t, vault.Limits{Connections: 8, Requests: 8, Rate: 20})
	greedy := w.client(byToken)
	for range 8 {
		go func() {
			if res, err := greedy.Get("https://" + apiHost + "/hold"); err == nil {
				res.Body.Close()
			}
		}()
	}
	for range 8 {
		<-arrived
	}
	// All its places are taken. Now it asks for more, as fast as it is answered, while
	// another run goes about its work.
	stop := make(chan struct{})
	var wg sync.WaitGroup
	var refused sync.Map
	for range 8 {
		wg.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if _, res := w.connect(byToken, apiHost+":443"); res.StatusCode == 429 {
					refused.Store(res.Header.Get(errorHeader), true)
				}
			}
		})
	}
	other := w.another(setup{})
	for range 50 {
		other.answers()
	}
	close(stop)
	wg.Wait()
	if _, ok := refused.Load("rate_limited"); !ok {
		if _, ok := refused.Load("too_many_connections"); !ok {
			t.Error("the greedy run was never at its ceiling")
		}
	}
	for _, e := range w.ledger.all() {
		if e.Session == other.opened.ID && (!e.Allowed || e.Reason != "") {
			t.Errorf("the other run was held up: %+v", e)
		}
	}
}

func TestConnectionsThatSayNothingMakeRoom(t *testing.T) {
	w, _, _ := limited(t, vault.Limits{})
	first := try(net.Dial("tcp", w.addr))(t)
	defer first.Close()
	mine := w.tunnel(byToken, apiHost+":443") // it has said whose it is, and stays
	for range maxStrangers {
		c := try(net.Dial("tcp", w.addr))(t)
		defer c.Close()
	}
	ended(t, first)
	w.another(setup{}).answers()
	try(io.WriteString(mine, "neither\n"))(t)
	if line, err := bufio.NewReader(mine).ReadString('\n'); err != io.EOF {
		t.Errorf("the tunnel: %q %v", line, err)
	}
	if e := w.ledger.all(); len(e) == 0 || !strings.HasPrefix(e[len(e)-1].Reason, reasonOther) && !strings.HasPrefix(w.ledger.wait(t, len(e)+1).Reason, reasonOther) {
		t.Errorf("the tunnel was closed with the strangers: %+v", e)
	}
}
