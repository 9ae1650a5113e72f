package runner

import (
	"archive/tar"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
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

// A runtime mounts where an image's links lead: into the host's folder.
func TestImageThatLeadsAMountElsewhereIsRefused(t *testing.T) {
	dir := trust.Entry{Kind: trust.Dir}
	for _, c := range []struct {
		image  imageOf
		place  string
		refuse bool
	}{
		{imageOf{"/workspace": {Kind: trust.Link, Link: "/x"}}, "/workspace", true},
		{imageOf{"/workspace": dir}, "/workspace", false},
		{imageOf{}, "/workspace", false},
		{imageOf{"/etc": dir, "/etc/av": {Kind: trust.Link, Link: "/x"}}, entry.Program, true},
		{imageOf{"/etc": dir}, entry.Program, false},
		{imageOf{"/opt": dir, "/opt/a": {Kind: trust.Link, Link: "../etc"}}, "/opt/a/b", true},
		{imageOf{"/opt": {Kind: trust.Link, Link: "/opt"}}, "/opt/a", true},
		{imageOf{"/opt": dir}, "/opt/a", false},
		{imageOf{"/home": {Kind: trust.Link, Link: "/workspace/y"}}, "/workspace", true},
		{imageOf{"/etc": dir, "/home": dir, "/home/agent": {Kind: trust.Link, Link: "/etc/av"}}, entry.Program, true},
		{imageOf{"/home": {Kind: trust.Link, Link: "var/home"}}, "/workspace", false},
	} {
		if _, err := realPlaces(t.Context(), c.image, []string{c.place}); (err != nil) != c.refuse {
			t.Errorf("%s in %v: %v", c.place, c.image, err)
		}
	}
	b := &box{placed: placed{binds: []engine.Bind{{Target: "/opt/tools"}, {Target: "/workspace/.git"}, {Target: "/home/agent/data"}}}}
	if got := otherPlaces(b.mounted()); strings.Join(got, " ") != "/opt/tools" {
		t.Errorf("looked for are %v", got)
	}
}

// An image of a box has empty files where av's were; one with a program there may have it run.
func TestImageWithAProgramInThePlaceOfAvsIsRefused(t *testing.T) {
	for _, place := range []string{entry.Program, entry.Home, entry.System, entry.Word} {
		for content, refuse := range map[string]bool{"": false, "#!/bin/sh\n": true} {
			image := textOf{imageOf{place: {Kind: trust.Regular}}, content}
			if err := checkEntry(t.Context(), image); (err != nil) != refuse {
				t.Errorf("%s with %q: %v", place, content, err)
			}
		}
		if err := checkEntry(t.Context(), imageOf{place: {Kind: trust.Link, Link: "/x"}}); err == nil {
			t.Errorf("%s may be a link", place)
		}
	}
	if err := checkEntry(t.Context(), imageOf{}); err != nil {
		t.Errorf("control: %v", err)
	}
}

type textOf struct {
	imageOf
	text string
}

func (i textOf) Read(context.Context, string) ([]byte, error) { return []byte(i.text), nil }

func TestNothingIsPutWhereTheHostsFoldersAre(t *testing.T) {
	taken, err := realPlaces(t.Context(), imageOf{"/home": {Kind: trust.Link, Link: "var/home"}}, append([]string{"/opt/tools"}, usualPlaces...))
	if err != nil {
		t.Fatal(err)
	}
	in := []entry.File{{Path: "opt/tools/lib/security/cacerts"}, {Path: "etc/a"}, {Path: "workspace/x/y"}, {Path: "workspace"}, {Path: "workspaces"},
		{Path: "home/agent/.x"}, {Path: "home/other"}, {Path: "var/home/agent/.x"}, {Path: "var/home/other"}, {Path: "etc/av/enter"}}
	var got []string
	for _, f := range without(in, taken) {
		got = append(got, f.Path)
	}
	if strings.Join(got, " ") != "etc/a workspaces home/other var/home/other" {
		t.Errorf("%v", got)
	}
}

// imageOf is an image of such names.
type imageOf map[string]trust.Entry

func (i imageOf) Look(_ context.Context, name string) (trust.Entry, error) { return i[name], nil }
func (imageOf) Read(context.Context, string) ([]byte, error)               { return nil, nil }
func (imageOf) List(context.Context, string) ([]string, error)             { return nil, nil }

func TestCacheThatWasCutOffIsNone(t *testing.T) {
	name := filepath.Join(t.TempDir(), "x.tar")
	content, err := entry.Pack([]entry.File{{Path: "etc/av", Mode: 0o755}, file("etc/a", []byte("text"))})
	if err == nil {
		err = keep(name, content)
	}
	if err != nil {
		t.Fatal(err)
	}
	if files, known := unpackFile(name); !known || len(files) != 2 || string(files[1].Content) != "text" {
		t.Errorf("control: %v, %v", files, known)
	}
	if info, err := os.Stat(name); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("others can read or write it: %v, %v", info, err)
	}
	for _, size := range []int64{1025, 700, 0} {
		if err := os.Truncate(name, size); err != nil {
			t.Fatal(err)
		}
		if files, known := unpackFile(name); known {
			t.Errorf("of %d bytes: %v", size, files)
		}
	}
}
