package inject

import (
	"encoding/base64"
	"net/http"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// ours are the headers between two neighbours; what stands in them does not arrive.
var ours = map[string]bool{
	"Connection": true, "Keep-Alive": true, "Te": true, "Trailer": true, "Transfer-Encoding": true, "Upgrade": true,
	"Content-Length": true,
}

// Header replaces the placeholders in the values of h.
func Header(h http.Header, marks []Mark) error {
	for name, values := range h {
		if ours[name] || httpguts.HeaderValuesContainsToken(h["Connection"], name) {
			continue
		}
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
	scheme, rest, _ := strings.Cut(value, " ")
	if name != "Authorization" || !strings.EqualFold(scheme, "Basic") {
		return Swap(value, marks, header)
	}
	// No placeholder is valid base64, so it is in one of the two and not in both.
	pair, err := base64.StdEncoding.DecodeString(strings.TrimSpace(rest))
	if err != nil {
		return Swap(value, marks, header)
	}
	if !occurs(string(pair), marks) {
		return value, nil
	}
	user, pass, colon := strings.Cut(string(pair), ":")
	if user, err = Swap(user, marks, username); err != nil {
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
