package proxy

import (
	"fmt"
	"strconv"
	"strings"

	"golang.org/x/net/http/httpguts"
)

// arrived is the whole requests in what reached an upstream, each as
// `METHOD TARGET "BODY" TRAILERS`, and what is there of one that is not whole.
func arrived(all []string) (whole []string, rest string, err error) {
	for _, s := range all {
		for s != "" {
			request, n, err := strictly(s)
			if err != nil {
				return whole, s, err
			}
			if n == 0 {
				rest += s
				break
			}
			whole, s = append(whole, request), s[n:]
		}
	}
	return whole, rest, nil
}

// strictly reads one request as the narrowest of servers would: nothing optional, and
// one framing. With n = 0 it does not end in s.
func strictly(s string) (request string, n int, err error) {
	head, _, ok := strings.Cut(s, "\r\n\r\n")
	if !ok {
		return "", 0, nil
	}
	n = len(head) + 4
	lines := strings.Split(head, "\r\n")
	parts := strings.Split(lines[0], " ")
	if len(parts) != 3 || parts[2] != "HTTP/1.1" || !strings.HasPrefix(parts[1], "/") || !httpguts.ValidHeaderFieldName(parts[0]) {
		return "", 0, fmt.Errorf("request line %q", lines[0])
	}
	fields, err := strictFields(lines[1:])
	if err != nil {
		return "", 0, err
	}
	length, chunked := fields["content-length"], fields["transfer-encoding"]
	if len(fields["host"]) != 1 || len(length)+len(chunked) > 1 || len(chunked) == 1 && chunked[0] != "chunked" {
		return "", 0, fmt.Errorf("hosts %q, lengths %q, encodings %q", fields["host"], length, chunked)
	}
	var body, trailer string
	switch {
	case len(length) == 1:
		size, err := strconv.ParseUint(length[0], 10, 31)
		if err != nil || strconv.FormatUint(size, 10) != length[0] {
			return "", 0, fmt.Errorf("length %q", length[0])
		}
		if uint64(len(s)-n) < size {
			return "", 0, nil
		}
		body = s[n : n+int(size)]
		n += int(size)
	case len(chunked) == 1:
		m := 0
		if body, trailer, m, err = strictChunks(s[n:]); m == 0 || err != nil {
			return "", 0, err
		}
		n += m
	}
	return strings.TrimSpace(fmt.Sprintf("%s %s %q %s", parts[0], parts[1], body, trailer)), n, nil
}

func strictFields(lines []string) (map[string][]string, error) {
	fields := map[string][]string{}
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ": ")
		if !ok || !httpguts.ValidHeaderFieldName(name) || !httpguts.ValidHeaderFieldValue(value) || strings.TrimSpace(value) != value {
			return nil, fmt.Errorf("field %q", line)
		}
		name = strings.ToLower(name)
		fields[name] = append(fields[name], value)
	}
	return fields, nil
}

func strictChunks(s string) (body, trailer string, n int, err error) {
	for {
		line, rest, ok := strings.Cut(s[n:], "\r\n")
		if !ok {
			return "", "", 0, nil
		}
		size, err := strconv.ParseUint(line, 16, 31)
		if err != nil || strconv.FormatUint(size, 16) != line {
			return "", "", 0, fmt.Errorf("chunk size %q", line)
		}
		n += len(line) + 2
		if size == 0 {
			end := strings.Index("\r\n"+rest, "\r\n\r\n")
			if end < 0 {
				return "", "", 0, nil
			}
			trailer = strings.TrimSpace(rest[:end])
			if trailer != "" {
				if _, err := strictFields(strings.Split(trailer, "\r\n")); err != nil {
					return "", "", 0, err
				}
			}
			return body, trailer, n + end + 2, nil
		}
		if uint64(len(rest)) < size+2 {
			return "", "", 0, nil
		}
		if rest[size:size+2] != "\r\n" {
			return "", "", 0, fmt.Errorf("chunk end %q", rest[size:size+2])
		}
		body += rest[:size]
		n += int(size) + 2
	}
}
