// Package inject puts a credential into a request on its way out.
// Afterwards the slot holds it exactly once, whatever the client had sent there.
package inject

import (
	"errors"
	"net/http"

	"golang.org/x/net/http/httpguts"

	"github.com/av-project/av/vault"
)

// Slot is the header that carries a credential, and what stands before it.
type Slot struct{ Header, Prefix string }

// Bearer is the slot of RFC 6750.
func Bearer() Slot { return Slot{"Authorization", "Bearer "} }

// ErrUnfit says that a credential holds a line break or another byte that would end
// the header, and with it perhaps the request.
var ErrUnfit = errors.New("the credential holds bytes that a header cannot carry")

// Ready checks that v can stand in the slot, and returns the act that takes out what
// the client sent there and puts v in. The secret stays behind the closure.
func (s Slot) Ready(v vault.Value) (put func(*http.Request), err error) {
	value := s.Prefix + string(v.Open())
	if v.IsZero() || !httpguts.ValidHeaderFieldValue(value) {
		return nil, ErrUnfit
	}
	return func(r *http.Request) {
		s.Clear(r.Header)
		s.Clear(r.Trailer)
		r.Header.Set(s.Header, value)
	}, nil
}

// Clear removes the slot from h in every spelling. Servers that keep headers as
// variables read X_Api_Key as X-Api-Key, and might take the client's for ours.
func (s Slot) Clear(h http.Header) {
	for name := range h {
		if sameSlot(name, s.Header) {
			delete(h, name)
		}
	}
}

// sameSlot compares names as CGI does: letters without case, and all that is neither
// letter nor digit alike.
func sameSlot(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if fold(a[i]) != fold(b[i]) {
			return false
		}
	}
	return true
}

func fold(c byte) byte {
	switch {
	case 'A' <= c && c <= 'Z':
		return c + 'a' - 'A'
	case 'a' <= c && c <= 'z', '0' <= c && c <= '9':
		return c
	}
	return '-'
}
