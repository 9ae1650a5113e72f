package proxy

import (
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"unicode"
)

// answer is how a client reads a refusal.
type answer struct {
	form answerForm
	head bool // of the answer it reads the head alone
}

type answerForm int

const (
	inJSON answerForm = iota // the usual one
	inText                   // for those who show it to people
	inGRPC                   // a status in the head
)

func answerFor(r *http.Request) answer {
	a := answer{head: r.Method == http.MethodHead}
	switch {
	case r.ProtoMajor == 2 && isGRPC(r.Header.Get("Content-Type")):
		a.form = inGRPC
	case strings.HasPrefix(r.Header.Get("User-Agent"), "git/"), prefersText(r.Header["Accept"]):
		// git shows its user a body of text/plain, and throws away all others.
		a.form = inText
	}
	return a
}

func isGRPC(contentType string) bool {
	rest, ok := strings.CutPrefix(contentType, "application/grpc")
	return ok && (rest == "" || rest[0] == '+' || rest[0] == ';')
}

// prefersText tells whether text ranks above JSON. Who would take anything gets JSON.
func prefersText(accept []string) bool {
	var text, js, all float64
	var named bool // JSON is, by itself or with its kind
	for part := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, parameters, _ := strings.Cut(part, ";")
		q := quality(parameters)
		switch kind = strings.ToLower(strings.TrimSpace(kind)); {
		case kind == "text/plain", kind == "text/html", kind == "text/*":
			text = max(text, q)
		case kind == "application/json", kind == "application/*", strings.HasSuffix(kind, "+json"):
			js, named = max(js, q), true
		case kind == "*/*":
			all = max(all, q)
		}
	}
	if !named {
		js = all
	}
	return text > js
}

// quality is the weight of a media range, 0 if it cannot be read.
func quality(parameters string) float64 {
	for p := range strings.SplitSeq(parameters, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(p), "=")
		if !strings.EqualFold(name, "q") {
			continue
		}
		q, err := strconv.ParseFloat(value, 64)
		if err != nil || !(q >= 0 && q <= 1) {
			return 0
		}
		return q
	}
	return 1
}

// body is f for a person or a program to read.
func (f refusal) body(form answerForm) (kind string, body []byte) {
	if form == inText {
		return "text/plain; charset=utf-8", []byte(strings.Join(f.lines(), "\n") + "\n")
	}
	type detail struct {
		Code    string `json:"code"`
		Message string `json:"message"`
		Hint    string `json:"hint,omitempty"`
		Rule    string `json:"rule,omitempty"`
	}
	body, err := json.Marshal(map[string]detail{"error": {f.code, printable(f.message), printable(f.hint), printable(f.rule)}})
	if err != nil {
		panic(err) // four strings always marshal
	}
	return "application/json", append(body, '\n')
}

func (f refusal) lines() []string {
	lines := []string{printable(f.message)}
	if f.hint != "" {
		lines = append(lines, "hint: "+printable(f.hint))
	}
	if f.rule != "" {
		lines = append(lines, "rule: "+printable(f.rule))
	}
	return lines
}

// writeGRPC puts f where a gRPC client looks: into a head that is the end as well. It
// would make its own status of another one of HTTP, and show nothing of the body.
func (f refusal) writeGRPC(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "application/grpc")
	h.Set("Grpc-Status", strconv.Itoa(grpcCode(f.status)))
	h.Set("Grpc-Message", grpcMessage(strings.Join(f.lines(), "; ")))
	w.WriteHeader(http.StatusOK)
}

func grpcCode(status int) int {
	switch status {
	case http.StatusForbidden:
		return 7 // PERMISSION_DENIED
	case http.StatusUnauthorized, http.StatusProxyAuthRequired:
		return 16 // UNAUTHENTICATED
	case http.StatusNotFound:
		return 12 // UNIMPLEMENTED
	case http.StatusTooManyRequests, http.StatusRequestEntityTooLarge:
		return 8 // RESOURCE_EXHAUSTED
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return 14 // UNAVAILABLE
	case http.StatusBadRequest:
		return 13 // INTERNAL
	}
	return 2 // UNKNOWN
}

// grpcMessage encodes all but the printable ASCII, and the percent sign.
func grpcMessage(s string) string {
	const hex = "0123456789ABCDEF"
	var out []byte
	for i := range len(s) {
		if c := s[i]; c >= ' ' && c <= '~' && c != '%' {
			out = append(out, c)
		} else {
			out = append(out, '%', hex[c>>4], hex[c&15])
		}
	}
	return string(out)
}

// printable shows what a terminal would obey: some messages name what others wrote.
func printable(s string) string {
	var out strings.Builder
	for _, r := range s {
		if unicode.IsPrint(r) {
			out.WriteRune(r)
		} else {
			out.WriteString(strings.Trim(strconv.QuoteRune(r), "'"))
		}
	}
	return out.String()
}
