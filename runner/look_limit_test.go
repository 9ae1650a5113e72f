package runner

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/av-project/av/netiso/engine"
	"github.com/av-project/av/runner/entry"
	"github.com/av-project/av/runner/trust"
)

// etcOf is an engine with one container, whose /etc is what write puts into an archive.
func etcOf(t *testing.T, write func(*tar.Writer)) *engine.Engine {
	t.Helper()
	var content bytes.Buffer
	archive := tar.NewWriter(&content)
	_ = archive.WriteHeader(&tar.Header{Name: "etc/", Typeflag: tar.TypeDir})
	write(archive)
	_ = archive.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Header().Set("Api-Version", "1.41")
		case strings.HasSuffix(r.URL.Path, "/archive") && r.URL.Query().Get("path") == "/etc":
			w.Header().Set("X-Docker-Container-Path-Stat", "e30=")
			_, _ = w.Write(content.Bytes())
		default:
			http.Error(w, `{"message":"no such file"}`, http.StatusNotFound)
		}
	}))
	t.Cleanup(s.Close)
	t.Setenv("DOCKER_HOST", "tcp://"+strings.TrimPrefix(s.URL, "http://"))
	e, err := engine.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Close() })
	return e
}

func TestFolderOfAnImageIsReadAtOnceUpToItsCeilings(t *testing.T) {
	file := func(a *tar.Writer, name string, size int) {
		_ = a.WriteHeader(&tar.Header{Name: name, Size: int64(size)})
		_, _ = a.Write(make([]byte, size))
	}
	for _, c := range []struct {
		name  string
		write func(*tar.Writer)
		large bool
	}{
		{"as many names as may be", func(a *tar.Writer) {
			for n := range maxTreeEntries - 1 {
				file(a, fmt.Sprintf("etc/%d", n), 0)
			}
		}, false},
		{"one more", func(a *tar.Writer) {
			for n := range maxTreeEntries {
				file(a, fmt.Sprintf("etc/%d", n), 0)
			}
		}, true},
		// Heads and the end of an archive count too: 512 bytes each, and 1024.
		{"as much as may be", func(a *tar.Writer) {
			for n := range 7 {
				file(a, fmt.Sprintf("etc/%d", n), maxBundle)
			}
			file(a, "etc/last", maxBundle-512*(1+7+1)-1024-512)
		}, false},
		{"more", func(a *tar.Writer) {
			for n := range 8 {
				file(a, fmt.Sprintf("etc/%d", n), maxBundle)
			}
		}, true},
		{"a long file", func(a *tar.Writer) { file(a, "etc/long", maxTree) }, true},
	} {
		e := etcOf(t, c.write)
		tree, err := readTree(t.Context(), e, "c", "/etc")
		if errors.Is(err, errTooLarge) != c.large || err != nil && !c.large || err == nil && len(tree) < 2 {
			t.Errorf("%s: %d names, %v", c.name, len(tree), err)
		}
		// What cannot be read at once is asked for one by one.
		image, err := lookInto(t.Context(), e, "c")
		if err != nil || (image.etc == nil) != c.large {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A long file in a folder does no harm as long as nobody needs it.
func TestLongFileBesideOthersIsPassedOver(t *testing.T) {
	e := etcOf(t, func(a *tar.Writer) {
		_ = a.WriteHeader(&tar.Header{Name: "etc/hwdb.bin", Size: maxBundle + 1})
		_, _ = a.Write(make([]byte, maxBundle+1))
		_ = a.WriteHeader(&tar.Header{Name: "etc/ssl/", Typeflag: tar.TypeDir})
		_ = a.WriteHeader(&tar.Header{Name: "etc/ssl/cert.pem", Typeflag: tar.TypeSymlink, Linkname: "roots"})
		_ = a.WriteHeader(&tar.Header{Name: "etc/ssl/roots", Size: 4})
		_, _ = a.Write([]byte("text"))
		_ = a.WriteHeader(&tar.Header{Name: "etc/ssl/same", Typeflag: tar.TypeLink, Linkname: "etc/ssl/roots"})
	})
	image, err := lookInto(t.Context(), e, "c")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]trust.Entry{
		"/etc/hwdb.bin": {Kind: trust.Regular}, "/etc/ssl": {Kind: trust.Dir}, "/etc/ssl/cert.pem": {Kind: trust.Link, Link: "roots"},
		"/etc/none": {}, "/etc/ssl/same": {Kind: trust.Regular}, "/usr": {},
	} {
		if got, err := image.Look(t.Context(), name); err != nil || got != want {
			t.Errorf("%s: %+v, %v", name, got, err)
		}
	}
	for _, name := range []string{"/etc/ssl/roots", "/etc/ssl/same"} {
		if got, err := image.Read(t.Context(), name); err != nil || string(got) != "text" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
	if names, err := image.List(t.Context(), "/etc/ssl"); err != nil || strings.Join(names, " ") != "cert.pem roots same" {
		t.Errorf("%v, %v", names, err)
	}
}

// An image's link into a folder of the host would be followed by the engine, with the engine's rights.
func TestNothingIsPutWhereTheHostsFoldersAre(t *testing.T) {
	o := &outfit{mounts: (&box{placed: placed{binds: []engine.Bind{{Target: "/opt/tools"}}}}).mounted()}
	in := []entry.File{{Path: "opt/tools/lib/security/cacerts"}, {Path: "etc/a"}, {Path: "workspace/x/y"}, {Path: "workspace"}, {Path: "workspaces"}, {Path: "home/agent/.x"}, {Path: "home/other"}}
	var got []string
	for _, f := range o.inImage(in) {
		got = append(got, f.Path)
	}
	if strings.Join(got, " ") != "etc/a workspaces home/other" {
		t.Errorf("%v", got)
	}
}
