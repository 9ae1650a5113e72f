package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

// narrow is a world with a service that has one path and two methods, and one that has all.
func narrow(t *testing.T) (*world, *counter) {
	arrived := &counter{}
	up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
		arrived.add()
		try(io.Copy(io.Discard, r.Body))(t)
		fmt.Fprint(rw, r.Header, r.Trailer)
	}, apiHost, "wide.vendor.test")
	some, all := up.bearer(apiHost), up.passthrough("wide", "wide.vendor.test")
	some.Path, some.Methods = "/public/*", []string{"GET", "MOVE", "POST"}
	return newWorld(t, setup{services: services(some, all)}), arrived
}

// A server that goes by such a header would do what policy denies.
func TestHeaderThatMakesItAnotherRequestIsRefused(t *testing.T) {
	for _, c := range []struct{ method, header, value, code string }{
		{"GET", "X-Harmless", "1", ""},
		{"POST", "X-HTTP-Method-Override", "DELETE", "overridden"},
		{"POST", "X-HTTP-Method-Override", "delete ", "overridden"},
		{"POST", "X-HTTP-Method-Override", "GET, DELETE", "overridden"},
		{"POST", "X_HTTP_Method_Override", "PUT", "overridden"},
		{"GET", "x-method-override", "PATCH", "overridden"},
		{"GET", "X-Http-Method", "DELETE", "overridden"},
		{"POST", "X-HTTP-Method-Override", "GET", ""}, // as clients with long queries do
		{"POST", "X-HTTP-Method-Override", "", ""},
		{"GET", "X-Original-URL", "/admin", "overridden"},
		{"GET", "X-Rewrite-URL", "/public/x", "overridden"},
		{"GET", "X_Original_Url", "/admin", "overridden"},
		{"GET", "X-Forwarded-Uri", "/admin", "overridden"},
		{"MOVE", "Destination", "https://" + apiHost + "/public/y", ""},
		{"MOVE", "Destination", "/public/y", ""},
		{"MOVE", "Destination", "https://" + apiHost + "/admin", "overridden"},
		{"MOVE", "Destination", "https://" + apiHost + "/public/%2e%2e/admin", "overridden"},
		{"MOVE", "Destination", "https://evil.test/public/y", "overridden"},
		{"MOVE", "Destination", "http://" + apiHost + ":443/public/y", "overridden"},
		{"MOVE", "Destination", "//" + apiHost + "/public/y", "overridden"},
		{"MOVE", "Destination", "https:/public/y", "overridden"},
		{"MOVE", "Destination", "public/y", "overridden"},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s %s: %s, HTTP/2 %v", c.method, c.header, c.value, h2), func(t *testing.T) {
				w, arrived := narrow(t)
				req := try(http.NewRequest(c.method, "https://"+apiHost+"/public/x", nil))(t)
				req.Header[c.header] = []string{c.value}
				res := try(w.clientOf(byToken, h2).Do(req))(t)
				if c.code == "" {
					if got := read(t, res); res.StatusCode != 200 || !strings.Contains(strings.ToLower(got), strings.ToLower(c.header)) {
						t.Errorf("%s %s", res.Status, got)
					}
					return
				}
				if e := reason(t, res); res.StatusCode != 403 || e.Code != c.code || e.Rule != "service vendor" || e.Hint == "" || strings.Contains(e.Message, c.value) {
					t.Errorf("%s %+v", res.Status, e)
				}
				if e := w.records()[0]; arrived.get() != 0 || e.Allowed || e.Keys != nil {
					t.Errorf("%d arrived, record %+v", arrived.get(), e)
				}
			})
		}
	}
}

func TestHeaderThatChangesNoVerdictPasses(t *testing.T) {
	w, arrived := narrow(t)
	for _, header := range []string{"X-HTTP-Method-Override", "X-Original-URL", "Destination"} {
		req := try(http.NewRequest("POST", "https://wide.vendor.test/x", nil))(t)
		req.Header.Set(header, "DELETE")
		if res := try(w.client(byToken).Do(req))(t); res.StatusCode != 200 || !strings.Contains(read(t, res), "DELETE") {
			t.Errorf("%s: %s", header, res.Status)
		}
	}
	if arrived.get() != 3 {
		t.Errorf("%d arrived", arrived.get())
	}
}

func TestTrailerSteersNobody(t *testing.T) {
	for _, in := range [][]policy.Surface{nil, {policy.InBody}} {
		up := newUpstream(t, mirror, apiHost)
		s := up.bearer(apiHost)
		if in != nil {
			s.Substitutions = []policy.Substitution{{Key: "VENDOR_KEY", Placeholder: "__key__", In: in}}
		}
		w := newWorld(t, setup{services: services(s)})
		conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
		got := sawOf(t, raw(t, conn, "POST / HTTP/1.1\r\nHost: "+apiHost+"\r\nTransfer-Encoding: chunked\r\nTrailer: X-Digest, X-Method-Override\r\n\r\n"+
			"7\r\n__key__\r\n0\r\nX-Digest: d1\r\nX-Method-Override: PUT\r\nX-HTTP-Method-Override: PUT\r\nX_Original_URL: /admin\r\nAuthorization: mine\r\n\r\n"))
		if len(got.Trailer) != 1 || got.Trailer.Get("X-Digest") != "d1" {
			t.Errorf("trailers %v", got.Trailer)
		}
	}
}
