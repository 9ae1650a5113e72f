package proxy

import (
	"errors"
	"net/http"
	"net/url"
	"slices"

	"github.com/av-project/av/proxy/inject"
	"github.com/av-project/av/vault/policy"
)

// errLeads: with its placeholders replaced, the path is no longer the service's.
var errLeads = errors.New("the path leads elsewhere")

// substitute puts credentials where r has placeholders for them. What the record tells
// of r was taken before.
func substitute(x *exchange, r *http.Request, to route, set *policy.Set, service *policy.Service) error {
	if len(service.Substitutions) == 0 {
		return nil
	}
	// First: what is refused for one of them fetches nothing for another.
	if err := watchHead(r, service); err != nil {
		return err
	}
	on := func(s policy.Surface) []inject.Mark { return x.purse.marks(service, s) }
	if err := substitutePath(r, to, set, service, on(policy.InPath)); err != nil {
		return err
	}
	query, err := inject.Swap(r.URL.RawQuery, on(policy.InQuery), inject.Query)
	if err != nil {
		return err
	}
	r.URL.RawQuery = query
	if err := inject.Header(r.Header, on(policy.InHeader)); err != nil {
		return err
	}
	// The body is last: it holds memory until it has left.
	return to.lease.substituteBody(x, r, service, on(policy.InBody))
}

// watchHead looks for placeholders that nobody would replace.
func watchHead(r *http.Request, service *policy.Service) error {
	if err := watch(service, policy.InPath).Path(r.URL.EscapedPath()); err != nil {
		return err
	}
	if err := watch(service, policy.InQuery).Query(r.URL.RawQuery); err != nil {
		return err
	}
	return watch(service, policy.InHeader).Header(r.Header)
}

// watch is for the placeholders of service on a surface.
func watch(service *policy.Service, on policy.Surface) inject.Watch {
	w := inject.Watch{On: surfaceNames[on]}
	for _, sub := range service.Substitutions {
		if slices.Contains(sub.In, on) {
			w.Here = append(w.Here, sub.Placeholder)
		} else {
			w.Elsewhere = append(w.Elsewhere, sub.Placeholder)
		}
	}
	return w
}

// surfaceNames are the surfaces as messages have them.
var surfaceNames = map[policy.Surface]string{
	policy.InPath: "path", policy.InQuery: "query", policy.InHeader: "header", policy.InBody: "body", policy.InWebSocket: "message",
}

// substitutePath judges the path once more. The rules were made for paths without
// credentials, but it is the one with them that the upstream reads.
func substitutePath(r *http.Request, to route, set *policy.Set, service *policy.Service, marks []inject.Mark) error {
	before := r.URL.EscapedPath()
	after, err := inject.Path(before, marks)
	if err != nil || after == before {
		return err
	}
	if v := set.Decide(to.target, r.Method, after); !v.Allow || v.Service != service {
		return errLeads // and not the verdict's hint, which may repeat the path
	}
	setPath(r.URL, after)
	return nil
}

// settlePath gives u the one spelling of its path that is judged and forwarded. It is
// the client's, but for bytes that no URL has: each of those is encoded by itself.
// Left to net/url, the first of them would have the whole path decoded and encoded
// anew, and what was %2f would be a slash.
func settlePath(u *url.URL) {
	path := u.RawPath
	if path == "" {
		path = u.EscapedPath()
	}
	if path == "" {
		path = "/"
	}
	if setPath(u, path); u.EscapedPath() == path {
		return
	}
	const hex = "0123456789ABCDEF"
	var clean []byte
	for i := range len(path) {
		if c := path[i]; inPath(c) {
			clean = append(clean, c)
		} else {
			clean = append(clean, '%', hex[c>>4], hex[c&15])
		}
	}
	setPath(u, string(clean))
}

// inPath tells whether net/url lets c stand in a path as it is.
func inPath(c byte) bool {
	switch {
	case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9':
		return true
	}
	switch c {
	case '-', '_', '.', '~', '!', '$', '&', '\'', '(', ')', '*', '+', ',', ';', '=', ':', '@', '[', ']', '%', '/':
		return true
	}
	return false
}

// setPath makes path, which is escaped, what u.EscapedPath returns.
func setPath(u *url.URL, path string) {
	if decoded, err := url.PathUnescape(path); err == nil {
		u.Path, u.RawPath = decoded, path
	}
}
