package clients_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/av-project/av/proxy"
	"github.com/av-project/av/scripts/require"
	"github.com/av-project/av/vault"
)

// nodeFetch is a client that knows of no proxy, as Node's fetch before version 24. In a
// box its look-up would be answered by the gate; here it is answered by a hand that
// leads the same way.
const nodeFetch = `
const dns = require("dns"), fs = require("fs");
dns.lookup = (name, options, done) => done(null, options.all ? [{address: "127.0.0.1", family: 4}] : "127.0.0.1", 4);
(async () => {
	const address = process.argv[1];
	const first = await fetch(address);
	await first.text();
	const second = await fetch(address, {method: "POST", body: fs.readFileSync("upload")});
	console.log(await second.text());
})();
`

func TestNodeFetchGetsItsCredentialThroughAGate(t *testing.T) {
	node := require.Client(t, "node", "-e", "fetch")
	s := &sink{t: t, want: bearer}
	caught, err := net.Listen("tcp4", "127.0.0.1:0")
	must(t, err)
	defer caught.Close()
	service := upstream(t, s.ServeHTTP)
	service.Port = uint16(caught.Addr().(*net.TCPAddr).Port)
	w := newWorld(t, service)
	w.gate(caught)
	dir := t.TempDir()
	digest := upload(t, dir)
	out := w.run(dir, []string{"NODE_USE_ENV_PROXY="}, node, "-e", nodeFetch, fmt.Sprintf("https://%s:%d/v1/things?q=a;b", host, service.Port))
	if strings.TrimSpace(out) != digest {
		t.Errorf("it says %q", out)
	}
	if got := strings.Join(s.seen, ", "); got != arrived {
		t.Errorf("what arrived is %s", got)
	}
	w.recorded(2)
}

// gate carries what the listener catches to the proxy, with the client certificate of a
// session, as the gate in a box does.
func (w *world) gate(caught net.Listener) {
	w.t.Helper()
	opened, err := w.vault.OpenSession(w.t.Context(), vault.Owner(), vault.Grant{Run: "gated"})
	must(w.t, err)
	identity, err := tls.X509KeyPair(opened.CertPEM, opened.KeyPEM.Open())
	must(w.t, err)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(w.ca)
	relay, err := net.Listen("tcp4", "127.0.0.1:0")
	must(w.t, err)
	ctx, stop := context.WithCancel(context.Background())
	var all sync.WaitGroup
	all.Go(func() { _ = w.proxy.Serve(ctx, relay) })
	target := net.JoinHostPort(host, fmt.Sprint(caught.Addr().(*net.TCPAddr).Port))
	all.Go(func() {
		for {
			agent, err := caught.Accept()
			if err != nil {
				return
			}
			all.Go(func() {
				defer agent.Close()
				onward, err := tls.Dial("tcp", relay.Addr().String(), &tls.Config{RootCAs: roots, ServerName: proxy.ServerName, Certificates: []tls.Certificate{identity}})
				if err != nil {
					w.t.Error(err)
					return
				}
				defer onward.Close()
				fmt.Fprintf(onward, "CONNECT %s HTTP/1.1\r\nHost: %s\r\n\r\n", target, target)
				answer := bufio.NewReader(onward)
				if res, err := http.ReadResponse(answer, &http.Request{Method: http.MethodConnect}); err != nil || res.StatusCode != http.StatusOK {
					w.t.Errorf("CONNECT: %v, %v", res, err)
					return
				}
				all.Go(func() {
					_, _ = io.Copy(onward, agent)
					onward.Close()
				})
				_, _ = io.Copy(agent, answer)
			})
		}
	})
	w.t.Cleanup(func() { caught.Close(); stop(); all.Wait() })
}
