package proxy

import (
	"encoding/json"
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
	// ours is set when av said no, and not the network or the upstream.
	ours bool
}

// errorHeader carries the code, for clients that show headers and hide bodies.
const errorHeader = "Av-Error"

func (f refusal) write(w http.ResponseWriter) {
	type detail struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
		Rule    string `json:"rule,omitempty"`
	}
	body, err := json.Marshal(map[string]detail{"error": {f.code, f.message, f.hint, f.rule}})
	if err != nil {
		panic(err) // four strings always marshal
	}
	body = append(body, '\n')
	h := w.Header()
	clear(h) // an upstream's header may have been copied already
	h.Set("Content-Type", "application/json")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set(errorHeader, f.code)
	if f.status == http.StatusProxyAuthRequired {
		h.Set("Proxy-Authenticate", `Basic realm="av"`)
	}
	w.WriteHeader(f.status)
	_, _ = w.Write(body) // the client may be gone
}

func denied(t policy.Target, v policy.Verdict) refusal {
	return refusal{
		status: http.StatusForbidden, code: "denied", ours: true,
		message: fmt.Sprintf("policy does not let this run reach %s", t),
		hint:    v.Hint, rule: v.Rule,
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

func plainCredential(service string) refusal {
	return refusal{
		status: http.StatusForbidden, code: "plain_http", ours: true,
		message: fmt.Sprintf("service %s has a credential, which goes over TLS only", service),
		hint:    "use https",
	}
}

func traceRefused(service string) refusal {
	return refusal{
		status: http.StatusMethodNotAllowed, code: "trace_refused", ours: true,
		message: fmt.Sprintf("TRACE would send the credential of service %s back", service),
	}
}

func missingCredential(service, key string) refusal {
	return refusal{
		status: http.StatusBadGateway, code: "missing_credential", ours: true,
		message: fmt.Sprintf("service %s needs the credential %s, which is not in the vault", service, key),
		hint:    "av credential set " + key,
	}
}

// unfitCredential says what to do otherwise: storing the same bytes again is no help.
func unfitCredential(service, key string) refusal {
	return refusal{
		status: http.StatusBadGateway, code: "unusable_credential", ours: true,
		message: fmt.Sprintf("service %s needs the credential %s, which holds a byte that no header can carry, such as a line break", service, key),
		hint:    fmt.Sprintf(`store it as one line: printf %%s "$VALUE" | tr -d '\r\n' | av credential set %s`, key),
	}
}

func unusableCredential(service, key string) refusal {
	return refusal{
		status: http.StatusBadGateway, code: "unusable_credential", ours: true,
		message: fmt.Sprintf("service %s needs the credential %s, which cannot be read from the vault", service, key),
		hint:    "av credential set " + key,
	}
}

func unknownAuth(service string, auth policy.AuthType) refusal {
	return refusal{
		status: http.StatusBadGateway, code: "unknown_auth", ours: true,
		message: fmt.Sprintf("service %s has auth type %q, which this version of av does not know", service, auth),
		hint:    "update av",
	}
}
