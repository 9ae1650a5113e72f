package proxy

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/av-project/av/vault"
)

// unhurried is for what measures how fast the proxy is, and not how fast it lets one be.
var unhurried = vault.Limits{Rate: 1_000_000, CredentialRate: 1_000_000}

// BenchmarkThroughput sends the same requests through the proxy and straight to the
// same upstream, and reports both rates and what the proxy leaves of the direct one.
func BenchmarkThroughput(b *testing.B) {
	for _, h2 := range []bool{false, true} {
		for _, workers := range []int{1, 16} {
			for _, by := range ways {
				b.Run(fmt.Sprintf("h2=%v/workers=%d/%s", h2, workers, map[way]string{byCertificate: "tls", byToken: "plain"}[by]), func(b *testing.B) {
					up := startUpstream(b, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "hello") }, h2, apiHost)
					w := newWorld(b, setup{services: services(up.bearer(apiHost)), limits: unhurried})
					proxied := w.clientOf(by, h2)
					direct := up.direct(h2)
					defer direct.CloseIdleConnections()
					send(b, proxied, workers, workers) // connections are opened before the clock starts
					send(b, direct, workers, workers)
					var through, straight time.Duration
					for b.Loop() {
						// In turns, so that a busy machine slows both.
						through += send(b, proxied, workers, workers)
						straight += send(b, direct, workers, workers)
					}
					n := float64(b.N * workers)
					b.ReportMetric(n/through.Seconds(), "proxied/s")
					b.ReportMetric(n/straight.Seconds(), "direct/s")
					b.ReportMetric(straight.Seconds()/through.Seconds(), "ratio")
				})
			}
		}
	}
}

// BenchmarkBody streams bodies through the proxy and past it.
func BenchmarkBody(b *testing.B) {
	const size = 16 << 20
	piece := make([]byte, 64<<10)
	for _, h2 := range []bool{false, true} {
		b.Run(fmt.Sprintf("h2=%v", h2), func(b *testing.B) {
			up := startUpstream(b, func(rw http.ResponseWriter, _ *http.Request) {
				for range size / len(piece) {
					_, _ = rw.Write(piece)
				}
			}, h2, apiHost)
			w := newWorld(b, setup{services: services(up.bearer(apiHost)), limits: unhurried})
			proxied, direct := w.clientOf(byCertificate, h2), up.direct(h2)
			defer direct.CloseIdleConnections()
			var through, straight time.Duration
			for b.Loop() {
				through += send(b, proxied, 1, 1)
				straight += send(b, direct, 1, 1)
			}
			total := float64(b.N) * size / (1 << 20)
			b.ReportMetric(total/through.Seconds(), "proxied-MiB/s")
			b.ReportMetric(total/straight.Seconds(), "direct-MiB/s")
			b.ReportMetric(straight.Seconds()/through.Seconds(), "ratio")
		})
	}
}

// direct is a client that knows nothing of the proxy.
func (s *server) direct(h2 bool) *http.Client {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM([]byte(s.ca))
	return &http.Client{Transport: &http.Transport{
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", s.address().String())
		},
		TLSClientConfig:     &tls.Config{RootCAs: roots},
		ForceAttemptHTTP2:   h2,
		MaxIdleConnsPerHost: 64,
	}}
}

// send makes n requests from workers at once, and says how long that took.
func send(b *testing.B, c *http.Client, workers, n int) time.Duration {
	began := time.Now()
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range n / workers {
				res, err := c.Get("https://" + apiHost + "/")
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		})
	}
	wg.Wait()
	return time.Since(began)
}
