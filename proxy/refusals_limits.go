package proxy

import (
	"fmt"
	"math"
	"net/http"
	"time"

	"github.com/av-project/av/vault/policy"
)

// The refusals of a session that has as much of the proxy as it may.

func tooManyConnections(n int) refusal {
	return refusal{
		status: http.StatusTooManyRequests, code: "too_many_connections", ours: true,
		message: fmt.Sprintf("this session has %d connections to the proxy, as many as it may", n),
		hint:    "close some, or open the session with a higher --limit connections",
	}
}

func tooManyRequests(n int) refusal {
	return refusal{
		status: http.StatusTooManyRequests, code: "too_many_requests", ours: true,
		message: fmt.Sprintf("this session has %d requests under way, as many as it may", n),
		hint:    "wait for some, or open the session with a higher --limit requests",
	}
}

func rateLimited(e *tooFastError) refusal {
	return refusal{
		status: http.StatusTooManyRequests, code: "rate_limited", ours: true, retryAfter: e.seconds(),
		message: fmt.Sprintf("this session sends more than its %d requests a second", e.perSecond),
		hint:    "send fewer, or open the session with a higher --limit rate",
	}
}

func credentialRateLimited(service, key string, e *tooFastError) refusal {
	return refusal{
		status: http.StatusTooManyRequests, code: "credential_rate_limited", ours: true, retryAfter: e.seconds(),
		message: fmt.Sprintf("service %s needs the credential %s, which this session uses more than its %d times a second", service, key, e.perSecond),
		hint:    "send fewer, or open the session with a higher --limit credential_rate",
	}
}

func (e *tooFastError) seconds() int { return int(math.Ceil(e.after.Seconds())) }

func tooManyHeaders(n int) refusal {
	return refusal{
		status: http.StatusRequestHeaderFieldsTooLarge, code: "too_many_headers", ours: true,
		message: fmt.Sprintf("the request has %d header fields, more than %d", n, maxHeaders),
	}
}

func requestTooLarge(limit int64) refusal {
	return refusal{
		status: http.StatusRequestEntityTooLarge, code: "body_too_large", ours: true,
		message: "the body is larger than the " + policy.FormatSize(limit) + " that a request of this session may have",
		hint:    "open the session with a higher --limit max_body",
	}
}

func budgetSpent(b *budget) refusal {
	return refusal{
		status: http.StatusForbidden, code: "budget_spent", ours: true,
		message: fmt.Sprintf("of the %s that may go out from %s, too little is left for it", policy.FormatSize(b.limit), b.of),
		hint:    "who opens the session can raise " + b.raise,
	}
}

// stoodStill is not ours: somebody did not go on.
func stoodStill(limit time.Duration) refusal {
	return refusal{
		status: http.StatusGatewayTimeout, code: "idle",
		message: fmt.Sprintf("cut off: no byte went either way for %v", limit),
		hint:    "open the session with a higher --limit idle",
	}
}

func tookTooLong(limit time.Duration) refusal {
	return refusal{
		status: http.StatusGatewayTimeout, code: "too_long", ours: true,
		message: fmt.Sprintf("cut off: it took longer than the %v that a request of this session may", limit),
		hint:    "open the session with a higher --limit total",
	}
}
