package proxy

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"syscall"

	"github.com/av-project/av/proxy/egress"
	"github.com/av-project/av/vault/policy"
)

const codeEgressRefused = "egress_refused"

// explain says why an upstream gave no answer. It never repeats the error's own words
// where an upstream could have put some: a server that echoes the credential in a
// status line would have it in our records.
func explain(err error, t policy.Target) refusal {
	f := refusal{status: http.StatusBadGateway}
	if refused, ok := errors.AsType[*egress.Refused](err); ok {
		return refusal{
			status: http.StatusForbidden, code: codeEgressRefused, ours: true,
			message: refused.Error(), hint: refused.Hint(),
		}
	}
	// Before all others: what it wraps is about the proxy and not the target.
	if failed, ok := errors.AsType[*egress.ProxyError](err); ok {
		if isTimeout(err) {
			f.status = http.StatusGatewayTimeout
		}
		f.code, f.message, f.hint = "upstream_proxy_failed", failed.Error(), failed.Hint()
		return f
	}
	if dns, ok := errors.AsType[*net.DNSError](err); ok {
		f.code, f.message = "unresolved", fmt.Sprintf("%s cannot be resolved", t.Host)
		if dns.IsNotFound {
			f.message = fmt.Sprintf("%s does not exist", t.Host)
		}
		return f
	}
	if why, ok := untrusted(err); ok {
		f.code, f.message = "untrusted", fmt.Sprintf("the certificate of %s is not to be trusted: %s", t, why)
		f.hint = "if its CA is meant, name it as upstream.ca of a service"
		return f
	}
	op, isOp := errors.AsType[*net.OpError](err)
	_, notTLS := errors.AsType[tls.RecordHeaderError](err)
	switch {
	case isOp && op.Op == "remote error", notTLS:
		f.code, f.message = "tls_failed", fmt.Sprintf("no TLS with %s", t)
	case errors.Is(err, errUpgrade):
		f.code, f.message = "bad_upgrade", errUpgrade.Error()
	case errors.Is(err, syscall.ECONNREFUSED):
		f.code, f.message = "unreachable", fmt.Sprintf("%s refuses connections", t)
	case isTimeout(err):
		f.status = http.StatusGatewayTimeout
		f.code, f.message = "timeout", fmt.Sprintf("%s does not answer in time", t)
	case isOp && op.Op == "dial":
		f.code, f.message = "unreachable", fmt.Sprintf("%s cannot be reached", t)
	default:
		f.code, f.message = "upstream_failed", fmt.Sprintf("%s closed the connection or sent what is not HTTP", t)
	}
	return f
}

// untrusted says in our words what is wrong with a certificate.
func untrusted(err error) (why string, ok bool) {
	if _, ok := errors.AsType[x509.UnknownAuthorityError](err); ok {
		return "an unknown authority signed it", true
	}
	if _, ok := errors.AsType[x509.HostnameError](err); ok {
		return "it is for another host", true
	}
	if invalid, ok := errors.AsType[x509.CertificateInvalidError](err); ok {
		if invalid.Reason == x509.Expired {
			return "it has expired or is not valid yet", true
		}
		return "it is not valid", true
	}
	if _, ok := errors.AsType[*tls.CertificateVerificationError](err); ok {
		return "it does not verify", true
	}
	return "", false
}

func isTimeout(err error) bool {
	timeout, ok := errors.AsType[net.Error](err)
	return ok && timeout.Timeout() || errors.Is(err, os.ErrDeadlineExceeded)
}
