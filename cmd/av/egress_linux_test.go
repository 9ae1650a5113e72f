package main

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/av-project/av/scripts/require"
)

// A network with nothing in it but a proxy: what reaches the vendor went through that.
func TestRunBehindACorporateProxyReachesItsVendor(t *testing.T) {
	require.Root(t)
	curl := require.Client(t, "curl")
	bin, err := built()
	if err != nil {
		t.Fatal(err)
	}
	// The thread keeps the namespace, and ends with this goroutine.
	runtime.LockOSThread()
	if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("ip", "link", "set", "lo", "up").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	addr, ca, heard := vendorBehindProxy(t)
	dir := t.TempDir()
	write := func(name string, text []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, text, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	services := write("services.yaml", []byte("services:\n  - {name: vendor, host: example.com, auth: {type: bearer, token: TOKEN}}\n"))
	env := append(os.Environ(), "AV_HOME="+filepath.Join(dir, "home"), "AV_UPSTREAM_CA="+write("ca.pem", ca))
	run := func(proxy string, args ...string) string {
		cmd := exec.Command(filepath.Join(bin, "av"), args...)
		cmd.Env, cmd.Dir = append(env, "AV_UPSTREAM_PROXY="+proxy), dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("av %v: %v: %s", args, err, out)
		}
		return string(out)
	}
	run("", "init", "--no-password")
	run("", "credential", "set", "TOKEN=t0ken")
	run("", "service", "set", "-f", services)
	fetch := []string{"run", "--quiet", "--", curl, "-sS", "-m", "10", "https://example.com/hello"}
	if out := run("http://agent:s3cret@"+addr, fetch...); out != "vendor" {
		t.Errorf("answered %q", out)
	}
	wrong := run("http://agent:wr0ng@"+addr, fetch...)
	if !strings.Contains(wrong, "it does not accept the user and password") || strings.Contains(wrong, "wr0ng") {
		t.Errorf("a wrong password: %s", wrong)
	}
	if out := run("", fetch...); !strings.Contains(out, `"unresolved"`) {
		t.Errorf("control: without the proxy: %s", out)
	}
	if got := strings.Join(heard(), "\n"); got != "CONNECT example.com:443\nGET /hello Bearer t0ken\nCONNECT example.com:443" {
		t.Errorf("the proxy and the vendor heard\n%s", got)
	}
}

// vendorBehindProxy is a proxy that has the vendor in itself, so that it need not dial.
func vendorBehindProxy(t *testing.T) (addr string, ca []byte, heard func() []string) {
	t.Helper()
	shown := httptest.NewTLSServer(nil) // for its certificate, which is example.com's
	certificate := shown.TLS.Certificates[0]
	shown.Close()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var list []string
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_ = conn.SetDeadline(time.Now().Add(10 * time.Second))
			list = append(list, serveTunnel(conn, certificate)...)
			conn.Close()
		}
	}()
	stop := func() []string { ln.Close(); <-done; return list }
	t.Cleanup(func() { stop() })
	return ln.Addr().String(), pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate[0]}), stop
}

func serveTunnel(conn net.Conn, certificate tls.Certificate) (heard []string) {
	connect, err := http.ReadRequest(bufio.NewReader(conn))
	if err != nil {
		return []string{err.Error()}
	}
	heard = append(heard, connect.Method+" "+connect.RequestURI)
	connect.Header.Set("Authorization", connect.Header.Get("Proxy-Authorization"))
	if _, password, _ := connect.BasicAuth(); password != "s3cret" {
		_, _ = io.WriteString(conn, "HTTP/1.1 407 no\r\n\r\n")
		return heard
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 yes\r\n\r\n")
	inside := tls.Server(conn, &tls.Config{Certificates: []tls.Certificate{certificate}})
	r, err := http.ReadRequest(bufio.NewReader(inside))
	if err != nil {
		return append(heard, err.Error())
	}
	_, _ = io.WriteString(inside, "HTTP/1.1 200 OK\r\nContent-Length: 6\r\nConnection: close\r\n\r\nvendor")
	_ = inside.Close()
	return append(heard, r.Method+" "+r.RequestURI+" "+r.Header.Get("Authorization"))
}
