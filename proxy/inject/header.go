package inject

import (
	"encoding/base64"
	"iter"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// ours are the headers between two neighbours; what stands in them does not arrive.
var ours = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Content-Length": true,
}

// arriving are the values of h that the upstream gets, by the names of their headers.
func arriving(h http.Header) iter.Seq2[string, []string] {
	return func(yield func(string, []string) bool) {
		for name, values := range h {
			if ours[name] || httpguts.HeaderValuesContainsToken(h["Connection"], name) {
				continue
			}
			if !yield(name, values) {
				return
			}
		}
	}
}

// Header replaces the placeholders in the values of h.
func Header(h http.Header, marks []Mark) error {
	for name, values := range arriving(h) {
		for i, value := range values {
			swapped, err := headerValue(name, value, marks)
			if err != nil {
				return err
			}
			values[i] = swapped
		}
	}
	return nil
}

func headerValue(name, value string, marks []Mark) (string, error) {
	// No placeholder is valid base64, so it is in one of the two and not in both.
	scheme, pair, ok := basicPair(name, value)
	if !ok {
		return Swap(value, marks, header)
	}
	if !occurs(pair, marks) {
		return value, nil
	}
	user, pass, colon := strings.Cut(pair, ":")
	user, err := Swap(user, marks, username)
	if err != nil {
		return "", err
	}
	if pass, err = Swap(pass, marks, Raw); err != nil {
		return "", err
	}
	if colon {
		user += ":" + pass
	}
	return scheme + " " + base64.StdEncoding.EncodeToString([]byte(user)), nil
}

// basicPair decodes what Basic's slot holds, if it does.
func basicPair(name, value string) (scheme, pair string, ok bool) {
	scheme, rest, _ := strings.Cut(value, " ")
	if name != "Authorization" || !strings.EqualFold(scheme, "Basic") {
		return "", "", false
	}
	decoded, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	return scheme, string(decoded), err == nil
}
