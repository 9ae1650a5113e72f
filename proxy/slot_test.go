package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// D5 of the attack list, byte for byte through the real listener.
func TestCredentialStandsInItsSlotExactlyOnceWhateverTheClientSent(t *testing.T) {
	const body = "\r\n4\r\nbody\r\n0\r\n"
	chunked := "Transfer-Encoding: chunked\r\n"
	for _, c := range []struct {
		name  string
		lines string
		tail  string
	}{
		{"nothing", "", "\r\n"},
		{"its own", "Authorization: Bearer mine\r\nX-Api-Key: mine\r\n", "\r\n"},
		{"repeated", "Authorization: Bearer mine\r\nAuthorization: Basic mine\r\nX-Api-Key: mine\r\nX-Api-Key: mine2\r\n", "\r\n"},
		{"in other cases", "aUTHORIZATION: mine\r\nauthorization: mine\r\nx-API-key: mine\r\n", "\r\n"},
		{"with underscores", "X_Api_Key: mine\r\nx_api-key: mine\r\nX-API_KEY: mine\r\n", "\r\n"},
		{"with other separators", "X.Api.Key: mine\r\nX~Api|Key: mine\r\n", "\r\n"},
		{"nominated by Connection", "Connection: authorization, x-api-key\r\nAuthorization: mine\r\nX-Api-Key: mine\r\n", "\r\n"},
		{"nominated without being sent", "Connection: Authorization, X-Api-Key, close\r\n", "\r\n"},
		{"empty", "Authorization:\r\nX-Api-Key: \r\n", "\r\n"},
		{"in an announced trailer", chunked + "Trailer: Authorization, X-Api-Key, X_Api_Key\r\n", body + "Authorization: mine\r\nX-Api-Key: mine\r\nX_Api_Key: mine\r\n\r\n"},
		{"in a trailer out of nowhere", chunked, body + "Authorization: mine\r\nX-Api-Key: mine\r\n\r\n"},
		{"as the proxy's", "Proxy-Authorization: mine\r\n", "\r\n"},
	} {
		for _, auth := range []policy.Auth{
			{Type: policy.Bearer, Token: "VENDOR_TOKEN"},
			{Type: policy.APIKey, Key: "VENDOR_KEY", Header: "x-api-key", Prefix: "Key "},
		} {
			t.Run(fmt.Sprint(c.name, ", ", auth.Type), func(t *testing.T) {
				got := make(chan *http.Request, 1)
				up := startUpstream(t, func(_ http.ResponseWriter, r *http.Request) {
					try(io.Copy(io.Discard, r.Body))(t)
					got <- r
				}, false, apiHost)
				service := up.bearer(apiHost)
				service.Auth = auth
				w := newWorld(t, setup{services: services(service)})
				conn, err := w.tls(byCertificate, apiHost+":443", apiHost, "http/1.1")
				must(t, err)
				if res := raw(t, conn, "POST / HTTP/1.1\r\nHost: "+apiHost+"\r\n"+c.lines+c.tail); res.StatusCode != 200 {
					t.Fatalf("%s: %s", res.Status, read(t, res))
				}
				r := <-got
				want := "Bearer " + secret
				slot := "Authorization"
				if auth.Type == policy.APIKey {
					want, slot = "Key "+apiSecret, "X-Api-Key"
				}
				for name, values := range r.Header {
					alike := strings.EqualFold(strings.Map(separator, name), slot)
					if alike && (name != slot || !cmp.Equal(values, []string{want})) || !alike && strings.Contains(fmt.Sprint(values), want) {
						t.Errorf("%s: %q arrived", name, values)
					}
				}
				if !cmp.Equal(r.Header[slot], []string{want}) {
					t.Errorf("%s: %q, want %q once", slot, r.Header[slot], want)
				}
				if slot == "Authorization" && r.Trailer["Authorization"] != nil || slot == "X-Api-Key" && r.Trailer["X-Api-Key"] != nil {
					t.Errorf("trailers %v", r.Trailer)
				}
			})
		}
	}
}

func separator(r rune) rune {
	if strings.ContainsRune("_.~|", r) {
		return '-'
	}
	return r
}

// What gets a credential where nothing else differs: the host alone decides.
func TestCredentialGoesToNoOtherHost(t *testing.T) {
	other := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.Header) }, "other.test")
	up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.Header) }, apiHost)
	w := newWorld(t, setup{services: services(up.bearer(apiHost), other.passthrough("other", "other.test"))})
	client := w.client(byToken)
	if got := read(t, try(client.Get("https://"+apiHost+"/"))(t)); !strings.Contains(got, secret) {
		t.Errorf("control: %s", got)
	}
	if got := read(t, try(client.Get("https://other.test/"))(t)); strings.Contains(got, secret) || strings.Contains(got, "Authorization") {
		t.Errorf("the other host saw %s", got)
	}
	// A passthrough service leaves the client's own alone.
	req := try(http.NewRequest("GET", "https://other.test/", nil))(t)
	req.Header.Set("Authorization", "Bearer mine")
	if got := read(t, try(client.Do(req))(t)); !strings.Contains(got, "Bearer mine") {
		t.Errorf("the other host saw %s", got)
	}
}

func TestMissingCredentialSendsNothing(t *testing.T) {
	up := newUpstream(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }, apiHost)
	w := newWorld(t, setup{services: services(up.bearer(apiHost))})
	conn, err := w.tls(byToken, apiHost+":443", apiHost, "http/1.1")
	must(t, err)
	w.without("VENDOR_TOKEN")

	res := raw(t, conn, "GET / HTTP/1.1\r\nHost: "+apiHost+"\r\nAuthorization: Bearer mine\r\n\r\n")
	e := reason(t, res)
	if res.StatusCode != 502 || e.Code != "missing_credential" || !strings.Contains(e.Message, "VENDOR_TOKEN") || e.Hint != "av credential set VENDOR_TOKEN" {
		t.Errorf("%s %+v", res.Status, e)
	}
	if up.conns.get() != 0 || len(w.names.touched()) != 0 {
		t.Error("the upstream was dialled")
	}
	if r := w.ledger.wait(t, 1); r.Keys != nil || r.Status != 502 || r.Allowed {
		t.Errorf("record %+v", r)
	}
}

func TestCredentialThatNoHeaderCarriesSendsNothing(t *testing.T) {
	w, up := vendor(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	must(t, w.vault.SetCredential(t.Context(), vault.Owner(), "VENDOR_TOKEN", vault.NewValue([]byte("two\nlines"))))
	res := try(w.client(byToken).Get("https://" + apiHost + "/"))(t)
	if e := reason(t, res); res.StatusCode != 502 || e.Code != "unusable_credential" || strings.Contains(fmt.Sprint(e), "two\nlines") ||
		!strings.Contains(e.Message, "a byte that no header can carry") || !strings.Contains(e.Hint, "as one line") {
		t.Errorf("%s %+v", res.Status, e)
	}
	if up.conns.get() != 0 {
		t.Error("the upstream was dialled")
	}
}

func TestCredentialNeverGoesOverPlainHTTP(t *testing.T) {
	plain := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") }))
	defer plain.Close()
	up := &server{Server: plain}
	service := up.bearer(apiHost)
	service.Port = 8080
	w := newWorld(t, setup{services: services(service)})
	inTunnel := raw(t, w.tunnel(byToken, apiHost+":8080"), "GET / HTTP/1.1\r\nHost: "+apiHost+":8080\r\n\r\n")
	inURL := try(w.absolute().Get("http://" + apiHost + ":8080/"))(t)
	for _, res := range []*http.Response{inTunnel, inURL} {
		if e := reason(t, res); res.StatusCode != 403 || e.Code != "plain_http" {
			t.Errorf("%s %+v", res.Status, e)
		}
	}
	if len(w.names.touched()) != 0 {
		t.Error("the upstream was dialled")
	}
}

// E2: TRACE answers with the request, credential and all.
func TestTraceIsRefusedWhereACredentialWouldCome(t *testing.T) {
	echo := func(rw http.ResponseWriter, r *http.Request) { _ = r.Write(rw) }
	up := newUpstream(t, echo, apiHost)
	other := newUpstream(t, echo, "other.test")
	w := newWorld(t, setup{services: services(up.bearer(apiHost), other.passthrough("other", "other.test"))})
	for host, want := range map[string]int{apiHost: 405, "other.test": 200} {
		// IIS has TRACK, and some servers do not care for the case.
		for _, method := range []string{"TRACE", "trace", "Track", "POST"} {
			req := try(http.NewRequest(method, "https://"+host+"/", nil))(t)
			if method == "POST" {
				req.Header.Set("X-HTTP-Method-Override", "trace")
			}
			res := try(w.client(byToken).Do(req))(t)
			if body := read(t, res); res.StatusCode != want || strings.Contains(body, secret) {
				t.Errorf("%s %s: %s %s", method, host, res.Status, body)
			}
		}
	}
}

func TestChangedCredentialIsUsedForTheNextRequest(t *testing.T) {
	w, _ := vendor(t, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.Header.Get("Authorization")) })
	client := w.client(byToken)
	read(t, try(client.Get("https://"+apiHost+"/"))(t))
	must(t, w.vault.SetCredential(t.Context(), vault.Owner(), "VENDOR_TOKEN", vault.NewValue([]byte("rotated"))))
	if got := read(t, try(client.Get("https://"+apiHost+"/"))(t)); got != "Bearer rotated" {
		t.Errorf("the upstream saw %s", got)
	}
}
