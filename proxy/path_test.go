package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

func TestRequestArrivesWithItsCredentialOnEveryWay(t *testing.T) {
	for _, by := range ways {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", by, h2), func(t *testing.T) {
				w, up := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
					body := try(io.ReadAll(r.Body))(t)
					fmt.Fprintf(rw, "%s %s %s %s %q", r.Method, r.Host, r.RequestURI, r.Header["Authorization"], body)
				})
				res := try(w.clientOf(by, h2).Post("https://"+apiHost+"/v1/x?q=1", "text/plain", strings.NewReader("hello")))(t)
				answer := `POST api.vendor.test /v1/x?q=1 [Bearer ` + secret + `] "hello"`
				if got := read(t, res); got != answer {
					t.Errorf("the upstream saw %s, want %s", got, answer)
				}
				if (res.ProtoMajor == 2) != h2 {
					t.Errorf("the client spoke %s", res.Proto)
				}
				entries := w.records()
				if len(entries) != 1 {
					t.Fatalf("%d records: %+v", len(entries), entries)
				}
				e := entries[0]
				got := fmt.Sprintln(e.Session == w.opened.ID, e.Run, e.Method, e.Host, e.Port, e.Path, e.Service, e.Keys, e.Allowed, e.Rule, e.Reason, e.Upstream, e.Status, e.BytesOut, e.BytesIn, e.Proto)
				want := fmt.Sprintln(true, "run-1", "POST", apiHost, 443, "/v1/x", "vendor", []string{"VENDOR_TOKEN"}, true, "service vendor", "", up.address(), 200, len("hello"), len(answer), res.Proto)
				if got != want {
					t.Errorf("record\n%swant\n%s", got, want)
				}
				if e.Duration <= 0 || e.Time.IsZero() {
					t.Errorf("no time in %+v", e)
				}
			})
		}
	}
}

func TestAbsoluteFormReachesPlainUpstream(t *testing.T) {
	plain := newPlain(t, func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, r.Host, r.RequestURI, r.Header["Proxy-Authorization"])
	})
	w := newWorld(t, setup{allow: []string{"pkg.vendor.test:80"}})
	w.names.leads("pkg.vendor.test", "8.8.8.8", 80, plain)
	res := try(w.absolute().Get("http://pkg.vendor.test/a?b"))(t)
	if got := read(t, res); got != "pkg.vendor.test/a?b[]" {
		t.Errorf("upstream saw %s", got)
	}
	entries := w.records()
	if len(entries) != 1 || entries[0].Rule != "allow pkg.vendor.test:80" || entries[0].Port != 80 || !entries[0].Allowed {
		t.Errorf("records %+v", entries)
	}
}

// Some clients send https:// URLs to the proxy as they are. The leg to it is as safe as
// a tunnel's, and the one to the upstream has TLS.
func TestAbsoluteFormMayAskForTLS(t *testing.T) {
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
		fmt.Fprint(rw, r.Host, r.RequestURI, r.Header["Authorization"])
	})
	for _, by := range ways {
		conn := w.dial(by)
		defer conn.Close()
		head := "GET https://" + apiHost + "/a HTTP/1.1\r\nHost: " + apiHost + "\r\nAuthorization: mine\r\n"
		if by == byToken {
			head += "Proxy-Authorization: " + w.basic() + "\r\n"
		}
		if got := read(t, raw(t, conn, head+"\r\n")); got != apiHost+"/a[Bearer "+secret+"]" {
			t.Errorf("%s: upstream saw %s", by, got)
		}
	}
}

func TestPlainHTTPInTunnelIsCarriedExceptToPort443(t *testing.T) {
	plain := newPlain(t, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "plain ", r.Host) })
	w := newWorld(t, setup{allow: []string{"pkg.vendor.test:8080", "pkg.vendor.test:443"}})
	w.names.leads("pkg.vendor.test", "8.8.8.8", 8080, plain)
	for _, by := range ways {
		res := raw(t, w.tunnel(by, "pkg.vendor.test:8080"), "GET / HTTP/1.1\r\nHost: pkg.vendor.test:8080\r\n\r\n")
		if got := read(t, res); got != "plain pkg.vendor.test:8080" {
			t.Errorf("%s: %s", by, got)
		}
	}
	conn := w.tunnel(byToken, "pkg.vendor.test:443")
	try(io.WriteString(conn, "GET / HTTP/1.1\r\nHost: pkg.vendor.test:443\r\n\r\n"))(t)
	ended(t, conn)
	for _, e := range w.records() {
		if refused := e.Port == 443; e.Allowed == refused || refused && e.Reason != "plain HTTP to the port of HTTPS" {
			t.Errorf("record %+v", e)
		}
	}
}

func TestRedirectIsPassedThroughAndNotFollowed(t *testing.T) {
	w, up := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "https://evil.test/steal", http.StatusTemporaryRedirect)
	})
	res := try(w.client(byToken).Get("https://" + apiHost + "/"))(t)
	read(t, res)
	if res.StatusCode != http.StatusTemporaryRedirect || res.Header.Get("Location") != "https://evil.test/steal" {
		t.Errorf("%s to %s", res.Status, res.Header.Get("Location"))
	}
	for _, touched := range w.names.touched() {
		if touched != up.address().String() {
			t.Errorf("the proxy went to %s", touched)
		}
	}
}

func TestPathAndQueryArriveAsTheyWereSent(t *testing.T) {
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.RequestURI) })
	for _, uri := range []string{
		"/@scope%2fname", "/a//b/../c/./d", "//evil.test/x", "/a;x=1", "/%2e%2e/%2F", "/?a;b&c=%zz", "/?", "/a?b?c", "/%7euser", "/a%20b+c",
	} {
		conn, err := w.tls(byToken, apiHost+":443", apiHost)
		must(t, err)
		res := raw(t, conn, "GET "+uri+" HTTP/1.1\r\nHost: "+apiHost+"\r\n\r\n")
		if got := read(t, res); got != uri {
			t.Errorf("sent %s, arrived %s", uri, got)
		}
		conn.Close()
	}
	for _, e := range w.records() {
		if strings.Contains(e.Path, "?") {
			t.Errorf("a query in the record: %s", e.Path)
		}
	}
}

func TestHopByHopHeadersStopAtTheProxy(t *testing.T) {
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
		for _, name := range []string{
			"Connection", "Keep-Alive", "Proxy-Authorization", "Proxy-Connection", "Proxy-Foo", "Proxy_authorization", "X-Nominated", "Upgrade", "Te",
		} {
			if v := r.Header[http.CanonicalHeaderKey(name)]; v != nil {
				t.Errorf("%s: %s arrived", name, v)
			}
		}
		if r.Header.Get("X-Kept") != "1" {
			t.Error("X-Kept did not arrive")
		}
		rw.Header().Set("Proxy-Authenticate", "Basic")
		rw.Header().Set("Av-Error", "fake")
		rw.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
	})
	conn, err := w.tls(byCertificate, apiHost+":443", apiHost)
	must(t, err)
	res := raw(t, conn, "GET / HTTP/1.1\r\nHost: "+apiHost+"\r\nConnection: keep-alive, X-Nominated\r\nKeep-Alive: 5\r\nX-Nominated: 1\r\n"+
		"Proxy-Authorization: Basic x\r\nProxy-Connection: keep-alive\r\nProxy-Foo: 1\r\nProxy_Authorization: 1\r\nUpgrade: h2c\r\nTE: gzip\r\nX-Kept: 1\r\n\r\n")
	read(t, res)
	if res.Header.Get("Proxy-Authenticate") != "" || res.Header.Get("Av-Error") != "" {
		t.Errorf("the upstream speaks for the proxy: %v", res.Header)
	}
	if got := fmt.Sprint(res.Header["Set-Cookie"]); got != "[a=1 b=2]" {
		t.Errorf("cookies %s", got)
	}
}

func TestBodyReachesTheClientAsItWasSent(t *testing.T) {
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) {
		rw.Header()["Content-Type"] = nil
		rw.Header().Set("Content-Encoding", "gzip")
		fmt.Fprint(rw, "<html>not really gzip")
	})
	res := try(w.client(byToken).Get("https://" + apiHost + "/"))(t)
	if got := read(t, res); got != "<html>not really gzip" || res.ContentLength != int64(len(got)) {
		t.Errorf("%d bytes: %s", res.ContentLength, got)
	}
	if res.Header.Get("Content-Encoding") != "gzip" || res.Header["Content-Type"] != nil {
		t.Errorf("headers %v", res.Header)
	}
}

func TestOneConnectionCarriesManyRequests(t *testing.T) {
	w, up := vendor(t, func(http.ResponseWriter, *http.Request) {})
	client := w.clientOf(byCertificate, false)
	for range 5 {
		read(t, try(client.Get("https://"+apiHost+"/"))(t))
	}
	if n := up.conns.get(); n != 1 {
		t.Errorf("%d connections to the upstream, want 1", n)
	}
	if n := len(w.records()); n != 5 {
		t.Errorf("%d records, want 5", n)
	}
}

func TestSessionsDoNotShareConnections(t *testing.T) {
	w, up := vendor(t, func(http.ResponseWriter, *http.Request) {})
	read(t, try(w.client(byToken).Get("https://"+apiHost+"/"))(t))
	w.opened = w.session(setup{})
	read(t, try(w.client(byToken).Get("https://"+apiHost+"/"))(t))
	if n := up.conns.get(); n != 2 {
		t.Errorf("%d connections to the upstream, want one for each session", n)
	}
}

// The old connection goes where the old file said.
func TestChangedServiceDoesNotReuseConnections(t *testing.T) {
	answer := func(s string) http.HandlerFunc {
		return func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, s) }
	}
	before, after := newUpstream(t, answer("before"), apiHost), newUpstream(t, answer("after"), apiHost)
	w := newWorld(t, setup{services: []policy.Service{before.bearer(apiHost)}})
	client := w.client(byToken)
	if got := read(t, try(client.Get("https://"+apiHost+"/"))(t)); got != "before" {
		t.Fatal(got)
	}
	must(t, w.vault.SetServices(t.Context(), vault.Owner(), []policy.Service{after.bearer(apiHost)}))
	if got := read(t, try(client.Get("https://"+apiHost+"/"))(t)); got != "after" {
		t.Errorf("answered by the upstream from %s the change", got)
	}
}

func TestProxyIgnoresProxyVariablesOfItsOwnEnvironment(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	w, up := vendor(t, func(http.ResponseWriter, *http.Request) {})
	read(t, try(w.client(byToken).Get("https://"+apiHost+"/"))(t))
	if got := fmt.Sprint(w.names.touched()); got != fmt.Sprintf("[%s]", up.address()) {
		t.Errorf("the proxy went to %s", got)
	}
	// The variables are read once in a process, so this one asks the transport itself.
	l := w.proxy.serving(t.Context(), nil).lease(try(w.vault.SessionByToken(t.Context(), string(w.opened.Token.Open())))(t))
	direct, done := l.upstream(l.session.Policy(), policy.Verdict{}, policy.Target{Host: apiHost, Port: 443})
	defer done()
	if direct.transport.Proxy != nil {
		t.Error("its transport has a proxy")
	}
}

func TestConfigurationWithoutAPartIsRefused(t *testing.T) {
	p := newWorld(t, setup{}).proxy
	whole := Config{Authority: p.authority, Sessions: p.sessions, Recorder: p.recorder, Guard: p.guard}
	if _, err := New(whole); err != nil {
		t.Errorf("without what may be left out: %v", err)
	}
	for _, change := range []func(*Config){
		func(c *Config) { c.Authority = nil }, func(c *Config) { c.Sessions = nil },
		func(c *Config) { c.Recorder = nil }, func(c *Config) { c.Guard = nil },
	} {
		c := whole
		change(&c)
		if _, err := New(c); err == nil {
			t.Errorf("accepted %+v", c)
		}
	}
}
