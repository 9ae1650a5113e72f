package trust

import (
	"bytes"
	"crypto/sha1"
	"encoding/binary"
	"fmt"
	"path"
	"strings"
	"testing"
	"time"
)

// What a store had is still in it, it has grown by what was added, and it can be added to again.
func FuzzStoreKeepsWhatItHad(f *testing.F) {
	f.Add(newJKS())
	f.Add([]byte("text"))
	f.Add(append(newJKS()[:8], bytes.Repeat([]byte{0xff}, 24)...)) // as many entries as can be counted
	if with, err := addToPKCS12(emptyPKCS12(f, 3), "a", []byte("der")); err == nil {
		f.Add(with)
	}
	f.Add(emptyPKCS12(f, 3))
	f.Fuzz(func(t *testing.T, store []byte) {
		const most = 1 << 10
		certificate := []byte("what stands for a certificate")
		if isJKS(store) {
			out, err := addToJKS(store, "a", time.Unix(0, 0), certificate)
			if err != nil || !isJKS(out) || !bytes.Contains(out, certificate) || len(out) > len(store)+most {
				t.Fatalf("%v, %d bytes of %d", err, len(out), len(store))
			}
			if old := store[jksHead : len(store)-sha1.Size]; !bytes.HasSuffix(out[:len(out)-sha1.Size], old) || binary.BigEndian.Uint32(out[8:]) != binary.BigEndian.Uint32(store[8:])+1 {
				t.Fatalf("what it had is not in it")
			}
			return
		}
		out, err := addToPKCS12(store, "a", certificate)
		if err != nil {
			return
		}
		again, err := addToPKCS12(out, "b", certificate)
		if err != nil || bytes.Count(again, certificate) < 2 || len(again) > len(store)+2*most {
			t.Fatalf("%v, %d bytes of %d", err, len(again), len(store))
		}
	})
}

// Whatever an image's links say, what is put in lies where it says: at an absolute path, with
// no link and no ".." on the way, and each once.
func FuzzNothingIsPutBehindALink(f *testing.F) {
	_, ca := authority(f, "av test CA")
	f.Add("/etc/ssl->../x\n/x/certs/ca-certificates.crt=-----BEGIN \n/etc/pki->/etc/pki", "/a/../x")
	f.Add("/usr/lib/jvm/java->/j\n/j/lib/security->../../..\n/etc/ssl/certs->/", "/j/bin:/x")
	f.Fuzz(func(t *testing.T, names, variable string) {
		image := map[string]string{"/root": "text"}
		for i, line := range strings.Split(names, "\n") {
			name, what, link := strings.Cut(line, "->")
			if !link {
				name, what, _ = strings.Cut(line, "=")
			} else {
				what = "->" + what
			}
			if name = path.Clean("/" + name); i < 64 && name != "/" {
				image[name] = what
			}
		}
		src := &fakeImage{entries: image}
		list, err := Files(t.Context(), src, []string{"PATH=" + variable, "SSL_CERT_FILE=" + variable, "JAVA_HOME=" + variable}, []byte(ca))
		if err != nil {
			return
		}
		seen := map[string]bool{}
		for _, file := range list {
			if seen[file.Path] || !path.IsAbs(file.Path) || path.Clean(file.Path) != file.Path || file.Path == "/" {
				t.Fatalf("%q of %v", file.Path, image)
			}
			seen[file.Path] = true
			if file.Path == Bundle {
				continue // the runner sees to its folder
			}
			if real, _, err := newView(src).resolve(t.Context(), file.Path); err != nil || real != file.Path {
				t.Fatalf("%q leads to %q, %v: %s", file.Path, real, err, fmt.Sprint(image))
			}
		}
	})
}
