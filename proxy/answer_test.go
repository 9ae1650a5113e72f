package proxy

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/av-project/av/vault/policy"
)

func TestTextIsForClientsThatPreferIt(t *testing.T) {
	for _, c := range []struct {
		accept, agent string
		text          bool
	}{
		{"", "", false}, {"*/*", "curl/8.5.0", false}, {"application/json", "", false}, {"*/*", "Wget/1.21", false},
		{"application/json, text/plain, */*", "axios/1.7", false}, // as much the one as the other
		{"text/html, application/json", "", false}, {"application/vnd.github+json, text/plain;q=0.9", "", false},
		{"application/vnd.pypi.simple.v1+json, application/vnd.pypi.simple.v1+html; q=0.1, text/html; q=0.01", "pip/24", false},
		{"text/plain;q=0", "", false}, {"text/plain;q=high", "", false}, {"text/plain;q=-1", "", false}, {"text/event-stream", "", false},
		{"text/plain;q=0.5, */*;q=0.6", "", false}, {"*/*, git/2", "", false}, {"text", "", false}, {";;,,=", "", false}, {"image/*", "", false},
		{"text/plain", "", true}, {"TEXT/Plain; charset=utf-8", "", true}, {"text/*", "Debian APT-HTTP/1.3", true},
		{"text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "Mozilla/5.0", true},
		{"application/json;q=0.2, text/plain;q=0.3", "", true}, {"application/*;q=0.2, text/html ; Q=0.30", "", true}, {"text/plain;q=0.001", "", true},
		{"*/*", "git/2.39.5", true}, {"", "git/2", true}, {"application/json", "git/2.39.5", true}, {"*/*", "JGit git/2", false}, {"*/*", "github-cli/2", false},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		if c.accept != "" {
			r.Header.Set("Accept", c.accept)
		}
		r.Header.Set("User-Agent", c.agent)
		if got := answerFor(r).form == inText; got != c.text {
			t.Errorf("Accept %q of %q: text is %v", c.accept, c.agent, got)
		}
	}
	r := httptest.NewRequest("GET", "/", nil)
	r.Header["Accept"] = []string{"application/json;q=0.5", "text/plain"}
	if answerFor(r).form != inText {
		t.Error("the second of two Accept headers is not read")
	}
}

func TestDenialIsWrittenAsItsClientReadsIt(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
	w.replace(policy.Service{Name: "other", Host: apiHost, Path: "/api/*", Auth: policy.Auth{Type: policy.Passthrough}})
	text := "policy does not let this run use that method and path of " + apiHost + ":443\nhint: service other covers " + apiHost + ":443/api/*\nrule: service other\n"
	for _, h2 := range []bool{false, true} {
		client := w.clientOf(byToken, h2)
		for _, c := range []struct{ method, accept, kind, body string }{
			{"GET", "text/plain", "text/plain; charset=utf-8", text},
			{"HEAD", "text/plain", "text/plain; charset=utf-8", ""},
			{"HEAD", "*/*", "application/json", ""},
			{"GET", "*/*", "application/json", `{"error":{"code":"denied",`},
		} {
			req := try(http.NewRequest(c.method, "https://"+apiHost+"/x", nil))(t)
			req.Header.Set("Accept", c.accept)
			res := try(client.Do(req))(t)
			h := res.Header
			if res.StatusCode != 403 || h.Get("Content-Type") != c.kind || h.Get("Av-Error") != "denied" || h.Get("X-Content-Type-Options") != "nosniff" {
				t.Errorf("%s %s: %s %v", c.method, c.accept, res.Status, h)
			}
			if got := read(t, res); got != c.body && !(c.kind == "application/json" && c.body != "" && strings.HasPrefix(got, c.body)) {
				t.Errorf("%s %s: %s", c.method, c.accept, got)
			}
		}
	}
	for _, e := range w.records() {
		if e.Status == 403 && e.Method == "HEAD" && e.BytesIn != 0 {
			t.Errorf("record %+v", e)
		}
	}
}

// A terminal that shows a refusal is not told what to do by it.
func TestDenialHasNoControlCharacters(t *testing.T) {
	f := refusal{status: 403, code: "denied", message: "a\x1b]52;c;x\x07b\r\nAv: 1\u202e\u0085\xff", hint: "h\x7f\u2028", rule: "r\x00 é"}
	for _, form := range []answerForm{inJSON, inText, inGRPC} {
		res := httptest.NewRecorder()
		f.write(res, answer{form: form})
		said := res.Body.String()
		if form == inGRPC {
			said = res.Header().Get("Grpc-Message")
			for _, c := range []byte(said) {
				if c < ' ' || c > '~' {
					t.Errorf("the message is %q", said)
				}
			}
			continue
		}
		if !strings.Contains(said, "x1b]52") || strings.Count(said, "\n") != map[answerForm]int{inJSON: 1, inText: 3}[form] || strings.ContainsAny(said, "\x1b\x07\r\x7f\x00\u202e\u0085\u2028") || strings.Contains(said, "\xff") {
			t.Errorf("%v: %q", form, said)
		}
	}
}

// What the proxy says to a gRPC client is in the status, the only place where one looks.
func TestDeniedGRPCCallSaysWhyAndWhatHelps(t *testing.T) {
	w, _, client := newGRPC(t, byToken, func(s *policy.Service) { s.Path = "/av.test.Vendor/Echo" })
	// Often: whether the status comes in the head that ends the stream must not be a race.
	const often = 20
	for range often {
		stream := call(t, patient(t), client, "Count")
		_, err := drained(stream)
		isCode(t, err, codes.PermissionDenied, "policy does not let this run use that method and path of "+apiHost+
			":443; hint: service vendor covers "+apiHost+":443/av.test.Vendor/Echo; rule: service vendor")
		if got := stream.Trailer()["av-error"]; len(got) != 1 || got[0] != "denied" {
			t.Errorf("av-error %q", got)
		}
	}
	// One that has begun to send is told too.
	stream := call(t, patient(t), client, "Join")
	var err error
	for err == nil {
		err = stream.SendMsg(say(strings.Repeat("x", 1<<16)))
	}
	if _, err = drained(stream); status.Code(err) != codes.PermissionDenied || !strings.Contains(status.Convert(err).Message(), "hint: ") {
		t.Errorf("%v", err)
	}
	var head metadata.MD
	must(t, client.Invoke(patient(t), "/av.test.Vendor/Echo", say(""), new(note), grpc.Header(&head)))
	w.without("VENDOR_TOKEN")
	if err := client.Invoke(patient(t), "/av.test.Vendor/Echo", say(""), new(note)); status.Code(err) != codes.Unavailable || !strings.Contains(status.Convert(err).Message(), "av credential set VENDOR_TOKEN") {
		t.Errorf("%v", err)
	}
	w.ledger.wait(t, often+3)
	client.Close()
	// The record has our status, and not the 200 that carries the other.
	for i, e := range w.records() {
		want := 403
		switch i {
		case often + 1:
			want = 200
		case often + 2:
			want = 502
		}
		if e.Status != want {
			t.Errorf("record %d: %+v", i, e)
		}
	}
}

func TestGRPCIsAnsweredAsSuchOverHTTP2Alone(t *testing.T) {
	for _, c := range []struct {
		kind  string
		major int
		want  answerForm
	}{
		{"application/grpc", 2, inGRPC}, {"application/grpc+proto", 2, inGRPC}, {"application/grpc;x=y", 2, inGRPC},
		{"application/grpc", 1, inJSON}, {"application/grpc-web", 2, inJSON}, {"application/grpcx", 2, inJSON}, {"application/json", 2, inJSON},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.ProtoMajor = c.major
		r.Header.Set("Content-Type", c.kind)
		if got := answerFor(r).form; got != c.want {
			t.Errorf("%s over HTTP/%d: %v", c.kind, c.major, got)
		}
	}
	for code, want := range map[int]string{400: "13", 401: "16", 403: "7", 404: "12", 407: "16", 413: "8", 421: "2", 429: "8", 502: "14", 503: "14", 504: "14"} {
		res := httptest.NewRecorder()
		refusal{status: code, code: "c", message: "100 % ü"}.write(res, answer{form: inGRPC})
		if h := res.Header(); res.Code != 200 || h.Get("Grpc-Status") != want || h.Get("Grpc-Message") != "100 %25 %C3%BC" || res.Body.Len() != 0 {
			t.Errorf("%d: %d %v", code, res.Code, h)
		}
	}
}
