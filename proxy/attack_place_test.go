package proxy

import (
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"strings"
	"testing"

	"github.com/av-project/av/proxy/egress"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// An address can be written in ways that a filter does not know and a dialer does. Policy
// is open here, so that only the reading of the address stands between.
func TestAddressInAnyDisguiseIsReachedByNoWay(t *testing.T) {
	w := newWorld(t, setup{unmatched: policy.Allow})
	plain := newPlain(t, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, "reached as ", r.Host) })
	w.names.leads("public.test", "8.8.8.8", 80, plain)
	for _, host := range []string{
		"2130706433", "0x7f000001", "0x7f.1", "0177.1", "0177.0.0.1", "127.1", "127.0.1", "127.0.0.1.", "127.0.0.01",
		"[::ffff:127.0.0.1]", "[::ffff:7f00:1]", "[::ffff:169.254.169.254]", "[64:ff9b::127.0.0.1]", "[64:ff9b::a9fe:a9fe]",
		"[64:ff9b:1::7f00:1]", "[2002:7f00:1::1]", "[2001:0:7f00:1::1]", "[::127.0.0.1]", "[::ffff:0:127.0.0.1]",
		"[2606:4700::5efe:7f00:1]", "[fe80::1%25lo]", "[fe80::1%lo]", "[::1%25lo]", "\uff11\uff12\uff17.0.0.1", "127\u30020\u30020\u30021",
	} {
		refused := func(how string, status int) {
			t.Helper()
			if status != 400 && status != 403 && status != 421 {
				t.Errorf("%s: %s: %d", host, how, status)
			}
		}
		if conn, res := w.connect(byToken, host+":80"); conn == nil {
			refused("CONNECT", res.StatusCode)
		} else {
			refused("in its tunnel", raw(t, conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n").StatusCode)
			conn.Close()
		}
		outer := w.dial(byToken)
		refused("absolute form", raw(t, outer, "GET http://"+host+"/ HTTP/1.1\r\nHost: "+host+"\r\nProxy-Authorization: "+w.basic()+"\r\n\r\n").StatusCode)
		outer.Close()
		refused("as the Host in another's tunnel", raw(t, w.tunnel(byToken, "public.test:80"), "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n").StatusCode)
	}
	if touched := w.names.touched(); len(touched) != 0 {
		t.Errorf("the proxy asked for or went to %s", touched)
	}
	// Control: so written, a public address is reached.
	for _, host := range []string{"8.8.8.8", "[::ffff:8.8.8.8]", "public.test", "PUBLIC.test."} {
		if got := read(t, try(w.absolute().Get("http://"+host+"/"))(t)); !strings.HasPrefix(got, "reached as ") {
			t.Errorf("control: %s: %s", host, got)
		}
	}
}

// The machine's own credentials are at these addresses. Whoever grants a network that
// they lie in has not meant them.
func TestMetadataIsNotDialledWhateverIsGranted(t *testing.T) {
	ranges := try(egress.ParseRanges("169.254.0.0/16,100.64.0.0/10,fd00::/8,64:ff9b:1::/48"))(t)
	w := newWorld(t, setup{unmatched: policy.Allow, egress: []egress.Option{egress.Allow(ranges)}})
	for i, addr := range []string{
		"169.254.169.254", "169.254.170.2", "100.100.100.200", "168.63.129.16", "fd00:ec2::254", "::ffff:169.254.169.254",
		"64:ff9b::a9fe:a9fe", "64:ff9b:1::a9fe:a9fe", "2002:a9fe:a9fe::1", "fd00:64::169.254.169.254",
	} {
		name := fmt.Sprintf("cloud%d.test", i)
		if i == 0 {
			name = "metadata.google.internal"
		}
		w.names.addrs[name+"."] = addr
		host := addr
		if strings.Contains(addr, ":") {
			host = "[" + addr + "]"
		}
		for _, host := range []string{name, host} {
			res := try(w.absolute().Get("http://" + host + "/latest/meta-data"))(t)
			if e := reason(t, res); res.StatusCode != 403 || e.Code != "egress_refused" || !strings.Contains(e.Message, "metadata") {
				t.Errorf("%s: %s %+v", host, res.Status, e)
			}
			conn := w.tunnel(byToken, host+":80")
			if res := raw(t, conn, "GET / HTTP/1.1\r\nHost: "+host+"\r\n\r\n"); res.StatusCode != 403 {
				t.Errorf("%s in a tunnel: %s", host, res.Status)
			}
		}
		// As the address of a service, whoever lets such a file in.
		service := policy.Service{Name: "cloud", Host: "cloud.test", Port: 80, Auth: policy.Auth{Type: policy.Passthrough},
			Upstream: policy.Upstream{Address: netip.AddrPortFrom(netip.MustParseAddr(addr), 80)}}
		if w.vault.SetServices(t.Context(), vault.Owner(), []policy.Service{service}) == nil {
			res := try(w.absolute().Get("http://cloud.test/"))(t)
			if body := read(t, res); res.StatusCode != 403 {
				t.Errorf("%s as upstream.address: %s %s", addr, res.Status, body)
			}
		}
		must(t, w.vault.SetServices(t.Context(), vault.Owner(), nil))
	}
	if len(w.names.dialled) != 0 {
		t.Errorf("dialled %s", w.names.dialled)
	}
	// Control: a neighbour in a granted network is dialled.
	plain := newPlain(t, func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "reached") })
	w.names.leads("near.test", "169.254.169.253", 80, plain)
	for _, host := range []string{"near.test", "169.254.169.253"} {
		if got := read(t, try(w.absolute().Get("http://"+host+"/"))(t)); got != "reached" {
			t.Errorf("control: %s: %s", host, got)
		}
	}
}

// Two readers of one URL may find two hosts in it. What is judged is what is dialled, and
// what the upstream is told.
func TestURLThatShowsOneHostAndMeansAnotherReachesNeither(t *testing.T) {
	w := newWorld(t, setup{allow: []string{"good.test:80"}})
	evil := newPlain(t, func(http.ResponseWriter, *http.Request) { t.Error("the other host was reached") })
	good := newPlain(t, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.Host, r.RequestURI) })
	w.names.leads("evil.test", "8.8.4.4", 80, evil)
	w.names.leads("good.test", "8.8.8.8", 80, good)
	for _, c := range []struct{ target, host, want string }{
		{"http://good.test@evil.test/", "evil.test", ""},
		{"http://good.test:80@evil.test/", "evil.test", ""},
		{"http://evil.test@good.test/", "good.test", ""}, // a user name, and so no request
		{`http://evil.test\@good.test/`, "good.test", ""},
		{`http://good.test\.evil.test/`, "evil.test", ""},
		{`http:\\evil.test/`, "good.test", ""},
		{"http://evil.test#@good.test/", "good.test", ""},
		{"http://evil.test?@good.test/", "evil.test", ""},
		{"http://good.test%2eevil.test/", "good.test", ""},
		{"http://good.test%00.evil.test/", "good.test", ""},
		{"http://good.test%23.evil.test/", "good.test", ""},
		{"http://[good.test]/", "good.test", ""},
		{"http:/evil.test/", "good.test", ""},
		{"http:evil.test/", "good.test", ""},
		{"//evil.test/", "good.test", ""},
		{"/", "good.test", ""},
		{"http://good.test/", "evil.test", "good.test/ or nothing"},
		{"http://evil.test/", "good.test", ""},
		{"http://good.test/@evil.test", "good.test", "good.test/@evil.test"}, // controls
		{"http://GOOD.test.:80/x", "GOOD.test.:80", "good.test/x"},
	} {
		t.Run(c.target+" for "+c.host, func(t *testing.T) {
			conn := w.dial(byToken)
			defer conn.Close()
			res := raw(t, conn, "GET "+c.target+" HTTP/1.1\r\nHost: "+c.host+"\r\nProxy-Authorization: "+w.basic()+"\r\n\r\n")
			got := string(try(io.ReadAll(res.Body))(t))
			want, orNothing := strings.CutSuffix(c.want, " or nothing")
			if refused := res.StatusCode == 400 || res.StatusCode == 403; refused != (want == "") && !(refused && orNothing) || !refused && got != want {
				t.Errorf("%s %s", res.Status, got)
			}
		})
	}
	for _, touched := range w.names.touched() {
		if strings.Contains(touched, "evil") || strings.Contains(touched, "8.8.4.4") {
			t.Errorf("the proxy asked for or went to %s", touched)
		}
	}
}

// The client follows a redirect by itself, and that is a request as any other.
func TestSecondHopOfARedirectIsJudgedLikeTheFirst(t *testing.T) {
	next := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) { fmt.Fprint(rw, r.Header["Authorization"]) }, "next.test")
	to := "evil.test"
	up := newUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
		http.Redirect(rw, r, "https://"+to+"/", http.StatusFound)
	}, apiHost)
	w := newWorld(t, setup{services: services(up.bearer(apiHost), next.passthrough("next", "next.test"))})
	client := w.client(byToken)
	client.CheckRedirect = nil
	if res, err := client.Get("https://" + apiHost + "/"); err == nil {
		t.Errorf("the denied host answers %s", res.Status)
	} else if !strings.Contains(err.Error(), "403") {
		t.Error(err)
	}
	for _, touched := range w.names.touched() {
		if strings.Contains(touched, "evil") {
			t.Errorf("the proxy asked for %s", touched)
		}
	}
	// Control: an allowed one is reached, without the first one's credential.
	to = "next.test"
	if got := read(t, try(client.Get("https://"+apiHost+"/"))(t)); got != "[]" {
		t.Errorf("control: the next host saw %s", got)
	}
}
