package proxy

import (
	"net/http"
	"net/url"
	"strings"

	"github.com/av-project/av/proxy/inject"
	"github.com/av-project/av/proxy/match"
	"github.com/av-project/av/vault/policy"
)

// Some servers take a request for another one than its first line says, if a header
// tells them to: a GET that is a DELETE, a path that is another. The first line is what
// was judged, so these are judged by it too. What a query or a form says (_method) is
// for the upstream's programs alone, and nobody else can tell what it means to them.
var (
	methodHeaders = []inject.Slot{
		{Header: "X-HTTP-Method-Override"}, {Header: "X-HTTP-Method"}, {Header: "X-Method-Override"}, {Header: "X-Method"},
		{Header: "X-Original-Method"}, {Header: "X-Forwarded-Method"},
	}
	pathHeaders = []inject.Slot{
		{Header: "X-Original-URL"}, {Header: "X-Original-URI"}, {Header: "X-Original-Path"}, {Header: "X-Envoy-Original-Path"},
		{Header: "X-Rewrite-URL"}, {Header: "X-Rewrite-URI"}, {Header: "X-Rewrite-Path"}, {Header: "X-Override-URL"},
		{Header: "X-Forwarded-URI"}, {Header: "X-Forwarded-Path"}, {Header: "X-Forwarded-Prefix"}, {Header: "X-Script-Name"},
	}
	destination = inject.Slot{Header: "Destination"} // of WebDAV's COPY and MOVE
)

// overridden is why r, which has the verdict v, may be another request to its upstream.
func overridden(r *http.Request, to route, set *policy.Set, v policy.Verdict) *refusal {
	path := r.URL.EscapedPath()
	same := func(method, path string) bool {
		other := set.Decide(to.target, method, path)
		return other.Allow && other.Service == v.Service
	}
	for _, slot := range methodHeaders {
		for _, method := range otherMethods(r.Header, slot) {
			if !same(method, path) {
				return new(otherMethod(slot.Header, v))
			}
		}
	}
	if !set.ByPath(to.target) {
		return nil
	}
	for _, slot := range pathHeaders {
		if len(slot.Values(r.Header)) > 0 {
			return new(otherPath(slot.Header, v))
		}
	}
	for _, value := range destination.Values(r.Header) {
		if path, ok := within(value, to); !ok || !same(r.Method, path) {
			return new(otherPath(destination.Header, v))
		}
	}
	return nil
}

// otherMethods are those that a header names, as who folds their case reads them.
func otherMethods(h http.Header, slot inject.Slot) (methods []string) {
	for _, value := range slot.Values(h) {
		if method := strings.ToUpper(strings.TrimSpace(value)); method != "" {
			methods = append(methods, method)
		}
	}
	return methods
}

// within is the path that value, a URL or a path, names on the target's own host.
func within(value string, to route) (path string, ok bool) {
	u, err := url.Parse(value)
	switch {
	case err != nil, u.Opaque != "", u.Scheme == "" && u.Host != "":
		return "", false
	case u.Scheme != "":
		if target, secure, err := match.Absolute(u); err != nil || target != to.target || secure != to.secure {
			return "", false
		}
	}
	settlePath(u)
	return u.EscapedPath(), true
}

// echoes tells whether r is, or may be to its upstream, a TRACE or its like, which
// sends a request back as it came. Some servers do not care for a method's case.
func echoes(r *http.Request) bool {
	methods := []string{strings.ToUpper(r.Method)}
	for _, slot := range methodHeaders {
		methods = append(methods, otherMethods(r.Header, slot)...)
	}
	for _, method := range methods {
		if method == http.MethodTrace || method == "TRACK" {
			return true
		}
	}
	return false
}

// stripOverrides is for trailers, which nobody may be steered by (RFC 9110, 6.5.1).
func stripOverrides(trailer http.Header) {
	for _, slots := range [][]inject.Slot{methodHeaders, pathHeaders, {destination}} {
		for _, slot := range slots {
			slot.Clear(trailer)
		}
	}
}
