package policy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/av-project/av/vault/policy"
)

// shop is a file with every way in which services can compete.
func shop(t testing.TB) []policy.Service {
	t.Helper()
	const src = `services:
  - {name: any-sub, host: "*.shop.test", auth: {type: passthrough}}
  - {name: sub-v2, host: "*.shop.test/v2/*", auth: {type: passthrough}}
  - {name: api-v1, host: api.shop.test/v1/*, auth: {type: passthrough}}
  - {name: api-orders, host: api.shop.test/v1/orders/*, methods: [GET, HEAD], auth: {type: bearer, token: ORDERS}}
  - {name: api-json, host: "api.shop.test/v1/*.json", auth: {type: passthrough}}
  - {name: api-txt, host: "api.shop.test/v1/*.txt", auth: {type: passthrough}}
  - {name: api-cart, host: api.shop.test/v1/cart, auth: {type: passthrough}}
  - {name: other-port, host: "api.shop.test:8443", methods: [POST], auth: {type: passthrough}}
  - {name: sub-port, host: "*.shop.test:8443", auth: {type: passthrough}}
  - {name: off, host: off.test, enabled: false, auth: {type: bearer, token: OFF}}
  - {name: read, host: read.test, methods: [GET], auth: {type: passthrough}}
  - {name: write, host: read.test, methods: [POST, PUT], auth: {type: passthrough}}
`
	services, err := policy.Parse("f", []byte(src), noFiles)
	if err != nil {
		t.Fatal(err)
	}
	return services
}

func TestBestMatchDecides(t *testing.T) {
	allow := []policy.Target{{Host: "api.shop.test", Port: 443}, {Host: "read.test", Port: 443}, {Host: "docs.test", Port: 443}}
	for _, c := range []struct{ request, service string }{
		{"GET api.shop.test:443/v1/x", "api-v1"},
		{"GET api.shop.test:443/v1/orders/7", "api-orders"},
		{"POST api.shop.test:443/v1/orders/7", "api-v1"}, // the narrower one has other methods
		{"GET api.shop.test:443/v1/x.json", "api-v1"},    // as long a prefix, and earlier
		{"GET api.shop.test:443/v1/cart", "api-cart"},
		{"GET api.shop.test:443/v1/cart/x", "api-v1"},
		{"GET api.shop.test:443/v2/x", "sub-v2"}, // no exact one has the path
		{"GET api.shop.test:443/x", "any-sub"},
		{"GET www.shop.test:443/x", "any-sub"},
		{"GET www.shop.test:443/v1/orders/7", "any-sub"},
		{"GET www.shop.test:443/v2/x", "sub-v2"},
		{"POST api.shop.test:8443/v1/x", "other-port"},
		{"GET api.shop.test:8443/v1/x", "sub-port"},
		{"GET read.test:443/", "read"},
		{"PUT read.test:443/", "write"},
		{"DELETE read.test:443/", "-service read"},
		{"get read.test:443/", "-service read"}, // methods have capitals
		{" read.test:443/", "-service read"},
		{"GET shop.test:443/", "?"},
		{"GET a.b.shop.test:443/", "?"},
		{"GET api.shop.test:80/v1/x", "?"},
		{"GET off.test:443/", "?"},
		{"DELETE docs.test:443/", "+allow docs.test:443"},
	} {
		method, rest, _ := strings.Cut(c.request, " ")
		host, path, _ := strings.Cut(rest, "/")
		target, err := policy.ParseTarget(host, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, unmatched := range []policy.Unmatched{policy.Deny, policy.Allow} {
			set, err := policy.Compile(shop(t), allow, unmatched)
			if err != nil {
				t.Fatal(err)
			}
			v := set.Decide(target, method, "/"+path)
			want := policy.Verdict{Allow: true, Service: v.Service, Rule: "service " + c.service}
			name := c.service
			switch c.service[0] {
			case '?':
				want = policy.Verdict{Allow: unmatched == policy.Allow, Rule: "unmatched " + string(unmatched)}
				if !want.Allow {
					want.Hint = policy.AllowHint(target)
				}
			case '-', '+':
				want = policy.Verdict{Allow: c.service[0] == '+', Rule: c.service[1:], Hint: v.Hint}
			}
			if want.Allow && want.Service != nil && v.Service.Name != name || v != want {
				t.Errorf("%s, unmatched %s: %+v, want %s", c.request, unmatched, v, c.service)
			}
		}
	}
}

func TestOrderOfTheFileDecidesAmongEquals(t *testing.T) {
	for range 20 { // maps are walked in another order each time
		services := []policy.Service{bearer("json", "a.test", "/v1/*.json", "A"), bearer("all", "a.test", "/v1/*", "B"),
			bearer("mid", "a.test", "/v1/*x*", "C"), bearer("txt", "a.test", "/v1/*.txt", "D")}
		for i := range services {
			first := services[i].Name
			set := compiled(t, slices.Concat(services[i:], services[:i])...)
			for path, of := range map[string]string{"/v1/x.json": "json all mid", "/v1/x.txt": "all mid txt", "/v1/y": "all"} {
				want := first
				for _, s := range slices.Concat(services[i:], services[:i]) {
					if strings.Contains(of, s.Name) {
						want = s.Name
						break
					}
				}
				if v := set.Decide(web, "GET", path); !v.Allow || v.Service.Name != want {
					t.Fatalf("%s with %s first: %+v, want %s", path, first, v, want)
				}
			}
		}
	}
}

func TestDenialSaysWhatIsCovered(t *testing.T) {
	set := compiled(t, shop(t)...)
	for request, want := range map[string]string{
		"DELETE read.test /":                "service read covers GET read.test:443; others cover more of this host: `av service list` shows them",
		"POST api.other.test /":             "av run --allow api.other.test ...",
		"GET off.test /":                    "av run --allow off.test ...",
		"DELETE only.test /x/y":             "service a covers GET, PUT only.test:443/x/*",
		"GET only.test /y":                  "service a covers GET, PUT only.test:443/x/*",
		"GET only.test:443 /x/%2e%2e/admin": "servers read this path in more than one way, and the services of only.test:443 depend on it: send it without %2e, %2f, ;, \\, // and dots",
	} {
		at := strings.Fields(request)
		target, err := policy.ParseTarget(at[1], 443)
		if err != nil {
			t.Fatal(err)
		}
		in := set
		if target.Host == "only.test" {
			in = compiled(t, policy.Service{Name: "a", Host: "only.test", Path: "/x/*", Methods: []string{"GET", "PUT"},
				Auth: policy.Auth{Type: policy.Passthrough}})
		}
		if v := in.Decide(target, at[0], at[2]); v.Allow || v.Hint != want {
			t.Errorf("%s: %+v", request, v)
		}
	}
}

func TestTunnelIsOpenedWhereverSomeRequestCouldBeAllowed(t *testing.T) {
	set := compiled(t, shop(t)...)
	for host, want := range map[string]string{
		"api.shop.test": "service api-v1", "www.shop.test": "service any-sub", "read.test": "service read",
		"off.test": "unmatched deny", "shop.test": "unmatched deny", "x.www.shop.test": "unmatched deny",
	} {
		if v := set.Reach(policy.Target{Host: host, Port: 443}); v.Rule != want || v.Allow != strings.HasPrefix(want, "service") {
			t.Errorf("%s: %+v", host, v)
		}
	}
}

func TestServiceThatIsNotEnabledNeedsNoCredential(t *testing.T) {
	set := compiled(t, shop(t)...)
	if !set.Uses("ORDERS") || set.Uses("OFF") {
		t.Error("wrong keys")
	}
	// It may be what another is: one of the two is on at a time.
	a, b := bearer("a", "a.test", "", "A"), bearer("b", "a.test", "", "B")
	a.Disabled = true
	if v := compiled(t, a, b).Decide(web, "GET", "/"); v.Service == nil || v.Service.Name != "b" {
		t.Errorf("%+v", v)
	}
}

func TestServiceThatParseWouldRefuseDoesNotCompile(t *testing.T) {
	for name, spoil := range map[string]func(*policy.Service){
		"host not canonical":    func(s *policy.Service) { s.Host = "A.test" },
		"wildcard of a suffix":  func(s *policy.Service) { s.Host = "*.com" },
		"wildcard of tenants":   func(s *policy.Service) { s.Host = "*.atlassian.net" },
		"wildcard of addresses": func(s *policy.Service) { s.Host = "*.0.0.1" },
		"everything":            func(s *policy.Service) { s.Host = "*" },
		"a port in the host":    func(s *policy.Service) { s.Host = "a.test:80" },
		"a path in the host":    func(s *policy.Service) { s.Host = "a.test/x" },
		"path not canonical":    func(s *policy.Service) { s.Path = "/%2f" },
		"path of dots":          func(s *policy.Service) { s.Path = "/a/../b" },
		"path without slash":    func(s *policy.Service) { s.Path = "x" },
		"method in lower case":  func(s *policy.Service) { s.Methods = []string{"get"} },
		"methods out of order":  func(s *policy.Service) { s.Methods = []string{"POST", "GET"} },
		"method twice":          func(s *policy.Service) { s.Methods = []string{"GET", "GET"} },
		"method for proxies":    func(s *policy.Service) { s.Methods = []string{"CONNECT"} },
	} {
		s := bearer("a", "a.test", "", "KEY")
		if err := compileError([]policy.Service{s}, nil, policy.Deny); err != nil {
			t.Fatal(err) // the control
		}
		spoil(&s)
		if err := compileError([]policy.Service{s}, nil, policy.Deny); err == nil {
			t.Errorf("%s: compiled", name)
		}
		if err := policy.Validate([]policy.Service{s}); err == nil {
			t.Errorf("%s: valid", name)
		}
	}
}

func TestExplanationSaysWhatBecameOfEveryService(t *testing.T) {
	off := bearer("off", "a.test", "", "OFF")
	off.Disabled = true
	read := bearer("read", "a.test", "", "READ")
	read.Methods = []string{"GET", "HEAD"}
	port := bearer("port", "a.test", "", "P")
	port.Port = 80
	set := compiled(t, read, off, bearer("api", "a.test", "/api/*", "API"), bearer("wild", "*.test.example", "", "W"),
		bearer("admin", "a.test", "/api/admin/*", "ADMIN"), port)
	for _, c := range []struct {
		method, path string
		want         []string
	}{
		{"GET", "/api/x", []string{"read true service api matches better", "off false it is disabled", "api true it is the best match",
			"admin false it covers /api/admin/*"}},
		{"POST", "/x", []string{"read false it covers GET, HEAD", "off false it is disabled", "api false it covers /api/*",
			"admin false it covers /api/admin/*"}},
		{"GET", "/api/admin/../x", []string{"read true it covers the path, and in some readings another service does", "off false it is disabled",
			"api true it covers the path, and in some readings another service does", "admin false the path is within /api/admin/* in some readings only"}},
		{"GET", "/%ff", []string{"read false the path cannot be read in one way", "off false it is disabled",
			"api false the path cannot be read in one way", "admin false the path cannot be read in one way"}},
	} {
		e := set.Explain(web, c.method, c.path)
		var got []string
		for _, c := range e.Candidates {
			got = append(got, fmt.Sprint(c.Service.Name, " ", c.Matches, " ", c.Why))
		}
		if diff := cmp.Diff(c.want, got); diff != "" || e.Verdict != set.Decide(web, c.method, c.path) {
			t.Errorf("%s %s: %+v\n%s", c.method, c.path, e.Verdict, diff)
		}
	}
	if e := set.Explain(policy.Target{Host: "else.test", Port: 443}, "GET", "/"); len(e.Candidates) != 0 || e.Verdict.Rule != policy.RuleUnmatchedDeny {
		t.Errorf("%+v", e)
	}
}
