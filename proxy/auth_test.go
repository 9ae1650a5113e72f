package proxy

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/proxy/inject"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// seen is a request as its upstream saw it.
type seen struct {
	URI     string
	Header  http.Header
	Trailer http.Header
	Body    string
	Length  int64
}

// mirror answers with the request, credentials and all.
func mirror(rw http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	_ = json.NewEncoder(rw).Encode(seen{r.RequestURI, r.Header, r.Trailer, string(body), r.ContentLength})
}

func sawOf(t testing.TB, res *http.Response) (s seen) {
	t.Helper()
	text := read(t, res)
	if res.StatusCode != 200 {
		t.Fatalf("%s %s", res.Status, text)
	}
	must(t, json.Unmarshal([]byte(text), &s))
	return s
}

func encoded(s string) string { return base64.StdEncoding.EncodeToString([]byte(s)) }

func TestEveryAuthTypePutsItsCredentialsIn(t *testing.T) {
	for _, c := range []struct {
		name string
		auth policy.Auth
		want map[string]string
		keys []string
	}{
		{"bearer", policy.Auth{Type: policy.Bearer, Token: "VENDOR_TOKEN"},
			map[string]string{"Authorization": "Bearer " + secret}, []string{"VENDOR_TOKEN"}},
		{"basic", policy.Auth{Type: policy.Basic, Username: "VENDOR_USER", Password: "VENDOR_TOKEN"},
			map[string]string{"Authorization": "Basic " + encoded("us er:"+secret)}, []string{"VENDOR_TOKEN", "VENDOR_USER"}},
		{"basic without password", policy.Auth{Type: policy.Basic, Username: "VENDOR_KEY"},
			map[string]string{"Authorization": "Basic " + encoded(apiSecret+":")}, []string{"VENDOR_KEY"}},
		{"api-key", policy.Auth{Type: policy.APIKey, Key: "VENDOR_KEY", Header: "X-Api-Key"},
			map[string]string{"X-Api-Key": apiSecret}, []string{"VENDOR_KEY"}},
		{"api-key in its usual place", policy.Auth{Type: policy.APIKey, Key: "VENDOR_KEY", Header: "Authorization", Prefix: "Token "},
			map[string]string{"Authorization": "Token " + apiSecret}, []string{"VENDOR_KEY"}},
		{"custom", policy.Auth{Type: policy.Custom, Headers: []policy.Header{
			{Name: "X-Api-Key", Value: "{{ VENDOR_KEY }}"}, {Name: "X-Both", Value: "{{VENDOR_USER}}/{{ VENDOR_TOKEN }}"}, {Name: "X-Team", Value: "agents"}}},
			map[string]string{"X-Api-Key": apiSecret, "X-Both": "us er/" + secret, "X-Team": "agents"}, []string{"VENDOR_KEY", "VENDOR_TOKEN", "VENDOR_USER"}},
	} {
		for _, h2 := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, HTTP/2 %v", c.name, h2), func(t *testing.T) {
				up := startUpstream(t, mirror, h2, apiHost)
				service := up.bearer(apiHost)
				service.Auth = c.auth
				w := newWorld(t, setup{services: services(service), secrets: map[string]string{"VENDOR_USER": "us er"}})
				req := try(http.NewRequest("POST", "https://"+apiHost+"/", strings.NewReader("body")))(t)
				for name := range c.want {
					// The client's own, repeated, in another spelling, and as a trailer.
					req.Header[name] = []string{"mine", "mine too"}
					req.Header[strings.ReplaceAll(name, "-", "_")] = []string{"mine", "mine too"}
					if !h2 {
						req.ContentLength, req.Trailer = -1, http.Header{name: {"mine"}}
					}
				}
				got := sawOf(t, try(w.clientOf(byToken, h2).Do(req))(t))
				for name, values := range got.Header {
					want, slot := c.want[name]
					if slot && !slices.Equal(values, []string{want}) || strings.Contains(fmt.Sprint(values), "mine") {
						t.Errorf("%s: %q arrived", name, values)
					}
				}
				for name := range c.want {
					if got.Header[name] == nil || got.Trailer[name] != nil {
						t.Errorf("%s: header %q, trailer %q", name, got.Header[name], got.Trailer[name])
					}
				}
				if e := w.records()[0]; !cmp.Equal(e.Keys, c.keys) || e.Service != "vendor" {
					t.Errorf("record %+v", e)
				}
			})
		}
	}
}

func TestServiceWithoutItsCredentialSendsNothing(t *testing.T) {
	custom := func(value string) policy.Auth {
		return policy.Auth{Type: policy.Custom, Headers: []policy.Header{{Name: "X-A", Value: value}}}
	}
	for _, c := range []struct {
		name   string
		auth   policy.Auth
		gone   string // taken out of the vault once the proxy has the service
		code   string
		naming string
	}{
		{"no username", policy.Auth{Type: policy.Basic, Username: "GONE", Password: "VENDOR_TOKEN"}, "GONE", "missing_credential", "GONE"},
		{"no password", policy.Auth{Type: policy.Basic, Username: "VENDOR_TOKEN", Password: "GONE"}, "GONE", "missing_credential", "GONE"},
		{"one of a template's", custom("{{ VENDOR_TOKEN }}{{ GONE }}"), "GONE", "missing_credential", "GONE"},
		{"a colon in a username", policy.Auth{Type: policy.Basic, Username: "COLON", Password: "VENDOR_TOKEN"}, "", "unusable_credential", "COLON"},
		{"a line break in a username", policy.Auth{Type: policy.Basic, Username: "LINES"}, "", "unusable_credential", "LINES"},
		{"a line break in a template", custom("{{ LINES }}"), "", "unusable_credential", "LINES"},
		{"a line break in a password", policy.Auth{Type: policy.Basic, Username: "VENDOR_TOKEN", Password: "LINES"}, "", "unusable_credential", "LINES"},
	} {
		t.Run(c.name, func(t *testing.T) {
			arrived := &counter{}
			up := newUpstream(t, func(http.ResponseWriter, *http.Request) { arrived.add() }, apiHost)
			service := up.bearer(apiHost)
			service.Auth = c.auth
			w := newWorld(t, setup{services: services(service), secrets: map[string]string{
				"GONE": "there for now", "COLON": "a:b", "LINES": "tw0\r\nX-Evil: 1",
			}})
			w.without(c.gone)
			res := try(w.client(byToken).Get("https://" + apiHost + "/"))(t)
			e := reason(t, res)
			if res.StatusCode != 502 || e.Code != c.code || !strings.Contains(e.Message, c.naming) || strings.Contains(fmt.Sprint(e), "tw0") {
				t.Errorf("%s %+v", res.Status, e)
			}
			if entry := w.records()[0]; entry.Keys != nil || entry.Allowed || arrived.get() != 0 || up.conns.get() != 0 {
				t.Errorf("%d arrived, record %+v", arrived.get(), entry)
			}
		})
	}
}

// The vault's tests hold it to the refusal; this is what becomes of it.
func TestCredentialThatIsBoundElsewhereIsRefusedAndTheKeyNamed(t *testing.T) {
	w, up := vendor(t, func(http.ResponseWriter, *http.Request) {})
	session := try(w.vault.SessionByToken(t.Context(), string(w.opened.Token.Open())))(t)
	l := w.proxy.serving(t.Context(), nil).lease(session)
	trip := &trip{route: route{session, l, policy.Target{Host: apiHost, Port: 443}, true}, x: &exchange{link: &link{serving: l.serving}}}
	service := up.bearer(apiHost)
	f := trip.unloaded(try(http.NewRequest("GET", "/", nil))(t), &service, &inject.KeyError{Key: "VENDOR_TOKEN", Err: vault.ErrBound})
	if f.status != 403 || f.code != "bound_credential" || !f.ours || f.hint == "" ||
		f.message != "service vendor needs the credential VENDOR_TOKEN, which is bound to other hosts than "+apiHost {
		t.Errorf("%+v", f)
	}
}
