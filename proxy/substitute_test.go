package proxy

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault/policy"
)

// awkward is a credential that every surface has to write in its own way.
const awkward = `a/b "c"&d=é`

// swapping is a service that adds nothing but what the substitutions say.
func swapping(up *server, subs ...policy.Substitution) policy.Service {
	service := up.passthrough("vendor", apiHost)
	service.Substitutions = subs
	return service
}

// sub declares __key__ on surfaces, in the order in which policy has them.
func sub(surfaces ...policy.Surface) policy.Substitution {
	return policy.Substitution{Key: "AWKWARD", Placeholder: "__key__", In: surfaces}
}

// placeholders is a request with the placeholder everywhere.
func placeholders(t *testing.T) *http.Request {
	req := try(http.NewRequest("POST", "https://"+apiHost+"/v1/x__key__/y?q=__key__;&r=%7e", strings.NewReader(`{"k":"__key__"}`)))(t)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Note", "is __key__!")
	req.Header.Set("Authorization", "basic "+encoded("me:__key__"))
	return req
}

func TestPlaceholderIsReplacedWhereItIsDeclaredAndNowhereElse(t *testing.T) {
	literal := map[policy.Surface]string{
		policy.InPath: "/v1/x__key__/y", policy.InQuery: "q=__key__;&r=%7e",
		policy.InHeader: "is __key__!, basic " + encoded("me:__key__"), policy.InBody: `{"k":"__key__"}`,
	}
	replaced := map[policy.Surface]string{
		policy.InPath: "/v1/xa%2Fb%20%22c%22&d=%C3%A9/y", policy.InQuery: "q=a%2Fb+%22c%22%26d%3D%C3%A9;&r=%7e",
		policy.InHeader: "is " + awkward + "!, basic " + encoded("me:"+awkward), policy.InBody: `{"k":"a/b \"c\"&d=é"}`,
	}
	for surface := range literal {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", surface, h2), func(t *testing.T) {
				up := startUpstream(t, mirror, h2, apiHost)
				w := newWorld(t, setup{services: services(swapping(up, sub(surface))), secrets: map[string]string{"AWKWARD": awkward}})
				got := sawOf(t, try(w.clientOf(byToken, h2).Do(placeholders(t)))(t))
				path, query, _ := strings.Cut(got.URI, "?")
				for s, is := range map[policy.Surface]string{
					policy.InPath: path, policy.InQuery: query, policy.InBody: got.Body,
					policy.InHeader: got.Header.Get("X-Note") + ", " + got.Header.Get("Authorization"),
				} {
					want := literal[s]
					if s == surface {
						want = replaced[s]
					}
					if is != want {
						t.Errorf("%s: %s arrived, want %s", s, is, want)
					}
				}
				if got.Length != int64(len(got.Body)) {
					t.Errorf("length %d for a body of %d", got.Length, len(got.Body))
				}
				e := w.records()[0]
				if !cmp.Equal(e.Keys, []string{"AWKWARD"}) || e.Path != "/v1/x__key__/y" || strings.Contains(fmt.Sprint(e, w.logs), "b%20") {
					t.Errorf("record %+v\n%s", e, w.logs)
				}
			})
		}
	}
}

// E1 of the attack list: the same bytes to a host that declares nothing, to one whose
// service declares another key, and to one that is not named at all.
func TestPlaceholderOfAnotherHostArrivesAsItWasSent(t *testing.T) {
	up := newUpstream(t, mirror, apiHost)
	other := newUpstream(t, mirror, "other.test")
	w := newWorld(t, setup{
		services: services(
			swapping(up, sub(policy.InPath, policy.InQuery, policy.InHeader, policy.InBody)),
			other.passthrough("other", "other.test")),
		secrets: map[string]string{"AWKWARD": awkward},
	})
	client := w.client(byToken)
	if got := fmt.Sprint(sawOf(t, try(client.Do(placeholders(t)))(t))); strings.Contains(got, "__key__") || !strings.Contains(got, awkward) {
		t.Errorf("control: %s", got)
	}
	req := placeholders(t)
	req.URL.Host, req.Host = "other.test", ""
	got := sawOf(t, try(client.Do(req))(t))
	if got.URI != "/v1/x__key__/y?q=__key__;&r=%7e" || got.Header.Get("X-Note") != "is __key__!" || got.Body != `{"k":"__key__"}` ||
		got.Header.Get("Authorization") != "basic "+encoded("me:__key__") {
		t.Errorf("the other host saw %+v", got)
	}
	req = placeholders(t)
	req.URL.Host, req.Host = "evil.test", ""
	if _, err := client.Do(req); err == nil {
		t.Error("a host that nobody named was reached")
	}
	for _, e := range w.records() {
		if used := e.Host == apiHost; used != cmp.Equal(e.Keys, []string{"AWKWARD"}) {
			t.Errorf("record %+v", e)
		}
	}
}

func TestPlaceholderIsSearchedOverTLSAloneAndNeverForTrace(t *testing.T) {
	arrived := &counter{}
	up := newUpstream(t, func(http.ResponseWriter, *http.Request) { arrived.add() }, apiHost)
	tls := swapping(up, sub(policy.InHeader))
	plain := swapping(up, sub(policy.InHeader))
	plain.Name, plain.Port = "plain", 8080
	w := newWorld(t, setup{services: services(tls, plain), secrets: map[string]string{"AWKWARD": awkward}})
	res := try(w.client(byToken).Do(try(http.NewRequest("TRACE", "https://"+apiHost+"/", nil))(t)))(t)
	if e := reason(t, res); res.StatusCode != 405 || e.Code != "trace_refused" {
		t.Errorf("%s %+v", res.Status, e)
	}
	res = try(w.absolute().Get("http://" + apiHost + ":8080/"))(t)
	if e := reason(t, res); res.StatusCode != 403 || e.Code != "plain_http" {
		t.Errorf("%s %+v", res.Status, e)
	}
	if arrived.get() != 0 {
		t.Errorf("%d requests arrived", arrived.get())
	}
	read(t, try(w.client(byToken).Get("https://"+apiHost+"/"))(t))
	if arrived.get() != 1 {
		t.Error("control: a request over TLS does not arrive")
	}
}

// A credential that no placeholder asks for is not fetched: it may even be missing.
func TestCredentialIsFetchedWhereItsPlaceholderStands(t *testing.T) {
	up := newUpstream(t, mirror, apiHost)
	w := newWorld(t, setup{services: services(swapping(up, sub(policy.InPath, policy.InHeader))), secrets: map[string]string{"AWKWARD": awkward}})
	w.without("AWKWARD")
	client := w.clientOf(byToken, false)
	get := func(path, header string) *http.Response {
		req := try(http.NewRequest("GET", "https://"+apiHost+path, nil))(t)
		req.Header.Set("X-Note", header)
		// What is between two neighbours does not arrive, so it asks for nothing.
		req.Header.Set("Connection", "__key__")
		return try(client.Do(req))(t)
	}
	for _, literal := range []string{"/", "/__key", "/?__key__", "/?%5f%5fkey%5f%5f=__KEY__"} {
		if got := sawOf(t, get(literal, "__KEY")); got.URI != literal {
			t.Errorf("sent %s, arrived %s", literal, got.URI)
		}
	}
	for _, res := range []*http.Response{get("/__key__", ""), get("/", "__key__")} {
		if e := reason(t, res); res.StatusCode != 502 || e.Code != "missing_credential" || !strings.Contains(e.Message, "AWKWARD") {
			t.Errorf("%s %+v", res.Status, e)
		}
	}
	for _, e := range w.records() {
		if e.Keys != nil {
			t.Errorf("record %+v", e)
		}
	}
}

// A value is not searched again, or whoever sets one credential could read another.
func TestValueThatHoldsAPlaceholderIsNotExpanded(t *testing.T) {
	up := newUpstream(t, mirror, apiHost)
	service := up.bearer(apiHost)
	service.Substitutions = []policy.Substitution{
		{Key: "OUTER", Placeholder: "__outer__", In: []policy.Surface{policy.InHeader}},
		{Key: "VENDOR_KEY", Placeholder: "__inner__", In: []policy.Surface{policy.InHeader}},
	}
	w := newWorld(t, setup{services: services(service), secrets: map[string]string{"OUTER": "<__inner__ __outer__>", "VENDOR_TOKEN": "t__inner__"}})
	req := try(http.NewRequest("GET", "https://"+apiHost+"/", nil))(t)
	req.Header.Set("X-Note", "__outer__, __outer__inner__")
	req.Header.Set("Authorization", "__inner__")
	got := sawOf(t, try(w.client(byToken).Do(req))(t)).Header
	if want := "<__inner__ __outer__>, <__inner__ __outer__>inner__"; got.Get("X-Note") != want || got.Get("Authorization") != "Bearer t__inner__" {
		t.Errorf("arrived %q and %q", got.Get("X-Note"), got.Get("Authorization"))
	}
	if e := w.records()[0]; !cmp.Equal(e.Keys, []string{"OUTER", "VENDOR_TOKEN"}) {
		t.Errorf("record %+v", e)
	}
}

func TestValueThatCannotStandInItsPlaceSendsNothing(t *testing.T) {
	for _, c := range []struct{ name, value, path, header, body, code string }{
		{name: "CRLF in a header", value: "a\r\nX-Evil: 1", header: "__key__", code: "unusable_credential"},
		{name: "a colon in a username", value: "a:b", header: "Basic " + encoded("__key__:pw"), code: "unusable_credential"},
		{name: "no UTF-8 in JSON", value: "a\xff", body: `"__key__"`, code: "unusable_credential"},
		{name: "a way up", value: "..", path: "/api/__key__/admin", code: "path_leads_elsewhere"},
		{name: "a way up inside", value: "x/../..", path: "/api/__key__/admin", code: "path_leads_elsewhere"},
		{name: "a backslash way up", value: `x\..\y`, path: "/api/__key__", code: "path_leads_elsewhere"},
		{name: "half a way up", value: ".", path: "/api/.__key__/admin", code: "path_leads_elsewhere"},
		{name: "an encoded way up", value: "%2e%2e", path: "/api/__key__/admin", code: "path_leads_elsewhere"},
		{name: "no segment", value: "/", path: "/api/__key__/admin", code: "path_leads_elsewhere"},
		{name: "a path of another service", value: "admin", path: "/api/__key__", code: "path_leads_elsewhere"},
	} {
		t.Run(c.name, func(t *testing.T) {
			arrived := &counter{}
			up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) { arrived.add() }, apiHost)
			service := swapping(up, sub(policy.InPath, policy.InHeader, policy.InBody))
			service.Path = "/api/*"
			admin := up.passthrough("admin", apiHost)
			admin.Path = "/api/admin*"
			w := newWorld(t, setup{services: services(service, admin), secrets: map[string]string{"AWKWARD": c.value}})
			path := c.path
			if path == "" {
				path = "/api/x"
			}
			client := w.client(byToken)
			// Control: the same request without the placeholder.
			for i, name := range []string{"plain", "__key__"} {
				text := func(s string) string { return strings.ReplaceAll(s, "__key__", name) }
				req := try(http.NewRequest("POST", "https://"+apiHost+text(path), strings.NewReader(text(c.body))))(t)
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("X-Note", text(c.header))
				if pair, ok := strings.CutPrefix(c.header, "Basic "); ok {
					req.Header.Set("Authorization", "Basic "+strings.ReplaceAll(pair, encoded("__key__:pw"), encoded(name+":pw")))
				}
				res := try(client.Do(req))(t)
				if i == 0 {
					if res.StatusCode != 200 {
						t.Errorf("control: %s", res.Status)
					}
					read(t, res)
					continue
				}
				if e := reason(t, res); e.Code != c.code || c.code == "unusable_credential" && !strings.Contains(e.Message, "AWKWARD") || len(c.value) > 2 && strings.Contains(e.Message+e.Hint, c.value) && c.value != "admin" {
					t.Errorf("%s %+v", res.Status, e)
				}
			}
			if arrived.get() != 1 {
				t.Errorf("%d requests arrived", arrived.get())
			}
			if e := w.records()[1]; e.Allowed || e.Keys != nil || strings.Contains(e.Path, "admin") && c.path == "/api/__key__" {
				t.Errorf("record %+v", e)
			}
		})
	}
}
