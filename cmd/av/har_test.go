package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault"
)

// har12 is what HAR 1.2 asks for: every name, and the kind of its value. Names that begin
// with "_" are left to whoever writes the file; a name that is in neither is not.
// http://www.softwareishard.com/blog/har-12-spec/
var har12 = map[string]any{
	"log": map[string]any{
		"version": "", "creator": map[string]any{"name": "", "version": ""},
		"entries": []any{map[string]any{
			"startedDateTime": "", "time": 0.0, "cache": map[string]any{},
			"serverIPAddress?": "", "comment?": "",
			"request": map[string]any{
				"method": "", "url": "", "httpVersion": "", "cookies": []any{}, "headers": []any{}, "queryString": []any{}, "headersSize": 0.0, "bodySize": 0.0,
			},
			"response": map[string]any{
				"status": 0.0, "statusText": "", "httpVersion": "", "cookies": []any{}, "headers": []any{}, "redirectURL": "", "headersSize": 0.0, "bodySize": 0.0,
				"content": map[string]any{"size": 0.0, "mimeType": ""},
			},
			"timings": map[string]any{"blocked": 0.0, "dns": 0.0, "connect": 0.0, "ssl": 0.0, "send": 0.0, "wait": 0.0, "receive": 0.0},
		}},
	},
}

// unlike says where got has not the shape of want.
func unlike(where string, want, got any) (faults []string) {
	if fmt.Sprintf("%T", want) != fmt.Sprintf("%T", got) {
		return []string{fmt.Sprintf("%s is a %T", where, got)}
	}
	switch want := want.(type) {
	case []any:
		for i, one := range got.([]any) {
			if len(want) == 0 {
				return []string{where + " is not empty"}
			}
			faults = append(faults, unlike(fmt.Sprintf("%s[%d]", where, i), want[0], one)...)
		}
	case map[string]any:
		has := got.(map[string]any)
		for name, shape := range want {
			name, optional := strings.CutSuffix(name, "?")
			value, ok := has[name]
			if ok {
				faults = append(faults, unlike(where+"."+name, shape, value)...)
			} else if !optional {
				faults = append(faults, where+"."+name+" is missing")
			}
		}
		for name := range has {
			_, required := want[name]
			if _, optional := want[name+"?"]; !required && !optional && !strings.HasPrefix(name, "_") {
				faults = append(faults, where+"."+name+" is in no HAR")
			}
		}
	}
	return faults
}

func TestArchiveIsWhatHAR12AsksFor(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6e6, time.UTC)
	list := []vault.Entry{
		{
			Time: at, Run: "r", Session: "s", Method: "POST", Host: "api.test", Port: 443, Scheme: "https", Path: "/a%2Fb/c", Service: "api", Keys: []string{"K"}, Allowed: true, Rule: "service api",
			Upstream: "[2001:db8::1]:443", Status: 200, BytesIn: 7, BytesOut: 5, Proto: "HTTP/1.1", UpstreamProto: "HTTP/2.0", Count: 1,
			Duration: 100 * time.Millisecond, Queue: 10 * time.Millisecond, Dial: 20 * time.Millisecond, TLS: 30 * time.Millisecond, FirstByte: 25 * time.Millisecond,
		},
		{Time: at, Run: "r", Method: "CONNECT", Host: "evil.test", Port: 8443, Status: 403, Reason: "no", Duration: time.Millisecond, Proto: "HTTP/1.1", Count: 3, Last: at},
		{Time: at},
		{Time: at, Method: "OPTIONS", Host: "2001:db8::1", Port: 80, Path: "*"},
	}
	for _, s := range hostile {
		list = append(list, vault.Entry{Time: at, Method: s, Host: s, Port: 1, Path: s, Proto: s, Upstream: s}, vault.Entry{Time: at, Host: "a.test", Port: 443, Path: s})
	}
	for _, entries := range [][]vault.Entry{nil, list} {
		var out bytes.Buffer
		if err := (&env{stdout: &out}).printJSON(archive(entries)); err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(out.String()) {
			if !harmless(strings.TrimSuffix(line, "\n")) {
				t.Errorf("%q", line)
			}
		}
		var got map[string]any
		if err := json.Unmarshal(out.Bytes(), &got); err != nil {
			t.Fatal(err)
		}
		for _, fault := range unlike("", har12, got) {
			t.Error(fault)
		}
		all := got["log"].(map[string]any)["entries"].([]any)
		if len(all) != len(entries) {
			t.Fatalf("%d entries of %d", len(all), len(entries))
		}
		for _, one := range all {
			entry := one.(map[string]any)
			if when, err := time.Parse(time.RFC3339Nano, entry["startedDateTime"].(string)); err != nil || !when.Equal(at) {
				t.Errorf("%v, %v", when, err)
			}
			address := entry["request"].(map[string]any)["url"].(string)
			if u, err := url.Parse(address); err != nil || !u.IsAbs() {
				t.Errorf("url %q, %v", address, err)
			}
			sum := 0.0
			for name, value := range entry["timings"].(map[string]any) {
				took := value.(float64)
				if may := name == "blocked" || name == "dns" || name == "connect" || name == "ssl"; took < 0 && (took != -1 || !may) {
					t.Errorf("%s is %v", name, took)
				}
				if name != "ssl" {
					sum += max(took, 0)
				}
			}
			if diff := sum - entry["time"].(float64); diff > 1e-6 || diff < -1e-6 {
				t.Errorf("the timings are %v of %v", sum, entry["time"])
			}
		}
	}
	first := harOf(list[0])
	if want := (harTimings{Blocked: 10, DNS: -1, Connect: 50, SSL: 30, Wait: 25, Receive: 15}); first.Timings != want || first.Time != 100 {
		t.Errorf("%+v, %v", first.Timings, first.Time)
	}
	if first.Request.URL != "https://api.test:443/a%2Fb/c" || first.Server != "2001:db8::1" || first.Response.HTTPVersion != "HTTP/2.0" || first.Request.HTTPVersion != "HTTP/1.1" {
		t.Errorf("%+v", first)
	}
	if second := harOf(list[1]); second.Request.URL != "https://evil.test:8443/" || second.Count != 3 || second.Comment != "no" || second.Time != 1 {
		t.Errorf("%+v", second)
	}
	// The shape is looked at: a file without a name that is asked for is found out.
	if faults := unlike("", har12, map[string]any{"log": map[string]any{"version": "1.2", "entries": "none", "pages": []any{}}}); len(faults) != 3 {
		t.Errorf("control: %q", faults)
	}
}
