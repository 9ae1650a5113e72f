package proxy

import (
	"fmt"
	"net/http"
	"strings"

	"github.com/av-project/av/proxy/inject"
	"github.com/av-project/av/vault/policy"
)

// The refusals of a service that has credentials.

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

func colonCredential(service, key string) refusal {
	return refusal{
		status: http.StatusBadGateway, code: "unusable_credential", ours: true,
		message: fmt.Sprintf("service %s needs the credential %s, which holds a colon that would end a username", service, key),
		hint:    "av credential set " + key,
	}
}

// boundCredential is the vault's refusal: whoever wrote the service, the credential
// does not go there.
func boundCredential(service, key, host string) refusal {
	return refusal{
		status: http.StatusForbidden, code: "bound_credential", ours: true,
		message: fmt.Sprintf("service %s needs the credential %s, which is bound to other hosts than %s", service, key, host),
		hint:    "`av credential list` shows them",
	}
}

// pathLeads names no path: it has a credential in it.
func pathLeads(service string) refusal {
	return refusal{
		status: http.StatusForbidden, code: "path_leads_elsewhere", ours: true,
		message: fmt.Sprintf("with its credential in place, the path would no longer be one of service %s", service),
	}
}

// unknownPlaceholder names what is declared, and not what was sent.
func unknownPlaceholder(service *policy.Service, e *inject.UnknownError) refusal {
	f := badRequest("unknown_placeholder", e.Error())
	f.hint = "write " + e.Nearest
	if e.Kind == inject.Elsewhere {
		f.hint = fmt.Sprintf("service %s has it in: %s", service.Name, placesOf(service, e.Nearest))
	}
	return f
}

// placesOf are the surfaces on which service has a placeholder.
func placesOf(service *policy.Service, placeholder string) string {
	var in []string
	for _, sub := range service.Substitutions {
		if sub.Placeholder == placeholder {
			for _, on := range sub.In {
				in = append(in, string(on))
			}
		}
	}
	return strings.Join(in, ", ")
}

func bodyTooLarge(service string) refusal {
	return refusal{
		status: http.StatusRequestEntityTooLarge, code: "body_too_large", ours: true,
		message: fmt.Sprintf("service %s has placeholders in bodies, and this one is larger than the %d MiB that are searched", service, maxSearchedBody>>20),
	}
}

func grownTooLarge(service string) refusal {
	return refusal{
		status: http.StatusRequestEntityTooLarge, code: "too_large_with_credentials", ours: true,
		message: fmt.Sprintf("service %s has placeholders, and with their credentials in place this request would be much larger than it is", service),
		hint:    "send each placeholder as often as it is needed",
	}
}

func bodyTooSlow(service string) refusal {
	return refusal{
		status: http.StatusRequestTimeout, code: "body_too_slow", ours: true,
		message: fmt.Sprintf("service %s has placeholders in bodies, and this one did not come within the %v that one may take", service, holdTimeout),
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
