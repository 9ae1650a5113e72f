package main

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/av-project/av/netiso/engine"
)

// building lets one test at a time build what another may want too.
var building sync.Mutex

// testImage builds an image for tests, once on a machine: its tag is the digest of what it is built from.
func testImage(t *testing.T, name, dockerfile string) string {
	t.Helper()
	building.Lock()
	defer building.Unlock()
	sum := sha256.Sum256([]byte(dockerfile))
	tag := fmt.Sprintf("%s:%x", name, sum[:8])
	e, err := engine.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	if _, err := e.Image(t.Context(), tag); err == nil {
		return tag
	} else if !errors.Is(err, engine.ErrNotFound) {
		t.Fatal(err)
	}
	began := time.Now()
	buildImage(t, name, tag, tarOf(t, map[string]string{"Dockerfile": dockerfile}))
	t.Logf("built %s in %s", tag, time.Since(began).Round(time.Second))
	return tag
}

// buildImage builds an image from an archive with a Dockerfile in it.
func buildImage(t *testing.T, name, tag string, files []byte) {
	t.Helper()
	e, err := engine.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer e.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 25*time.Minute)
	defer cancel()
	var said bytes.Buffer
	if err := e.Build(ctx, tag, bytes.NewReader(files), map[string]string{"av.image": name}, func(line string) { said.WriteString(line) }); err != nil {
		t.Fatalf("%v\n%s", err, said.String()[max(0, said.Len()-4000):])
	}
}

// tarOf is an archive of files and, where a content begins with "->", links.
func tarOf(t *testing.T, files map[string]string) []byte {
	t.Helper()
	var out bytes.Buffer
	archive := tar.NewWriter(&out)
	for name, content := range files {
		header := &tar.Header{Name: name, Mode: 0o755, Size: int64(len(content))}
		if target, link := strings.CutPrefix(content, "->"); link {
			header, content = &tar.Header{Name: name, Typeflag: tar.TypeSymlink, Linkname: target}, ""
		}
		if err := errors.Join(archive.WriteHeader(header), second(io.WriteString(archive, content))); err != nil {
			t.Fatal(err)
		}
	}
	if err := archive.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func second(_ int, err error) error { return err }
