package policy

import (
	"slices"
	"strings"
)

// known are the methods of IANA's register that a client may send through a proxy: all but
// CONNECT, which is for proxies themselves, and TRACE, which would hand a credential back.
var known = set("GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "QUERY",
	"ACL", "BASELINE-CONTROL", "BIND", "CHECKIN", "CHECKOUT", "COPY", "LABEL", "LINK", "LOCK", "MERGE", "MKACTIVITY",
	"MKCALENDAR", "MKCOL", "MKREDIRECTREF", "MKWORKSPACE", "MOVE", "ORDERPATCH", "PROPFIND", "PROPPATCH", "REBIND",
	"REPORT", "SEARCH", "UNBIND", "UNCHECKOUT", "UNLINK", "UNLOCK", "UPDATE", "UPDATEREDIRECTREF", "VERSION-CONTROL")

// methods reads `methods`, in either case. An empty list would match nothing, or, to who
// reads it as "not set", everything.
func (m mapping) methods() ([]string, error) {
	list, err := m.list("methods")
	if list == nil || err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, m.errorf(m.at("methods"), "leave it out if all methods are meant", "methods is an empty list")
	}
	var methods []string
	for _, n := range list {
		s, err := m.text(n, "a method")
		if err != nil {
			return nil, err
		}
		method := strings.ToUpper(s)
		if !known[method] {
			return nil, m.errorf(n, "write GET, HEAD, POST, PUT, PATCH, DELETE or OPTIONS, or a method of WebDAV", "unknown method %s", short(s))
		}
		if slices.Contains(methods, method) {
			return nil, m.errorf(n, "keep one of them", "method %s stands twice", method)
		}
		methods = append(methods, method)
	}
	slices.Sort(methods)
	return methods, nil
}
