package proxy

import (
	"bufio"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// Every outcome of every request leaves one record, and its client one answer.
func TestEveryOutcomeLeavesExactlyOneRecord(t *testing.T) {
	get := "GET /p?q HTTP/1.1\r\nHost: " + apiHost + "\r\n"
	for _, c := range []struct {
		name string
		// do says what a client does, up to the end of its connection.
		do   func(t *testing.T, w *world)
		want string // method target path status allowed rule: reason
	}{
		{"carried", inTunnel(get), "GET api.vendor.test:443 /p 200 true service vendor: "},
		{"carried, and asked to close", inTunnel(get + "Connection: close\r\n"), "GET api.vendor.test:443 /p 200 true service vendor: "},
		{"denied CONNECT", outer("CONNECT evil.test:443 HTTP/1.1\r\n"), "CONNECT evil.test:443  403 false unmatched deny: policy does not let this run reach evil.test:443"},
		{"denied absolute form", outer("GET http://evil.test/p?q HTTP/1.1\r\nHost: evil.test\r\n"), "GET evil.test:80 /p 403 false unmatched deny: policy does not let this run reach evil.test:80"},
		{"CONNECT to nowhere", outer("CONNECT user:" + secret + "@evil.test HTTP/1.1\r\n"), "CONNECT :0  400 false : *"},
		{"URL with a user", outer("GET http://user:" + secret + "@evil.test/p HTTP/1.1\r\nHost: user:" + secret + "@evil.test\r\n"), " :0  400 false : *"},
		{"another scheme", outer("GET ftp://evil.test/p HTTP/1.1\r\nHost: evil.test\r\n"), `GET :0 /p 400 false : refusing scheme "ftp": it is http or https`},
		{"origin form", outer(get), "GET :0 /p 400 false : this is a proxy: send CONNECT, or a request with a whole URL"},
		{"no identity", bare("GET http://evil.test/p HTTP/1.1\r\nHost: evil.test\r\n\r\n"), "GET :0 /p 407 false : *"},
		{"unreadable", bare("nonsense\r\n\r\n"), " :0  400 false : the request line is not METHOD TARGET VERSION"},
		{"both lengths", bare("POST http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n"), " :0  400 false : there are both Content-Length and Transfer-Encoding"},
		{"endless head", bare("GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\n" + strings.Repeat("X: "+strings.Repeat("a", 1000)+"\r\n", 80) + "\r\n"), " :0  431 false : the request could not be read"},
		{"odd expectation", outer("GET http://evil.test/ HTTP/1.1\r\nHost: evil.test\r\nExpect: miracles\r\n"), " :0  417 false : the request could not be read"},
		{"half a head", halfClosed("GET http://evil.test/ HTT"), " :0  400 false : the request could not be read"},
		{"unreadable in the tunnel", inTunnel("GET / HTTP/1.1\r\nHost : x\r\n"), " api.vendor.test:443  400 false : a header's name holds a character that it cannot"},
		{"OPTIONS of the server", inTunnel("OPTIONS * HTTP/1.1\r\nHost: " + apiHost + "\r\n"), "OPTIONS api.vendor.test:443 * 200 true service vendor: "},
		{"another authority", inTunnel("GET /p HTTP/1.1\r\nHost: evil.test\r\n"), "GET api.vendor.test:443 /p 421 false : the request is for another host than its tunnel to api.vendor.test:443"},
		{"TRACE", inTunnel(strings.Replace(get, "GET", "TRACE", 1)), "TRACE api.vendor.test:443 /p 405 false service vendor: TRACE would send the credential of service vendor back"},
		{"CONNECT in the tunnel", inTunnel("CONNECT evil.test:443 HTTP/1.1\r\n"), "CONNECT api.vendor.test:443  400 false : a CONNECT inside a tunnel is not carried"},
		{"tunnel that stays silent", func(t *testing.T, w *world) { w.tunnel(byToken, apiHost+":443").Close() }, "CONNECT api.vendor.test:443  200 true service vendor: closed waiting for the first byte"},
		{"tunnel without a request", func(t *testing.T, w *world) { try(w.tls(byToken, apiHost+":443", apiHost))(t).Close() }, "CONNECT api.vendor.test:443  200 true service vendor: the tunnel was closed before a request could be read"},
		{"tunnel without a request, HTTP/2", func(t *testing.T, w *world) { try(w.tls(byToken, apiHost+":443", apiHost, "h2"))(t).Close() }, "CONNECT api.vendor.test:443  200 true service vendor: the tunnel was closed before a request could be read"},
		{"server name of another host", func(t *testing.T, w *world) { _, _ = w.tls(byToken, apiHost+":443", "evil.test") }, `CONNECT api.vendor.test:443  200 false service vendor: the TLS server name "evil.test" is not the tunnel's host`},
		{"client that does not trust us", func(t *testing.T, w *world) {
			untrusting := *w
			untrusting.authority = newWorld(t, setup{}).authority
			_, _ = untrusting.tls(byToken, apiHost+":443", apiHost)
		}, "CONNECT api.vendor.test:443  200 true service vendor: the client broke the TLS handshake off (tls: bad certificate): it may not trust av's certificate, or pin another"},
		{"bytes of another protocol", func(t *testing.T, w *world) {
			conn := w.tunnel(byToken, apiHost+":443")
			try(io.WriteString(conn, "SSH-2.0-x\r\n"))(t)
			ended(t, conn)
		}, "CONNECT api.vendor.test:443  200 false service vendor: neither TLS nor HTTP"},
		{"inner address", inTunnelTo("lan.test", "GET /p HTTP/1.1\r\nHost: lan.test\r\n"), "GET lan.test:443 /p 403 false allow lan.test:443: refusing to connect to lan.test at 10.0.0.1: private address"},
		{"unknown name", inTunnelTo("gone.test", "GET /p HTTP/1.1\r\nHost: gone.test\r\n"), "GET gone.test:443 /p 502 true allow gone.test:443: gone.test does not exist"},
		{"upstream hangs up", inTunnel(strings.Replace(get, "/p", "/abort", 1)), "GET api.vendor.test:443 /abort 502 true service vendor: api.vendor.test:443 closed the connection or sent what is not HTTP"},
		{"upstream's own error", inTunnel(strings.Replace(get, "/p", "/teapot", 1)), "GET api.vendor.test:443 /teapot 418 true service vendor: "},
	} {
		t.Run(c.name, func(t *testing.T) {
			up := startUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
				switch r.URL.Path {
				case "/abort":
					panic(http.ErrAbortHandler)
				case "/teapot":
					rw.WriteHeader(http.StatusTeapot)
				}
			}, false, apiHost)
			w := newWorld(t, setup{services: services(up.bearer(apiHost)), allow: []string{"lan.test", "gone.test"}})
			w.names.addrs["lan.test."] = "10.0.0.1"
			c.do(t, w)
			w.ledger.wait(t, 1)
			entries := w.records()
			if len(entries) != 1 {
				t.Fatalf("%d records: %+v", len(entries), entries)
			}
			e := entries[0]
			got := fmt.Sprintf("%s %s %s %d %t %s: %s", e.Method, policy.Target{Host: e.Host, Port: e.Port}, e.Path, e.Status, e.Allowed, e.Rule, e.Reason)
			if want, open := strings.CutSuffix(c.want, "*"); got != c.want && !(open && strings.HasPrefix(got, want) && got != want) {
				t.Errorf("record\n%s\nwant\n%s", got, c.want)
			}
			if strings.Contains(fmt.Sprintf("%+v", e), secret) {
				t.Errorf("a secret in %+v", e)
			}
			if e.Time.IsZero() {
				t.Error("no time in the record")
			}
		})
	}
}

// The server reads ahead while a handler works, and took what it could not read there
// for the end of the request before it; what it could not read left no record.
func TestMalformedRequestBehindAGoodOneHasARecordOfItsOwn(t *testing.T) {
	const good = "GET /good HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n"
	for name, bad := range map[string]string{
		"a line feed":               "\nGET",
		"an empty line":             "\r\n\r\n",
		"nonsense":                  "nonsense\r\n\r\n",
		"two lengths":               "POST /bad HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
		"a body that ends wrong":    "POST /bad HTTP/1.1\r\nHost: " + apiHost + "\r\nTransfer-Encoding: chunked\r\n\r\n5\nhello",
		"nonsense behind two":       good + "nonsense\r\n\r\n",
		"nonsense that goes on":     "nonsense\r\n" + strings.Repeat("x", 100_000),
		"half a head, line by line": "GET /bad HTTP/1.1\r\nHost: a\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			w, _ := vendorH1(t, func(rw http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				time.Sleep(50 * time.Millisecond) // while the proxy reads ahead
				fmt.Fprint(rw, "fine")
			})
			conn := try(w.tls(byToken, apiHost+":443", apiHost, "http/1.1"))(t)
			must(t, conn.SetDeadline(time.Now().Add(patience)))
			go func() { _, _ = io.WriteString(conn, good+bad) }()
			answers := bufio.NewReader(conn)
			goods := 1 + strings.Count(bad, "/good")
			for range goods {
				if res := try(http.ReadResponse(answers, nil))(t); res.StatusCode != 200 || read(t, res) != "fine" {
					t.Error(res.Status)
				}
			}
			_, _ = io.Copy(io.Discard, answers)
			entries := w.records()
			if len(entries) != goods+1 {
				t.Fatalf("%d records: %+v", len(entries), entries)
			}
			for _, e := range entries[:goods] {
				if e.Status != 200 || !e.Allowed || e.Reason != "" || e.Path != "/good" {
					t.Errorf("the good one: %+v", e)
				}
			}
			if e := entries[goods]; e.Status != 400 && e.Status != 0 || e.Allowed || e.Reason == "" || e.Reason == reasonGone || e.Host != apiHost || e.Run != "run-1" {
				t.Errorf("the malformed one: %+v", e)
			}
		})
	}
}

// The same where the vault is asked first, which takes a while.
func TestMalformedRequestBehindARefusedOneHasARecordOfItsOwn(t *testing.T) {
	w := newWorld(t, setup{})
	conn := w.dial(byToken)
	defer conn.Close()
	must(t, conn.SetDeadline(time.Now().Add(patience)))
	try(io.WriteString(conn, "GET http://evil.test/p HTTP/1.1\r\nHost: evil.test\r\nProxy-Authorization: "+w.basic()+"\r\n\r\nnonsense\r\n\r\n"))(t)
	answers := bufio.NewReader(conn)
	for _, want := range []int{403, 400} {
		res := try(http.ReadResponse(answers, nil))(t)
		if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != want {
			t.Errorf("%s, %v", res.Status, err)
		}
	}
	entries := w.records()
	if len(entries) != 2 || entries[0].Status != 403 || entries[1].Status != 400 || !strings.Contains(entries[1].Reason, "METHOD TARGET VERSION") {
		t.Errorf("records %+v", entries)
	}
}

// bare sends bytes to the proxy, without identity, and waits for an answer.
func bare(request string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		conn := w.dial(byToken)
		defer conn.Close()
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		_, _ = io.WriteString(conn, request) // it may close before it has all
		_, _ = http.ReadResponse(bufio.NewReader(conn), nil)
	}
}

// halfClosed sends bytes and says that there will be no more.
func halfClosed(request string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		conn := w.dial(byToken)
		defer conn.Close()
		try(io.WriteString(conn, request))(t)
		must(t, closeWrite(conn))
		ended(t, conn)
	}
}

// outer sends a request to the proxy, with a token.
func outer(head string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) { bare(head+"Proxy-Authorization: "+w.basic()+"\r\n\r\n")(t, w) }
}

// inTunnel sends a request through a tunnel.
func inTunnel(head string) func(*testing.T, *world) { return inTunnelTo(apiHost, head) }

func inTunnelTo(host, head string) func(*testing.T, *world) {
	return func(t *testing.T, w *world) {
		conn := try(w.tls(byToken, host+":443", host, "http/1.1"))(t)
		raw(t, conn, head+"\r\n")
		conn.Close()
	}
}

func TestRecordsReachTheVault(t *testing.T) {
	w, _ := vendor(t, func(http.ResponseWriter, *http.Request) {})
	w.proxy.recorder = w.vault
	client := w.client(byToken)
	for range 3 {
		read(t, try(client.Get("https://"+apiHost+"/v1"))(t))
	}
	if _, res := w.connect(byToken, "evil.test:443"); res.StatusCode != 403 {
		t.Error(res.Status)
	}
	w.stop()
	sum := try(w.vault.Summary(t.Context(), vault.Owner(), "run-1"))(t)
	if sum.Requests != 4 || sum.Denied != 1 || len(sum.Hosts) != 2 {
		t.Errorf("summary %+v", sum)
	}
	for _, e := range try(w.vault.Requests(t.Context(), vault.Owner(), "run-1", 0))(t) {
		if e.Session != w.opened.ID || e.Method == "" || e.Host == "" {
			t.Errorf("record %+v", e)
		}
	}
}

// E2, E15: whatever goes wrong, the secret is in nothing that the proxy itself writes.
func TestSecretIsInNoRecordLogOrError(t *testing.T) {
	up := startUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/panic":
			panic(http.ErrAbortHandler)
		case "/101":
			rw.Header().Set("Upgrade", secret)
			rw.WriteHeader(http.StatusSwitchingProtocols)
		}
		fmt.Fprint(rw, "ok")
	}, false, apiHost)
	w := newWorld(t, setup{services: services(up.bearer(apiHost)), allow: []string{"gone.test"}})
	token := string(w.opened.Token.Open())
	client := w.clientOf(byToken, false)
	var answers strings.Builder
	for _, path := range []string{"/", "/panic", "/101", "/?key=" + secret} {
		res := try(client.Get("https://" + apiHost + path))(t)
		fmt.Fprintln(&answers, res.Header, read(t, res))
	}
	for _, request := range []string{
		"CONNECT evil.test:443 HTTP/1.1\r\nProxy-Authorization: " + w.basic() + "\r\n\r\n",
		"CONNECT user:" + secret + "@evil.test HTTP/1.1\r\nProxy-Authorization: Bearer x" + token + "\r\n\r\n",
		"GET http://gone.test/?" + secret + " HTTP/1.1\r\nHost: gone.test\r\nProxy-Authorization: Bearer " + token + "\r\n\r\n",
		"GET / HTTP/1.1\r\nX-" + secret + "\r\nProxy-Authorization: Bearer " + token + "\r\n\r\n",
	} {
		conn := w.dial(byToken)
		res := raw(t, conn, request)
		fmt.Fprintln(&answers, res.Header, read(t, res))
		conn.Close()
	}
	w.proxy.errorLog.Print("control: this log is read")
	records := fmt.Sprintf("%+v", w.records())
	for where, text := range map[string]string{"a record": records, "the log": w.logs.String(), "an answer": answers.String()} {
		for what, hidden := range map[string]string{"the secret": secret, "the session's token": token, "it in base64": strings.TrimPrefix(w.basic(), "Basic ")} {
			if strings.Contains(text, hidden) {
				t.Errorf("%s is in %s:\n%s", what, where, text)
			}
		}
	}
	if !strings.Contains(w.logs.String(), "control") {
		t.Error("control: the log is empty")
	}
}
