package main

import (
	"cmp"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// An HTTP archive, HAR 1.2. What it asks for and av does not record is empty, or -1 where
// that means "not known"; what av records and it has no place for has a name with "_".

type harFile struct {
	Log harLog `json:"log"`
}

type harLog struct {
	Version string     `json:"version"`
	Creator harCreator `json:"creator"`
	Entries []harEntry `json:"entries"`
}

type harCreator struct {
	Name    string `json:"name"`
	Version string `json:"version"`
}

type harEntry struct {
	Started  string      `json:"startedDateTime"`
	Time     float64     `json:"time"`
	Request  harRequest  `json:"request"`
	Response harResponse `json:"response"`
	Cache    struct{}    `json:"cache"`
	Timings  harTimings  `json:"timings"`
	Server   string      `json:"serverIPAddress,omitempty"`
	Comment  string      `json:"comment,omitempty"`

	Run     string   `json:"_run"`
	Session string   `json:"_session"`
	Allowed bool     `json:"_allowed"`
	Rule    string   `json:"_rule"`
	Service string   `json:"_service,omitempty"`
	Keys    []string `json:"_keys,omitempty"`
	Count   int      `json:"_count"`
}

// harPair is a header, a cookie or a part of a query: av records none.
type harPair struct{}

type harRequest struct {
	Method      string    `json:"method"`
	URL         string    `json:"url"`
	HTTPVersion string    `json:"httpVersion"`
	Cookies     []harPair `json:"cookies"`
	Headers     []harPair `json:"headers"`
	QueryString []harPair `json:"queryString"`
	HeadersSize int       `json:"headersSize"`
	BodySize    int64     `json:"bodySize"`
}

type harResponse struct {
	Status      int        `json:"status"`
	StatusText  string     `json:"statusText"`
	HTTPVersion string     `json:"httpVersion"`
	Cookies     []harPair  `json:"cookies"`
	Headers     []harPair  `json:"headers"`
	Content     harContent `json:"content"`
	RedirectURL string     `json:"redirectURL"`
	HeadersSize int        `json:"headersSize"`
	BodySize    int64      `json:"bodySize"`
}

type harContent struct {
	Size     int64  `json:"size"`
	MimeType string `json:"mimeType"`
}

// harTimings are milliseconds; -1 is what did not happen, or is part of another.
type harTimings struct {
	Blocked float64 `json:"blocked"`
	DNS     float64 `json:"dns"`
	Connect float64 `json:"connect"` // with TLS, as the format wants it
	SSL     float64 `json:"ssl"`
	Send    float64 `json:"send"`
	Wait    float64 `json:"wait"`
	Receive float64 `json:"receive"`
}

func archive(list []vault.Entry) harFile {
	entries := make([]harEntry, len(list))
	for i, e := range list {
		entries[i] = harOf(e)
	}
	return harFile{harLog{Version: "1.2", Creator: harCreator{"av", version}, Entries: entries}}
}

func harOf(e vault.Entry) harEntry {
	none := []harPair{}
	timings := timingsOf(e)
	server, _, _ := net.SplitHostPort(e.Upstream)
	return harEntry{
		Started: e.Time.Format(time.RFC3339Nano),
		Time:    timings.total(),
		Request: harRequest{
			Method: cmp.Or(e.Method, "-"), URL: urlOf(e), HTTPVersion: cmp.Or(e.Proto, "unknown"),
			Cookies: none, Headers: none, QueryString: none, HeadersSize: -1, BodySize: e.BytesOut,
		},
		Response: harResponse{
			Status: e.Status, StatusText: http.StatusText(e.Status), HTTPVersion: cmp.Or(e.UpstreamProto, e.Proto, "unknown"),
			Cookies: none, Headers: none, Content: harContent{e.BytesIn, "x-unknown"}, HeadersSize: -1, BodySize: e.BytesIn,
		},
		Timings: timings, Server: server, Comment: e.Reason,
		Run: e.Run, Session: e.Session, Allowed: e.Allowed, Rule: e.Rule, Service: e.Service, Keys: e.Keys, Count: e.Count,
	}
}

// timingsOf are the parts of e's duration. What was not carried only waited.
func timingsOf(e vault.Entry) harTimings {
	t := harTimings{Blocked: -1, DNS: -1, Connect: -1, SSL: -1}
	rest := e.Duration
	for _, part := range []struct {
		took time.Duration
		to   *float64
	}{{e.Queue, &t.Blocked}, {e.Dial + e.TLS, &t.Connect}} {
		if part.took > 0 {
			*part.to = milliseconds(part.took)
			rest -= part.took
		}
	}
	if e.TLS > 0 {
		t.SSL = milliseconds(e.TLS)
	}
	rest = max(rest, 0)
	t.Wait = milliseconds(rest)
	if e.FirstByte > 0 && e.FirstByte < rest {
		t.Wait, t.Receive = milliseconds(e.FirstByte), milliseconds(rest-e.FirstByte)
	}
	return t
}

// total leaves SSL out, which is part of Connect.
func (t harTimings) total() float64 {
	return max(t.Blocked, 0) + max(t.Connect, 0) + t.Send + t.Wait + t.Receive
}

func milliseconds(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

// urlOf is what was asked for, as far as it is recorded. A CONNECT names no scheme.
func urlOf(e vault.Entry) string {
	const unknown = "about:blank"
	if e.Host == "" {
		return unknown // it could not be read
	}
	u := url.URL{Scheme: e.Scheme, Host: policy.Target{Host: e.Host, Port: e.Port}.String(), RawPath: e.Path}
	if u.Scheme == "" {
		u.Scheme = "https"
		if e.Port == 80 {
			u.Scheme = "http"
		}
	}
	var err error
	if u.Path, err = url.PathUnescape(e.Path); err != nil {
		u.Path = e.Path
	}
	if !strings.HasPrefix(u.Path, "/") {
		u.Path, u.RawPath = "/"+u.Path, ""
	}
	text := u.String()
	if _, err := url.Parse(text); err != nil {
		return unknown
	}
	return text
}
