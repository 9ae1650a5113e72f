package proxy

import (
	"fmt"
	"net/http"
	"testing"
	"time"
)

// What the proxy judged is what the upstream reads: byte for byte what was sent, and
// where no URL can hold a byte, that byte encoded and no other touched.
func TestPathArrivesAsItWasJudged(t *testing.T) {
	paths := map[string]string{
		"/a%2fb": "", "/a%2Fb/%2f": "", "/a/../b": "", "//a": "", "///a//": "", "/a;b": "", "/%2e%2e/x": "", "/%2E./x": "", "/.": "", "/a/./b/..": "",
		"/a%5cb": "", "/%00": "", "/%7e~": "", "/a%20b": "", "/@scope%2fname": "", "/%c0%ae": "", "/a%252fb": "", "/[a]": "", "/a:b@c!$&'()*+,=": "",
		`/a\b%2fc`: "/a%5Cb%2fc", `/{x}/a%2fb`: "/%7Bx%7D/a%2fb", `/a|"<>^b%2f..`: "/a%7C%22%3C%3E%5Eb%2f..", "/\xc3\xa9/%2f": "/%C3%A9/%2f", "/a#b%2f": "/a%23b%2f",
	}
	for _, h2 := range []bool{false, true} {
		t.Run(fmt.Sprintf("upstream HTTP/2 %v", h2), func(t *testing.T) {
			arrived := make(chan string, 1)
			up := startUpstream(t, func(_ http.ResponseWriter, r *http.Request) { arrived <- r.RequestURI }, h2, apiHost)
			w := newWorld(t, setup{services: services(up.bearer(apiHost))})
			conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
			for sent, want := range paths {
				if want == "" {
					want = sent
				}
				status := raw(t, conn, "GET "+sent+"?q=%2f HTTP/1.1\r\nHost: "+apiHost+"\r\n\r\n").Status
				if got := last(arrived); got != want+"?q=%2f" {
					t.Errorf("HTTP/1: %s: sent %s, arrived %s, want %s", status, sent, got, want)
				}
				second := try(w.tls(byToken, apiHost+":443", apiHost, "h2"))(t)
				must(t, second.SetDeadline(time.Now().Add(patience)))
				status = statusOfHTTP2(t, second, []string{":authority", apiHost, ":path", sent + "?q=%2f"})
				if got := last(arrived); got != want+"?q=%2f" {
					t.Errorf("HTTP/2: %s: sent %s, arrived %s, want %s", status, sent, got, want)
				}
				second.Close()
			}
		})
	}
}

// last is what an upstream saw before it answered.
func last(arrived chan string) string {
	select {
	case got := <-arrived:
		return got
	default:
		return "nothing"
	}
}

// C12 of the attack list, through the real listener: what leaves is below the service's
// path in every reading, or nothing leaves.
func TestPathRuleIsNotDodged(t *testing.T) {
	up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.RequestURI) }, apiHost)
	service := up.bearer(apiHost)
	service.Path, service.Methods = "/api/*", []string{"GET"}
	w := newWorld(t, setup{services: services(service)})
	conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
	request := func(line string) *http.Response { return raw(t, conn, line+" HTTP/1.1\r\nHost: "+apiHost+"\r\n\r\n") }
	for _, path := range []string{"/api/x", "/api/a%20b?../..", "/api/@scope%2fname"} {
		if got := read(t, request("GET "+path)); got != path {
			t.Errorf("control: sent %s, arrived %s", path, got)
		}
	}
	arrived := up.conns.get()
	lines := []string{"POST /api/x", "OPTIONS *", "OPTIONS /api/x", "GET /", "GET /apix", "GET https://" + apiHost, "GET https://" + apiHost + "/admin"}
	for _, path := range []string{
		"/api/../admin", "/api/%2e%2e/admin", "/api/%2E%2e/admin", "/api/.%2e/admin", "/api/..%2fadmin", "/api/%2e%2e%2fadmin", `/api/..\admin`,
		"/api/..%5cadmin", "/api/..;/admin", "/api/..;x=y/admin", "/api/x/../../admin", "/api//../admin", "/api/./../admin",
		"/api/%252e%252e/admin", "/api/%252e%252e%252fadmin", "//api/x/../../admin", "/admin#/api/", "/API/x",
	} {
		lines = append(lines, "GET "+path)
	}
	for _, line := range lines {
		res := request(line)
		if e := reason(t, res); res.StatusCode != 403 || e.Code != "denied" || e.Rule != "service vendor" || e.Message != "policy does not let this run use that method and path of "+apiHost+":443" {
			t.Errorf("%s: %s %+v", line, res.Status, e)
		}
	}
	if up.conns.get() != arrived {
		t.Error("the upstream was dialled")
	}
	entries := w.records()
	if want := len(lines) + 3; len(entries) != want {
		t.Errorf("%d records, want %d", len(entries), want)
	}
	for _, e := range entries[3:] {
		if e.Allowed || e.Keys != nil || e.Service != "" {
			t.Errorf("record %+v", e)
		}
	}
}

func TestAsteriskArrivesWhereNoRuleTellsPathsApart(t *testing.T) {
	for _, h2 := range []bool{false, true} {
		arrived := make(chan string, 1)
		up := startUpstream(t, func(_ http.ResponseWriter, r *http.Request) { arrived <- r.Method + " " + r.RequestURI }, h2, apiHost)
		up.Config.DisableGeneralOptionsHandler = true
		w := newWorld(t, setup{services: services(up.bearer(apiHost))})
		conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
		read(t, raw(t, conn, "OPTIONS * HTTP/1.1\r\nHost: "+apiHost+"\r\n\r\n"))
		if got := last(arrived); got != "OPTIONS *" {
			t.Errorf("%s arrived", got)
		}
	}
}
