package egress

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
)

// connect asks for a tunnel to target and waits for the answer. The answer's words are
// the proxy's, and could be our password; only its number is looked at.
func (p *Proxy) connect(conn net.Conn, target string) error {
	request := "CONNECT " + target + " HTTP/1.1\r\nHost: " + target + "\r\n"
	user, password, known := p.login()
	if known {
		request += "Proxy-Authorization: Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password)) + "\r\n"
	}
	if _, err := io.WriteString(conn, request+"\r\n"); err != nil {
		return err
	}
	head, err := readHead(conn)
	if err != nil {
		return err
	}
	res, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(head)), &http.Request{Method: http.MethodConnect})
	switch {
	case err != nil:
		return errNotHTTP
	case res.StatusCode/100 == 2:
		return nil
	case res.StatusCode == http.StatusProxyAuthRequired:
		return unauthorized(known, res.Header.Values("Proxy-Authenticate"))
	case res.StatusCode == http.StatusForbidden:
		return &said{reason: "it refuses that (403)", hint: "ask whoever runs it, or name a host that is inside in AV_UPSTREAM_NO_PROXY", far: true}
	}
	return &said{reason: fmt.Sprintf("it answers %d", res.StatusCode), far: true}
}

var errNotHTTP = &said{reason: "it does not speak HTTP", hint: "if it speaks TLS or SOCKS, begin the URL with https://, socks5:// or socks5h://"}

func unauthorized(known bool, schemes []string) error {
	const fix = "give user and password in AV_UPSTREAM_PROXY: http://USER:PASSWORD@HOST:PORT, percent-encoded"
	basic := len(schemes) == 0
	for _, scheme := range schemes {
		basic = basic || strings.Contains(strings.ToLower(scheme), "basic")
	}
	switch {
	case !basic:
		return &said{reason: "it wants another proof than a user and a password (407)", hint: "put a proxy between that speaks it, or ask for one that takes Basic"}
	case known:
		return &said{reason: "it does not accept the user and password (407)", hint: fix}
	}
	return &said{reason: "it wants a user and a password (407)", hint: fix}
}

// readHead reads no byte more than the head: what comes after it is the target's, and
// for who gets the connection.
func readHead(conn io.Reader) ([]byte, error) {
	head := make([]byte, 0, 512)
	var one [1]byte
	for len(head) < maxProxyHead {
		if _, err := io.ReadFull(conn, one[:]); err != nil {
			return nil, err
		}
		head = append(head, one[0])
		if bytes.HasSuffix(head, []byte("\r\n\r\n")) || bytes.HasSuffix(head, []byte("\n\n")) {
			return head, nil
		}
	}
	return nil, errNotHTTP
}
