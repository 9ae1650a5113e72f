package fakellm

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
)

func ask(t *testing.T, url, path, header, key, body string) (int, string) {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, url+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set(header, key)
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return answer.StatusCode, string(text)
}

func TestVendorAnswersWhoeverHasItsKeyAndNobodyElse(t *testing.T) {
	const (
		say  = `{"model":"m","stream":true,"messages":[{"role":"user","content":"please say banana"}]}`
		edit = `{"model":"m","stream":true,"tools":[{"name":"Edit"}],"messages":[{"role":"user","content":[{"type":"text","text":"replace a with b in c.txt"}]}]}`
		done = `{"model":"m","tools":[{"name":"Edit"}],"messages":[{"role":"user","content":"replace a with b in c.txt"},{"role":"user","content":[{"type":"tool_result"},{"type":"tool_result"}]}]}`
		item = `{"input":[{"type":"message","role":"user","content":[{"type":"input_text","text":"please say banana"}]}]}`
	)
	for name, c := range map[string]struct {
		path, header, key, body string
		status                  int
		want                    string
	}{
		"a key":                   {"/v1/messages", "X-Api-Key", "k", say, 200, `"text":"banana"`},
		"a tool":                  {"/v1/messages", "X-Api-Key", "k", edit, 200, `"name":"Read"`},
		"when the tools are used": {"/v1/messages", "X-Api-Key", "k", done, 200, `"text":"replaced"`},
		"responses":               {"/v1/responses", "X-Api-Key", "k", item, 200, `"text":"banana"`},
		"another key":             {"/v1/messages", "X-Api-Key", "x", say, 401, "no or wrong key"},
		"in another place":        {"/v1/messages", "Authorization", "Bearer k", say, 401, "no or wrong key"},
		"another path":            {"/v1/files", "X-Api-Key", "k", "", 404, "no such path"},
	} {
		v := &Vendor{Key: "k", XAPIKey: true}
		server := httptest.NewServer(v)
		status, text := ask(t, server.URL, c.path, c.header, c.key, c.body)
		server.Close()
		if status != c.status || !strings.Contains(text, c.want) {
			t.Errorf("%s: %d %s", name, status, text)
		}
		if asks := v.Asks(); len(asks) != 1 || asks[0].Status != c.status || asks[0].Body != c.body {
			t.Errorf("%s: noted %+v", name, asks)
		}
	}
}
