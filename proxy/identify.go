package proxy

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"github.com/av-project/av/vault"
)

// identify finds the session of a request on the outer leg. A certificate speaks for
// its connection; a token speaks for its request.
func (l *link) identify(r *http.Request) (*vault.Session, *refusal) {
	session, err := l.session(r)
	switch {
	case err == nil && session.Alive():
		return session, nil
	case err == nil, errors.Is(err, vault.ErrNoSession):
		return nil, new(noSession("the session is unknown or has ended"))
	case errors.Is(err, errNoIdentity):
		return nil, new(noSession(err.Error()))
	}
	if r.Context().Err() == nil {
		l.log.Error("cannot look a session up", "err", err)
	}
	return nil, &refusal{
		status: http.StatusServiceUnavailable, code: "sessions_unavailable", ours: true,
		message: "the sessions cannot be read now",
	}
}

var errNoIdentity = errors.New("the request does not say whose it is: send Proxy-Authorization with the session's token")

func (l *link) session(r *http.Request) (*vault.Session, error) {
	if l.cert != nil {
		return l.sessions.SessionByCertificate(r.Context(), l.cert)
	}
	token, ok := proxyToken(r.Header["Proxy-Authorization"])
	if !ok {
		return nil, errNoIdentity
	}
	return l.sessions.SessionByToken(r.Context(), token)
}

// proxyToken reads the token out of "Bearer TOKEN" or "Basic base64(av:TOKEN)". Two
// headers are none: they could name two sessions.
func proxyToken(headers []string) (token string, ok bool) {
	if len(headers) != 1 {
		return "", false
	}
	scheme, rest, _ := strings.Cut(headers[0], " ")
	rest = strings.TrimLeft(rest, " ")
	switch {
	case strings.EqualFold(scheme, "Bearer"):
		return rest, rest != ""
	case strings.EqualFold(scheme, "Basic"):
		pair, err := base64.StdEncoding.DecodeString(rest)
		if err != nil {
			return "", false
		}
		token, ok = strings.CutPrefix(string(pair), "av:")
		return token, ok && token != ""
	}
	return "", false
}
