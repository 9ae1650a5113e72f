package proxy

import (
	"fmt"
	"net/http"
	"strconv"

	"github.com/av-project/av/vault/policy"
)

// refusal is why the proxy did not carry a request, as its client reads it.
type refusal struct {
	status  int
	code    string
	message string
	hint    string
	rule    string
	// retryAfter is in how many seconds it may be tried again, 0 if that is not known.
	retryAfter int
	// ours is set when av said no, and not the network or the upstream.
	ours bool
}

// errorHeader carries the code, for clients that show headers and hide bodies.
const errorHeader = "Av-Error"

// write answers with f. A gRPC client gets a 200 with f's status in it.
func (f refusal) write(w http.ResponseWriter, a answer) {
	h := w.Header()
	clear(h) // an upstream's header may have been copied already
	h.Set(errorHeader, f.code)
	if a.form == inGRPC {
		f.writeGRPC(w)
		return
	}
	kind, body := f.body(a.form)
	h.Set("Content-Type", kind)
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("X-Content-Type-Options", "nosniff")
	if f.status == http.StatusProxyAuthRequired {
		h.Set("Proxy-Authenticate", `Basic realm="av"`)
	}
	if f.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(f.retryAfter))
	}
	w.WriteHeader(f.status)
	if !a.head {
		_, _ = w.Write(body) // the client may be gone
	}
}

// denied does not repeat the method and the path: the client knows them.
func denied(t policy.Target, set *policy.Set, v policy.Verdict) refusal {
	f := refusal{
		status: http.StatusForbidden, code: "denied", ours: true,
		message: fmt.Sprintf("policy does not let this run reach %s", t),
		hint:    v.Hint, rule: v.Rule,
	}
	switch {
	case set.Reach(t).Allow:
		f.message = fmt.Sprintf("policy does not let this run use that method and path of %s", t)
	case policy.OnHost(t.Host):
		f.message = fmt.Sprintf("this run was given no host service %s, and a name in .host is nothing else: it is not looked up", t)
	}
	return f
}

// otherMethod and otherPath do not repeat what the header says, as denied does not.
func otherMethod(header string, v policy.Verdict) refusal {
	return refusal{
		status: http.StatusForbidden, code: "overridden", ours: true, rule: v.Rule,
		message: fmt.Sprintf("the header %s names a method for which policy has another answer", header),
		hint:    "send the method as the request's own",
	}
}

func otherPath(header string, v policy.Verdict) refusal {
	return refusal{
		status: http.StatusForbidden, code: "overridden", ours: true, rule: v.Rule,
		message: fmt.Sprintf("the header %s may lead elsewhere than the path that was judged", header),
		hint:    "leave it out, and send the path as the request's own",
	}
}

func noSession(message string) refusal {
	return refusal{status: http.StatusProxyAuthRequired, code: "no_session", ours: true, message: message}
}

func sessionEnded() refusal {
	return refusal{status: http.StatusForbidden, code: "session_ended", ours: true, message: "the session has ended"}
}

func badRequest(code, message string) refusal {
	return refusal{status: http.StatusBadRequest, code: code, ours: true, message: message}
}

// misdirected names no host but the tunnel's: what the client wrote is its own.
func misdirected(t policy.Target) refusal {
	return refusal{
		status: http.StatusMisdirectedRequest, code: "misdirected", ours: true,
		message: fmt.Sprintf("the request is for another host than its tunnel to %s", t),
	}
}
