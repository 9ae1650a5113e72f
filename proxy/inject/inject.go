// Package inject puts credentials into a request on its way out.
// Afterwards a slot holds its credential exactly once, whatever the client had sent
// there, and a placeholder is replaced where it was declared and nowhere else.
package inject

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"

	"github.com/av-project/av/vault"
)

// Slot is the header that carries a credential, and what stands before it.
type Slot struct{ Header, Prefix string }

// Bearer is the slot of RFC 6750, Basic that of RFC 7617.
func Bearer() Slot { return Slot{"Authorization", "Bearer "} }
func Basic() Slot  { return Slot{"Authorization", "Basic "} }

// ErrUnfit says that a credential holds a line break or another byte that would end
// the header, and with it perhaps the request.
var ErrUnfit = errors.New("the credential holds bytes that cannot stand there")

// ErrColon says that a username holds a colon. The upstream would take what follows
// it for the password.
var ErrColon = errors.New("the username holds a colon")

// Filling is a slot and what will stand in it. The secret stays behind the closure.
type Filling struct {
	slot  Slot
	value func() string
}

// Fill checks that v can stand in the slot.
func (s Slot) Fill(v vault.Value) (Filling, error) {
	value := s.Prefix + string(v.Open())
	if v.IsZero() || !httpguts.ValidHeaderFieldValue(value) {
		return Filling{}, ErrUnfit
	}
	return Filling{s, func() string { return value }}, nil
}

// Clear takes out of r what the client sent in any of the slots.
func Clear(r *http.Request, fillings []Filling) {
	for _, f := range fillings {
		f.slot.Clear(r.Header)
		f.slot.Clear(r.Trailer)
	}
}

// Put fills the slots of r. All are cleared before the first is filled: two that a
// server may take for one do not empty each other.
func Put(r *http.Request, fillings []Filling) {
	Clear(r, fillings)
	for _, f := range fillings {
		r.Header.Set(f.slot.Header, f.value())
	}
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

// Values are what stands in the slot in every spelling.
func (s Slot) Values(h http.Header) (values []string) {
	for name, in := range h {
		if sameSlot(name, s.Header) {
			values = append(values, in...)
		}
	}
	return values
}

// Pair is what Basic's slot holds for a username and a password.
func Pair(username, password vault.Value) (vault.Value, error) {
	user, pass := username.Open(), password.Open()
	for _, part := range [][]byte{user, pass} {
		// RFC 7617 forbids them. Encoded they would break nothing, but the line break
		// at the end of a pasted password would be part of it.
		if strings.ContainsFunc(string(part), isControl) {
			return vault.Value{}, ErrUnfit
		}
	}
	if strings.Contains(string(user), ":") {
		return vault.Value{}, ErrColon
	}
	pair := append(append(user, ':'), pass...)
	return vault.NewValue([]byte(base64.StdEncoding.EncodeToString(pair))), nil
}

func isControl(c rune) bool { return c < ' ' || c == 0x7f }

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
