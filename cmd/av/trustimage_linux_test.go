package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A layout is an image of somebody's, in which av has had no hand.
type layout struct {
	name       string
	files      map[string]string
	dockerfile string   // after COPY
	command    []string // nil: ["/fetch", "-ways", URL]
	flags      []string
	// untrusted: the variables do not name av's bundle, and the files alone make it trust.
	untrusted bool
}

func layouts(root string) []layout {
	const url = "https://example.com/"
	ways := []string{"/fetch", "-ways", url}
	return []layout{
		{name: "scratch", command: ways},
		{name: "alpine-like", command: []string{"sh", "-c", "exec /fetch -ways " + url}, files: map[string]string{
			"bin/sh": "->busybox", "etc/passwd": "root:x:0:0::/root:/bin/sh\n", "etc/alpine-release": "3.22.0\n",
			"etc/ssl/certs/ca-certificates.crt": root, "etc/ssl/cert.pem": "->certs/ca-certificates.crt"},
			dockerfile: "COPY --from=RUNTIMES /bin/busybox /bin/busybox\n"},
		{name: "a bundle behind links", command: ways, files: map[string]string{
			"etc/ssl": "->../usr/share/ssl", "usr/share/ssl/certs/ca-certificates.crt": "->../../roots/a", "usr/share/roots/a": "->./b", "usr/share/roots/b": root}},
		{name: "RHEL", command: ways, files: map[string]string{
			"etc/ssl/certs": "->../pki/tls/certs", "etc/pki/tls/cert.pem": "->certs/ca-bundle.crt",
			"etc/pki/tls/certs/ca-bundle.crt": "->/etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem", "etc/pki/ca-trust/extracted/pem/tls-ca-bundle.pem": root}},
		{name: "SUSE", command: ways, files: map[string]string{
			"etc/ssl/ca-bundle.pem": "->/var/lib/ca-certificates/ca-bundle.pem", "var/lib/ca-certificates/ca-bundle.pem": root,
			"etc/ssl/certs": "->/var/lib/ca-certificates/pem", "var/lib/ca-certificates/pem/a-root.pem": root}},
		{name: "Nix", command: ways, files: map[string]string{"nix/store/x/etc/ssl/certs/ca-bundle.crt": root},
			dockerfile: "ENV SSL_CERT_FILE=/nix/store/x/etc/ssl/certs/ca-bundle.crt\n"},
		{name: "links in a circle, and out of the image", command: ways, files: map[string]string{
			"etc/ssl/certs": "->/etc/ssl/certs", "etc/pki": "->../../../../etc/pki", "etc/ssl/cert.pem": "->../../../../roots", "roots": root,
			"etc/chromium": "->/workspace/chromium"}},
		{name: "an entrypoint, a user, a folder and a variable of its own", command: ways, files: map[string]string{"etc/ssl/certs/ca-certificates.crt": root},
			dockerfile: "USER 1234:1234\nENTRYPOINT [\"/nothing\", \"--here\"]\nWORKDIR \"/odd dir/x\"\nVOLUME /etc/ssl/certs\nENV CURL_CA_BUNDLE=/else\n"},
		{name: "a variable that the user sets", command: ways, flags: []string{"--env", "SSL_CERT_FILE=/nothing", "--env", "SSL_CERT_DIR=/nothing"}, untrusted: true},
	}
}

// aRoot is an authority that vouches for nothing here.
func aRoot(t *testing.T) string {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
}

func TestImageOfAnyLayoutTrustsTheProxyAndStaysAsItIs(t *testing.T) {
	w := newTrustWorld(t)
	runtimes := testImage(t, "av-test-runtimes", runtimesImage)
	fetch, err := os.ReadFile(goFetch(t))
	if err != nil {
		t.Fatal(err)
	}
	group := newMarker()
	t.Run("all", func(t *testing.T) {
		for i, l := range layouts(aRoot(t)) {
			t.Run(l.name, func(t *testing.T) {
				t.Parallel()
				files := map[string]string{"fetch": string(fetch)}
				for name, content := range l.files {
					files[name] = content
				}
				image := "av-test-layout:" + group + "-" + string(rune('a'+i))
				dockerfile := "FROM scratch\nADD root.tar /\n" + strings.ReplaceAll(l.dockerfile, "RUNTIMES", runtimes)
				buildImage(t, "av-test-layout", image, tarOf(t, map[string]string{"Dockerfile": dockerfile, "root.tar": string(tarOf(t, files))}))
				t.Cleanup(func() { docker(t, "image", "rm", image) })
				before := docker(t, "image", "inspect", "-f", "{{.Id}} {{.RootFS}}", image)
				cmd := exec.Command(w.av, append(append([]string{"run", "--quiet", "--isolation=container", "--image", image}, l.flags...), append([]string{"--"}, l.command...)...)...)
				cmd.Env, cmd.Dir = w.env, t.TempDir()
				out, err := cmd.CombinedOutput()
				if err != nil {
					t.Fatalf("%v:\n%s", err, out)
				}
				variables := "variables: " + w.marker
				if l.untrusted {
					variables = "variables: Get \"https://example.com/\": tls: failed to verify certificate"
				}
				for _, want := range []string{variables, "files: " + w.marker, "neither: Get \"https://example.com/\": tls: failed to verify certificate"} {
					if !strings.Contains(string(out), want) {
						t.Errorf("it does not say %q:\n%s", want, out)
					}
				}
				if after := docker(t, "image", "inspect", "-f", "{{.Id}} {{.RootFS}}", image); after != before {
					t.Errorf("the image was\n%sand is\n%s", before, after)
				}
				if entries, err := os.ReadDir(cmd.Dir); err != nil || len(entries) > 0 {
					t.Errorf("a link of the image led into the workspace: %v, %v", entries, err)
				}
			})
		}
	})
	if left := leftOf(filepath.Join(w.dir, "home")); left != "" {
		t.Errorf("left behind:\n%s", left)
	}
}
