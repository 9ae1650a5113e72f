package fakenet

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"
)

// API is a vendor's API, by HTTPS (HTTP/2 too) and plain HTTP. It wants a bearer token and notes every request,
// also those that it turns away.
//
//	/v1/hello   {"hello":"world"}
//	/echo       the request as JSON, the secret in it and all
//	/stream     three server-sent events, each flushed, 50 ms between them; ?n= and ?every= change that
type API struct {
	secret string
	sinks  *Sinks

	mu       sync.Mutex
	requests []Request
}

// Request is a request as it reached the API.
type Request struct {
	Time   time.Time   `json:"time"`
	From   string      `json:"from"`
	Proto  string      `json:"proto"`
	TLS    bool        `json:"tls"`
	Method string      `json:"method"`
	Host   string      `json:"host"`
	Path   string      `json:"path"` // as it was sent, with its query
	Header http.Header `json:"header"`
	Body   string      `json:"body"` // the first 64 KiB
}

// Secret is the bearer token that the API wants.
func (a *API) Secret() string { return a.secret }

// Requests returns the requests whose path or body holds the marker; the empty marker is in all.
func (a *API) Requests(marker string) []Request {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.DeleteFunc(slices.Clone(a.requests), func(r Request) bool {
		return !strings.Contains(r.Path, marker) && !strings.Contains(r.Body, marker)
	})
}

func (n *Net) serveAPI() error {
	plain, err := n.Listen(netip.AddrPortFrom(APIAddr, 80))
	if err != nil {
		return err
	}
	n.serveHTTP(plain, (*http.Server).Serve)
	secure, err := n.Listen(netip.AddrPortFrom(APIAddr, 443))
	if err != nil {
		return err
	}
	n.serveHTTP(secure, func(s *http.Server, ln net.Listener) error { return s.ServeTLS(ln, "", "") })
	return nil
}

func (n *Net) serveHTTP(ln net.Listener, serve func(*http.Server, net.Listener) error) {
	server := &http.Server{
		Handler:           n.api,
		TLSConfig:         &tls.Config{GetCertificate: n.ca.forHello},
		ReadHeaderTimeout: time.Minute,
		ErrorLog:          log.New(io.Discard, "", 0), // a client that hangs up is what some tests are about
		BaseContext:       func(net.Listener) context.Context { return n.ctx },
	}
	n.until(server)
	n.serving.Go(func() { serve(server, ln) })
}

func (a *API) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	seen := a.note(r)
	if r.Header.Get("Authorization") != "Bearer "+a.secret {
		w.Header().Set("WWW-Authenticate", "Bearer")
		reply(w, http.StatusUnauthorized, map[string]string{"error": "no or wrong token"})
		return
	}
	switch r.URL.Path {
	case "/v1/hello":
		reply(w, http.StatusOK, map[string]string{"hello": "world"})
	case "/echo":
		reply(w, http.StatusOK, seen)
	case "/stream":
		stream(w, r)
	default:
		reply(w, http.StatusNotFound, map[string]string{"error": "no such path"})
	}
}

func (a *API) note(r *http.Request) Request {
	body, _ := io.ReadAll(io.LimitReader(r.Body, maxPayload))
	io.Copy(io.Discard, r.Body)
	seen := Request{
		Time: time.Now(), From: r.RemoteAddr, Proto: r.Proto, TLS: r.TLS != nil,
		Method: r.Method, Host: r.Host, Path: r.RequestURI, Header: r.Header.Clone(), Body: string(body),
	}
	a.mu.Lock()
	a.requests = append(a.requests, seen)
	a.mu.Unlock()

	e := Event{Kind: HTTP, Name: r.Method + " http://" + r.Host + r.RequestURI, Payload: body}
	if seen.TLS {
		e.Name = r.Method + " https://" + r.Host + r.RequestURI
	}
	e.From, _ = netip.ParseAddrPort(r.RemoteAddr)
	if local, ok := r.Context().Value(http.LocalAddrContextKey).(net.Addr); ok {
		e.To = addrPort(local)
	}
	a.sinks.add(e)
	return seen
}

func reply(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(v)
}

func stream(w http.ResponseWriter, r *http.Request) {
	count, every := 3, 50*time.Millisecond
	if s := r.URL.Query().Get("n"); s != "" {
		if _, err := fmt.Sscan(s, &count); err != nil {
			reply(w, http.StatusBadRequest, map[string]string{"error": "n is no number"})
			return
		}
	}
	if s := r.URL.Query().Get("every"); s != "" {
		d, err := time.ParseDuration(s)
		if err != nil {
			reply(w, http.StatusBadRequest, map[string]string{"error": "every is no duration"})
			return
		}
		every = d
	}
	w.Header().Set("Content-Type", "text/event-stream")
	flusher := http.NewResponseController(w)
	for i := range count {
		if i > 0 {
			select {
			case <-r.Context().Done():
				return
			case <-time.After(every):
			}
		}
		fmt.Fprintf(w, "data: %d\n\n", i)
		flusher.Flush()
	}
}
