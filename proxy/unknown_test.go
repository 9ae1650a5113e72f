package proxy

import (
	"encoding/binary"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/av-project/av/vault/policy"
)

// E5 of the attack list: a name that nobody declared must not reach the vendor's logs.
func TestUnknownPlaceholderIsRefusedAndNothingIsSent(t *testing.T) {
	const spelled = "the placeholder __account_sid__ stands in the %s in another spelling"
	const unknown = "an unknown placeholder stands in the %s; the nearest is __account_sid__"
	const elsewhere = "the placeholder __other__ stands in the %s, where it is not declared"
	for _, c := range []struct {
		on     policy.Surface
		sent   string // in the surface's place
		passes bool
		want   string
	}{
		{policy.InPath, "x__account_sid__", true, ""}, {policy.InPath, "a__b__c", true, ""},
		{policy.InPath, "__acount_sid__", false, unknown}, {policy.InPath, "bot__acount_sid__", false, unknown},
		{policy.InPath, "%5F%5Faccount_sid__", false, spelled}, {policy.InPath, "__other__", false, elsewhere},
		{policy.InQuery, "__account_sid__", true, ""}, {policy.InQuery, "created__date__gte", true, ""},
		{policy.InQuery, "__acount_sid__", false, unknown}, {policy.InQuery, "__Account_SID__", false, spelled}, {policy.InQuery, "__other__", false, elsewhere},
		{policy.InHeader, "__account_sid__", true, ""}, {policy.InHeader, "__init", true, ""},
		{policy.InHeader, "__acount_sid__", false, unknown}, {policy.InHeader, "__ACCOUNT_SID__", false, spelled}, {policy.InHeader, "__other__", false, elsewhere},
		{policy.InBody, "__account_sid__", true, ""}, {policy.InBody, "def __init__: __acount_sid__", true, ""},
		{policy.InBody, "is __ACCOUNT_SID__", false, spelled}, {policy.InBody, `\u005f_account_sid__`, false, spelled}, {policy.InBody, "a chat about __other__", true, ""},
	} {
		// The control: where the surface declares nothing, all arrives as it is.
		for _, declared := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s in %s, declared %v", c.sent, c.on, declared), func(t *testing.T) {
				arrived := &counter{}
				up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) { arrived.add(); mirror(rw, r) }, apiHost)
				here, other := c.on, policy.InPath
				if c.on == policy.InPath {
					other = policy.InQuery
				}
				if !declared {
					here = other
				}
				w := newWorld(t, setup{secrets: map[string]string{"AWKWARD": "__v__"}, services: services(swapping(up,
					policy.Substitution{Key: "AWKWARD", Placeholder: "__account_sid__", In: []policy.Surface{here}},
					policy.Substitution{Key: "AWKWARD", Placeholder: "__other__", In: []policy.Surface{other}}))})
				put := func(on policy.Surface) string {
					if on == c.on {
						return c.sent
					}
					return "x"
				}
				req := try(http.NewRequest("POST", "https://"+apiHost+"/"+put(policy.InPath)+"?q="+put(policy.InQuery), strings.NewReader(`{"k":"`+put(policy.InBody)+`"}`)))(t)
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("X-Note", put(policy.InHeader))
				res := try(w.client(byToken).Do(req))(t)
				if c.passes || !declared {
					got := fmt.Sprint(sawOf(t, res))
					if want := strings.ReplaceAll(c.sent, "__account_sid__", "__v__"); declared && !strings.Contains(got, want) || !declared && !strings.Contains(got, c.sent) {
						t.Errorf("arrived %s", got)
					}
					return
				}
				e := reason(t, res)
				hint := "write __account_sid__"
				if c.want == elsewhere {
					hint = "service vendor has it in: " + string(other)
				}
				if message := fmt.Sprintf(c.want, c.on); res.StatusCode != 400 || e.Code != "unknown_placeholder" || e.Message != message || e.Hint != hint {
					t.Errorf("%s %+v, want %s, %s", res.Status, e, message, hint)
				}
				if arrived.get() != 0 {
					t.Error("a request arrived")
				}
				if r := w.records()[0]; r.Allowed || r.Status != 400 || r.Keys != nil {
					t.Errorf("record %+v", r)
				}
			})
		}
	}
}

// What the proxy takes out, or puts in, is not the client's placeholder.
func TestCredentialWithTheShapeOfAPlaceholderPasses(t *testing.T) {
	up := newUpstream(t, mirror, apiHost)
	service := up.bearer(apiHost)
	service.Substitutions = []policy.Substitution{sub(policy.InPath, policy.InQuery, policy.InHeader, policy.InBody)}
	w := newWorld(t, setup{services: services(service), secrets: map[string]string{"AWKWARD": "__kye__", "VENDOR_TOKEN": "__KEY__"}})
	req := placeholders(t)
	req.Header.Set("Authorization", "__taken_out__")
	req.Header.Set("Proxy-Note", "__taken_out__")
	got := sawOf(t, try(w.client(byToken).Do(req))(t))
	if got.Header.Get("Authorization") != "Bearer __KEY__" || got.Header.Get("X-Note") != "is __kye__!" || got.Body != `{"k":"__kye__"}` || got.URI != "/v1/x__kye__/y?q=__kye__;&r=%7e" {
		t.Errorf("arrived %+v", got)
	}
}

func TestOtherSpellingInAMessageClosesTheWebSocket(t *testing.T) {
	w, conn, r, frames, _ := socket(t, policy.InWebSocket)
	try(io.WriteString(conn, frame(fin|text, "def __init__ with __key__")+frame(fin|text, "is __KEY__")+frame(fin|text, "after it")))(t)
	want := string(binary.BigEndian.AppendUint16(nil, 1008))
	for _, w := range []string{"81 def __init__ with " + awkward, "88 " + want} {
		if got := <-frames; got != w {
			t.Errorf("%q arrived, want %q", got, w)
		}
	}
	if got, more := <-frames; more {
		t.Errorf("then %q arrived", got)
	}
	if first, _, payload, err := readFrame(r); err != nil || first != 0x88 || payload != want {
		t.Errorf("the client is told %x %q, %v", first, payload, err)
	}
	ended(t, conn)
	if e := w.records()[0]; e.Reason != "the websocket was closed: the placeholder __key__ stands in the message in another spelling" {
		t.Errorf("record %+v", e)
	}
}
