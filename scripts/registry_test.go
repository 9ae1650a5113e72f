//go:build linux

package scripts

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"testing"
)

// registry serves one image, debian:bookworm-slim with a single file in it, as an image registry on loopback.
func registry(t *testing.T) (image string) {
	t.Helper()
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	if err := w.WriteHeader(&tar.Header{Name: "pulled", Mode: 0o644}); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	digest := func(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }
	config := fmt.Appendf(nil, `{"architecture":"amd64","os":"linux","config":{},"rootfs":{"type":"layers","diff_ids":[%q]}}`,
		digest(layer.Bytes()))
	const prefix = "application/vnd.docker."
	manifest := fmt.Appendf(nil, `{"schemaVersion":2,"mediaType":%q,
		"config":{"mediaType":%q,"size":%d,"digest":%q},
		"layers":[{"mediaType":%q,"size":%d,"digest":%q}]}`,
		prefix+"distribution.manifest.v2+json",
		prefix+"container.image.v1+json", len(config), digest(config),
		prefix+"image.rootfs.diff.tar", layer.Len(), digest(layer.Bytes()))

	blobs := map[string][]byte{digest(config): config, digest(layer.Bytes()): layer.Bytes()}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body := manifest
		switch {
		case r.URL.Path == "/v2/":
			return
		case strings.Contains(r.URL.Path, "/manifests/"):
			w.Header().Set("Content-Type", prefix+"distribution.manifest.v2+json")
			w.Header().Set("Docker-Content-Digest", digest(manifest))
		default:
			body = blobs[path.Base(r.URL.Path)]
		}
		w.Header().Set("Content-Length", fmt.Sprint(len(body)))
		if r.Method != http.MethodHead {
			w.Write(body)
		}
	}))
	t.Cleanup(server.Close)
	return strings.TrimPrefix(server.URL, "http://") + "/debian:bookworm-slim"
}

// silence is a registry that takes every connection and never says a word.
func silence(t *testing.T) (image string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	return ln.Addr().String() + "/debian:bookworm-slim" // the kernel accepts, nobody reads
}
