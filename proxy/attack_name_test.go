package proxy

import (
	"bytes"
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/av-project/av/vault/policy"
)

// renamed is a ClientHello in which a server name stands that a Go client would not send.
func renamed(t *testing.T, name string) []byte {
	t.Helper()
	legal := strings.Repeat("x", len(name)-5) + ".test"
	sent := helloOf(t, &tls.Config{ServerName: legal})
	if bytes.Count(sent, []byte(legal)) != 1 {
		t.Fatal("the name does not stand in the hello once")
	}
	return bytes.Replace(sent, []byte(legal), []byte(name), 1)
}

// Whatever a hello says, the tunnel is for the host of its CONNECT, and a name that is
// not plainly that one gets no certificate and reaches nobody.
func TestHelloUnderAnotherNameGetsNoCertificate(t *testing.T) {
	ech := func(outer string) []byte {
		return helloOf(t, &tls.Config{ServerName: "inner.test", MinVersion: tls.VersionTLS13, EncryptedClientHelloConfigList: echConfig(t, outer)})
	}
	for _, c := range []struct {
		name  string
		hello []byte
		shown bool
	}{
		{"a trailing dot", renamed(t, apiHost+"."), false}, // RFC 6066 has none
		{"an address", renamed(t, "203.0.113.7"), false},
		{"an address in brackets", renamed(t, "[2001:db8::7]"), false},
		{"loopback", renamed(t, "127.0.0.1"), false},
		{"a port", renamed(t, apiHost+":443"), false},
		{"a zero byte", renamed(t, apiHost+"\x00.evil.test"), false},
		{"a host below", renamed(t, "evil."+apiHost), false},
		{"a host above", renamed(t, "vendor.test"), false},
		{"a wildcard", renamed(t, "*.vendor.test"), false},
		{"ECH in another's name", ech("evil.test"), false},
		// What is encrypted there is for nobody: we have no key, and answer for the tunnel's
		// host, or not at all. Each request inside is judged for that host.
		{"ECH in the tunnel's name", ech(apiHost), true},
		{"control: no name", helloOf(t, &tls.Config{ServerName: "203.0.113.7"}), true},
		{"control: capitals", renamed(t, strings.ToUpper(apiHost)), true},
		{"control: as it is", renamed(t, apiHost), true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w, up := vendor(t, func(http.ResponseWriter, *http.Request) { t.Error("a request arrived") })
			conn := w.tunnel(byToken, apiHost+":443")
			try(conn.Write(c.hello))(t)
			answer := make([]byte, 1)
			_, err := io.ReadFull(conn, answer)
			if shown := err == nil && answer[0] == tlsHandshake; shown != c.shown {
				t.Errorf("a handshake came: %v, first byte %x, %v", shown, answer, err)
			}
			w.minted(1) // the host's own, which policy names, and no other
			conn.Close()
			if e := w.ledger.wait(t, 1); e.Host != apiHost || e.Reason == "" {
				t.Errorf("record %+v", e)
			}
			if up.conns.get() != 0 || len(w.names.touched()) != 0 {
				t.Error("the upstream was dialled")
			}
		})
	}
}

// What policy lets through and what gets a credential are read from one list. If they
// were two, a host on the one and not on the other would be the hole.
func TestNoHostGetsACredentialThatPolicyDoesNotCover(t *testing.T) {
	hosts := []string{"vendor.test", "api.vendor.test", "eu.api.vendor.test", "evilvendor.test", "api.vendor.test.evil.test", "other.test", "api.other.test"}
	patterns := append([]string{"*.vendor.test", "*.api.vendor.test", "*.other.test"}, hosts...)
	// covers is what the manual says of a pattern, and nothing of what the code does.
	covers := func(pattern, host string) bool {
		domain, wild := strings.CutPrefix(pattern, "*.")
		if !wild {
			return host == pattern
		}
		label, rest, _ := strings.Cut(host, ".")
		return label != "" && rest == domain
	}
	random := rand.New(rand.NewPCG(1, 2))
	up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.Host, r.Header["Authorization"]) }, hosts...)
	withCredential, denied, bare := 0, 0, 0
	w := newWorld(t, setup{allow: []string{"other.test:443"}, roots: up.pool()})
	for _, host := range hosts {
		w.names.leads(host, "8.8.8.8", 443, up.Listener.Addr())
	}
	for round := range 80 {
		var list []policy.Service
		taken := map[string]bool{}
		for range 1 + random.IntN(3) {
			pattern := patterns[random.IntN(len(patterns))]
			if taken[pattern] {
				continue
			}
			taken[pattern] = true
			service := up.bearer(pattern)
			service.Name = fmt.Sprintf("s%d", len(list))
			if random.IntN(3) == 0 {
				service.Auth = policy.Auth{Type: policy.Passthrough}
			}
			service.Disabled = random.IntN(4) == 0
			service.Methods = [][]string{nil, {"GET"}, {"POST"}}[random.IntN(3)]
			list = append(list, service)
		}
		w.replace(list...)
		client := w.clientOf(byToken, round%2 == 0)
		for _, host := range hosts {
			may := false // get a credential
			for _, s := range list {
				may = may || !s.Disabled && s.Auth.Type == policy.Bearer && covers(s.Host, host) && (s.Methods == nil || s.Methods[0] == "GET")
			}
			res, err := client.Get("https://" + host + "/")
			if err != nil {
				denied++ // at its CONNECT
				continue
			}
			switch got := read(t, res); {
			case res.StatusCode == 403:
				denied++
			case got == host+"[Bearer "+secret+"]" && may:
				withCredential++
			case got == host+"[]":
				bare++
			default:
				t.Errorf("%s: %s %s with %+v", host, res.Status, got, list)
			}
		}
		client.CloseIdleConnections()
	}
	if withCredential < 20 || denied < 20 || bare < 5 {
		t.Errorf("%d with a credential, %d without, %d denied: that tries too little", withCredential, bare, denied)
	}
	for _, e := range w.records() {
		if e.Keys != nil && (!e.Allowed || e.Service == "") {
			t.Errorf("record %+v", e)
		}
	}
}

// Two vendors' programs read one variable, and each host gets its own value for it.
func TestOnePlaceholderIsADifferentSecretForEachHost(t *testing.T) {
	var list []policy.Service
	secrets := map[string]string{"FIRST": "value-of-first", "SECOND": "value-of-second"}
	for host, key := range map[string]string{"first.test": "FIRST", "second.test": "SECOND"} {
		up := newUpstream(t, mirror, host)
		service := up.passthrough(strings.ToLower(key), host)
		service.Substitutions = []policy.Substitution{{Key: key, Placeholder: "__token__", In: []policy.Surface{policy.InHeader}}}
		list = append(list, service)
	}
	w := newWorld(t, setup{services: list, secrets: secrets})
	client := w.client(byToken)
	for host, want := range map[string]string{"first.test": "value-of-first", "second.test": "value-of-second"} {
		req := try(http.NewRequest("GET", "https://"+host+"/", nil))(t)
		req.Header.Set("Authorization", "Bearer __token__")
		if got := sawOf(t, try(client.Do(req))(t)).Header; fmt.Sprint(got["Authorization"]) != "[Bearer "+want+"]" {
			t.Errorf("%s saw %v", host, got)
		}
		// As a header of the one host inside a tunnel to the other.
		conn := try(w.tls(byToken, host+":443", host, "http/1.1"))(t)
		must(t, conn.SetDeadline(time.Now().Add(patience)))
		other := map[string]string{"first.test": "second.test", "second.test": "first.test"}[host]
		if res := raw(t, conn, "GET / HTTP/1.1\r\nHost: "+other+"\r\nAuthorization: Bearer __token__\r\n\r\n"); res.StatusCode != 421 {
			t.Errorf("%s in the tunnel to %s: %s", other, host, res.Status)
		}
		conn.Close()
	}
	for _, e := range w.records() {
		if e.Status == 200 && fmt.Sprint(e.Keys) != "["+map[string]string{"first.test": "FIRST", "second.test": "SECOND"}[e.Host]+"]" {
			t.Errorf("record %+v", e)
		}
	}
}
