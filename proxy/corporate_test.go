package proxy

import (
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/av-project/av/proxy/egress"
	"github.com/av-project/av/vault/policy"
)

const corporatePassword = "c0rp-s3cret"

// corporate is the proxy of a network: it wants a password, and knows where names lead.
type corporate struct {
	*httptest.Server
	mu    sync.Mutex
	leads map[string]string
	asked []string
}

func newCorporate(t *testing.T, leads map[string]string) *corporate {
	c := &corporate{leads: leads}
	var tunnels sync.WaitGroup
	c.Server = httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		c.mu.Lock()
		c.asked = append(c.asked, r.Method+" "+r.RequestURI)
		c.mu.Unlock()
		r.Header.Set("Authorization", r.Header.Get("Proxy-Authorization"))
		if _, password, _ := r.BasicAuth(); password != corporatePassword {
			http.Error(rw, corporatePassword, http.StatusProxyAuthRequired)
			return
		}
		far, err := net.Dial("tcp", c.leads[r.RequestURI])
		if c.leads[r.RequestURI] == "" || err != nil {
			http.Error(rw, corporatePassword, http.StatusServiceUnavailable)
			return
		}
		near, _, err := http.NewResponseController(rw).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		fmt.Fprint(near, "HTTP/1.1 200 OK\r\n\r\n")
		tunnels.Go(func() { _, _ = io.Copy(far, near); far.Close() })
		tunnels.Go(func() { _, _ = io.Copy(near, far); near.Close() })
	}))
	t.Cleanup(func() { c.Close(); tunnels.Wait() })
	return c
}

func (c *corporate) addr() string { return c.Listener.Addr().String() }

func (c *corporate) was() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return append([]string(nil), c.asked...)
}

// through is what makes a world go through the proxy at addr.
func through(t *testing.T, addr, password string, options ...egress.Option) []egress.Option {
	t.Helper()
	return append(options, egress.Through(try(egress.NewProxy("http://agent:"+password+"@"+addr, "", nil))(t)))
}

func TestCredentialReachesItsHostThroughACorporateProxy(t *testing.T) {
	for _, protocol := range []string{"HTTP/1.1", "HTTP/2.0"} {
		t.Run(protocol, func(t *testing.T) {
			up := startUpstream(t, func(rw http.ResponseWriter, r *http.Request) {
				fmt.Fprint(rw, r.Proto, " ", r.Header.Get("Authorization"), r.Header["Proxy-Authorization"])
			}, protocol == "HTTP/2.0", apiHost)
			service := up.bearer(apiHost)
			service.Upstream.Address = netip.AddrPort{} // the CA alone is no way around the proxy
			c := newCorporate(t, map[string]string{apiHost + ":443": up.Listener.Addr().String()})
			w := newWorld(t, setup{services: services(service), egress: through(t, c.addr(), corporatePassword)})
			if got := read(t, try(w.client(byToken).Get("https://"+apiHost+"/"))(t)); got != protocol+" Bearer "+secret+"[]" {
				t.Errorf("the upstream saw %s", got)
			}
			if conn, res := w.connect(byToken, "denied.test:443"); conn != nil || res.StatusCode != 403 {
				t.Errorf("a denied host: %s", res.Status)
			}
			if asked := c.was(); !slices.Equal(asked, []string{"CONNECT " + apiHost + ":443"}) {
				t.Errorf("the proxy was asked for %q", asked)
			}
			// Of what came in the meantime, one record is the vendor's.
			for _, e := range w.records() {
				if e.Host == apiHost && e.Method == "GET" && (e.Upstream != c.addr() || !slices.Equal(e.Keys, []string{"VENDOR_TOKEN"})) {
					t.Errorf("record %+v", e)
				}
			}
		})
	}
}

func TestPlainRequestGoesThroughTheCorporateProxyInATunnelToo(t *testing.T) {
	var seen http.Header
	addr := newPlain(t, func(_ http.ResponseWriter, r *http.Request) { seen = r.Header.Clone() })
	c := newCorporate(t, map[string]string{"plain.test:80": addr.String()})
	w := newWorld(t, setup{allow: []string{"plain.test:80"}, egress: through(t, c.addr(), corporatePassword)})
	res := try(w.absolute().Get("http://plain.test/"))(t)
	if body := read(t, res); res.StatusCode != 200 {
		t.Fatalf("%s %s", res.Status, body)
	}
	if asked := c.was(); !slices.Equal(asked, []string{"CONNECT plain.test:80"}) {
		t.Errorf("the proxy was asked for %q", asked)
	}
	if seen.Get("Proxy-Authorization") != "" {
		t.Error("the proxy's password reached the upstream")
	}
}

func TestGrantedAddressGoesAroundTheCorporateProxy(t *testing.T) {
	up := newUpstream(t, func(rw http.ResponseWriter, _ *http.Request) { fmt.Fprint(rw, "inside") }, apiHost, "inside.test")
	c := newCorporate(t, nil)
	ranges := try(egress.ParseRanges("10.1.0.0/16"))(t)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(up.ca))
	w := newWorld(t, setup{
		services: services(up.bearer(apiHost)), allow: []string{"inside.test", "far.test"}, roots: roots,
		egress: through(t, c.addr(), corporatePassword, egress.Allow(ranges)),
	})
	w.names.leads("inside.test", "10.1.2.3", 443, up.Listener.Addr())
	for _, host := range []string{apiHost, "inside.test"} {
		if got := read(t, try(w.client(byToken).Get("https://"+host+"/"))(t)); got != "inside" {
			t.Errorf("%s: %s", host, got)
		}
	}
	if asked := c.was(); len(asked) != 0 {
		t.Errorf("the proxy was asked for %q", asked)
	}
	if res := try(w.client(byToken).Get("https://far.test/"))(t); reason(t, res).Code != "upstream_proxy_failed" || len(c.was()) != 1 {
		t.Errorf("control: %s after %q", res.Status, c.was())
	}
}

func TestCorporateProxyThatFailsIsExplained(t *testing.T) {
	closed := try(net.Listen("tcp", "127.0.0.1:0"))(t)
	down := closed.Addr().String()
	closed.Close()
	c := newCorporate(t, nil)
	for _, fault := range []struct{ name, addr, password, want string }{
		{"wrong password", c.addr(), "wr0ng-s3cret", "it does not accept the user and password (407)"},
		{"down", down, corporatePassword, "it refuses connections"},
		{"unknown host", c.addr(), corporatePassword, "it answers 503"},
	} {
		t.Run(fault.name, func(t *testing.T) {
			w := newWorld(t, setup{allow: []string{"far.test"}, egress: through(t, fault.addr, fault.password)})
			res := try(w.client(byToken).Get("https://far.test/"))(t)
			e := reason(t, res)
			want := "the upstream proxy http://" + fault.addr + " does not connect to far.test:443: " + fault.want
			if res.StatusCode != 502 || e.Code != "upstream_proxy_failed" || e.Message != want {
				t.Errorf("%s %+v, want %s", res.Status, e, want)
			}
			entries := w.records()
			for where, text := range map[string]string{"the answer": fmt.Sprint(e), "the record": fmt.Sprint(entries), "the log": w.logs.String()} {
				if strings.Contains(text, "s3cret") {
					t.Errorf("a password is in %s: %s", where, text)
				}
			}
		})
	}
}

// Behind a proxy nothing is dialled by us, but what is refused stays refused.
func TestCorporateProxyIsNotAskedForAPrivateAddress(t *testing.T) {
	c := newCorporate(t, nil)
	w := newWorld(t, setup{unmatched: policy.Allow, egress: through(t, c.addr(), corporatePassword)})
	w.names.leads("rebound.test", "10.0.0.1", 80, c.Listener.Addr())
	for _, host := range []string{"rebound.test", "169.254.169.254", "[::ffff:10.0.0.1]", "metadata.google.internal", "intranet"} {
		res := try(w.absolute().Get("http://" + host + "/"))(t)
		if e := reason(t, res); res.StatusCode != 403 || e.Code != "egress_refused" {
			t.Errorf("%s: %s %+v", host, res.Status, e)
		}
	}
	if asked := c.was(); len(asked) != 0 {
		t.Errorf("the proxy was asked for %q", asked)
	}
	if res := try(w.absolute().Get("http://far.test/"))(t); reason(t, res).Code != "upstream_proxy_failed" || len(c.was()) != 1 {
		t.Errorf("control: %s after %q", res.Status, c.was())
	}
}
