package inject

import (
	"bytes"
	"encoding/json"
	"mime"
	"net/http"
	"net/url"
	"strings"
	"unicode/utf8"

	"golang.org/x/net/http/httpguts"
)

// Encoding writes a value as the place that it goes to wants it.
type Encoding func(value string) (string, error)

// Query is how a value stands in a query or a form.
func Query(value string) (string, error) { return url.QueryEscape(value), nil }

// Raw is how it stands in text that has no rules of its own.
func Raw(value string) (string, error) { return value, nil }

// JSON is how it stands inside the quotes of a JSON string.
func JSON(value string) (string, error) {
	if !utf8.ValidString(value) {
		return "", ErrUnfit
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return "", err
	}
	return strings.TrimSuffix(strings.TrimPrefix(out.String(), `"`), "\"\n"), nil
}

// textOnly is for a text message, which is UTF-8 or breaks the WebSocket.
func textOnly(value string) (string, error) {
	if !utf8.ValidString(value) {
		return "", ErrUnfit
	}
	return value, nil
}

func header(value string) (string, error) {
	if !httpguts.ValidHeaderFieldValue(value) {
		return "", ErrUnfit
	}
	return value, nil
}

func username(value string) (string, error) {
	if strings.Contains(value, ":") {
		return "", ErrColon
	}
	return value, nil
}

// Form is how a text is written: a value that goes into it, and what its client may have
// written otherwise than it is.
type Form struct {
	Encode Encoding
	decode func(string) string // nil: nothing is
	escape string              // without it, decode changes nothing
}

var (
	formJSON  = Form{JSON, jsonDecoded, `\u00`}
	formQuery = Form{Query, percentDecoded, "%"}
	formRaw   = Form{Encode: Raw}
)

func (f Form) decoded(text string) string {
	if f.decode == nil {
		return text
	}
	return f.decode(text)
}

// Body tells the form of a body with the header h, and false for one that
// is not searched. One that is compressed shows no placeholder, and one that is not
// text (a file, a multipart form, a gRPC message) counts its bytes or may be of any
// size: what stands in them goes on as it is, and the upstream gets the placeholder.
func Body(h http.Header) (form Form, searched bool) {
	for _, coding := range h["Content-Encoding"] {
		if coding != "" && !strings.EqualFold(coding, "identity") {
			return Form{}, false
		}
	}
	types := h["Content-Type"]
	if len(types) == 0 {
		return formRaw, true
	}
	kind, _, err := mime.ParseMediaType(types[0])
	if err != nil && kind == "" {
		return Form{}, false
	}
	switch {
	case kind == "application/json", strings.HasSuffix(kind, "+json"), kind == "text/json", kind == "application/x-ndjson":
		return formJSON, true
	case kind == "application/x-www-form-urlencoded":
		return formQuery, true
	case strings.HasPrefix(kind, "text/"), strings.HasSuffix(kind, "+xml"), kind == "application/xml",
		kind == "application/graphql", kind == "application/yaml", kind == "application/x-yaml", kind == "application/javascript":
		return formRaw, true
	}
	return Form{}, false
}
