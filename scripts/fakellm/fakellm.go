// Package fakellm is the two APIs that coding agents speak: Anthropic's Messages and OpenAI's Responses, as far as
// real agents need them. What they answer follows from the prompt alone, so a test knows what to wait for:
//
//	say WORD                        answers with the word
//	replace OLD with NEW in FILE    asks for the tools that do this, and says WORD "replaced" when they were used
//
// Whoever has not the vendor's key gets 401.
package fakellm

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"sync"
)

// Vendor is both APIs. Its zero value lets nobody in.
type Vendor struct {
	// Key is what Authorization: Bearer, or x-api-key where XAPIKey is set, must be.
	Key     string
	XAPIKey bool

	mu   sync.Mutex
	asks []Ask
}

// Ask is a request as it came.
type Ask struct {
	Method, Path string
	Status       int
	Header       http.Header
	Body         string
}

// Asks are the requests so far.
func (v *Vendor) Asks() []Ask {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.asks)
}

// maxAsk is the longest request that is read, in bytes.
const maxAsk = 8 << 20

func (v *Vendor) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(io.LimitReader(r.Body, maxAsk))
	if err != nil {
		return // it has hung up
	}
	status := &noting{ResponseWriter: w, status: http.StatusOK}
	v.answer(status, r, body)
	v.mu.Lock()
	defer v.mu.Unlock()
	v.asks = append(v.asks, Ask{r.Method, r.URL.Path, status.status, r.Header.Clone(), string(body)})
}

func (v *Vendor) answer(w http.ResponseWriter, r *http.Request, body []byte) {
	if !v.knows(r) {
		reply(w, http.StatusUnauthorized, map[string]any{"type": "error", "error": map[string]string{"type": "authentication_error", "message": "no or wrong key"}})
		return
	}
	switch r.Method + " " + r.URL.Path {
	case "POST /v1/messages":
		v.messages(w, body)
	case "POST /v1/messages/count_tokens":
		reply(w, http.StatusOK, map[string]int{"input_tokens": 10})
	case "POST /v1/responses":
		v.responses(w, body)
	case "GET /v1/responses":
		// A WebSocket is asked for. Whoever gets this takes plain HTTP.
		w.WriteHeader(http.StatusUpgradeRequired)
	default:
		reply(w, http.StatusNotFound, map[string]any{"type": "error", "error": map[string]string{"type": "not_found_error", "message": "no such path"}})
	}
}

// knows wants the key in its one place, and no other value in the other.
func (v *Vendor) knows(r *http.Request) bool {
	key, bearer := r.Header.Get("X-Api-Key"), r.Header.Get("Authorization")
	if v.XAPIKey {
		return v.Key != "" && key == v.Key && bearer == ""
	}
	return v.Key != "" && bearer == "Bearer "+v.Key && key == ""
}

// script is what a prompt asks for.
type script struct {
	say            string
	old, new, file string // an edit, where file is set
}

var (
	sayPrompt     = regexp.MustCompile(`\bsay (\w+)`)
	replacePrompt = regexp.MustCompile(`\breplace (\w+) with (\w+) in ([\w./-]+)`)
)

// read finds the script in the texts of a conversation: in the last one that has any.
func read(texts []string) script {
	for _, text := range slices.Backward(texts) {
		if m := replacePrompt.FindStringSubmatch(text); m != nil {
			return script{say: "replaced", old: m[1], new: m[2], file: m[3]}
		}
		if m := sayPrompt.FindStringSubmatch(text); m != nil {
			return script{say: m[1]}
		}
	}
	return script{say: "what?"}
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

// events writes server-sent events, each as soon as it is there.
type events struct{ w http.ResponseWriter }

func stream(w http.ResponseWriter) events {
	w.Header().Set("Content-Type", "text/event-stream")
	w.WriteHeader(http.StatusOK)
	return events{w}
}

func (e events) send(kind string, fields map[string]any) {
	fields["type"] = kind
	data, err := json.Marshal(fields)
	if err != nil {
		panic(err) // maps of strings
	}
	fmt.Fprintf(e.w, "event: %s\ndata: %s\n\n", kind, data)
	if f, ok := e.w.(http.Flusher); ok {
		f.Flush()
	}
}

// noting remembers the status.
type noting struct {
	http.ResponseWriter
	status int
}

func (n *noting) WriteHeader(status int) { n.status = status; n.ResponseWriter.WriteHeader(status) }
func (n *noting) Flush() {
	if f, ok := n.ResponseWriter.(http.Flusher); ok {
		f.Flush()
	}
}
