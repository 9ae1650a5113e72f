package runner

import (
	"archive/tar"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/av-project/av/netiso/engine"
)

// The run's own context may be gone; what is given up is left to the watchdog.
func TestEngineThatDoesNotCreateIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		run, cancel := context.WithCancel(t.Context())
		cancel()
		b := &box{}
		ctx, done := b.creating(run)
		time.Sleep(createTimeout - 1)
		if ctx.Err() != nil {
			t.Errorf("given up before its time: %v", ctx.Err())
		}
		done()
		if b.uncertain.Load() {
			t.Error("what was answered in time is taken for uncertain")
		}
		ctx, done = b.creating(run)
		time.Sleep(createTimeout)
		synctest.Wait()
		if !errors.Is(ctx.Err(), context.DeadlineExceeded) {
			t.Errorf("not given up: %v", ctx.Err())
		}
		done()
		if !b.uncertain.Load() {
			t.Error("nobody would sweep up after it")
		}
	})
}

// All steps share the time. Those that come when it is over are still tried.
func TestUndoThatDoesNotEndIsGivenUpInTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var u undo
		later := false
		u.add(rankLease, func(context.Context) error { later = true; return nil })
		u.add(rankAgent, func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() })
		began := time.Now()
		if err := u.run(); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != undoTimeout || !later {
			t.Errorf("%v after %v, the next step was taken: %v", err, time.Since(began), later)
		}
		u.add(rankAgent, func(ctx context.Context) error { time.Sleep(undoTimeout - 1); return ctx.Err() })
		if err := u.run(); err != nil {
			t.Errorf("control: %v", err)
		}
	})
}

func TestWallsOnTheHostStandWhileTheAgentMay(t *testing.T) {
	for _, left := range []bool{false, true} {
		var u undo
		down := false
		u.add(rankGate, u.afterAgent(func(context.Context) error { down = true; return nil }))
		u.add(rankAgent, func(context.Context) error {
			if left {
				return errors.New("the engine does not answer")
			}
			return nil
		})
		if err := u.run(); down == left || (err != nil) != left {
			t.Errorf("the agent is left: %v; the walls are down: %v, %v", left, down, err)
		}
	}
}

func TestWatchdogThatDoesNotGoIsKilled(t *testing.T) {
	for command, stays := range map[string]bool{"exec cat": false, "exec sleep 600": true} {
		w, err := watch(func(_ string, alive *os.File) (*os.Process, error) {
			cmd := exec.Command("/bin/sh", "-c", command)
			cmd.Stdin = alive
			err := cmd.Start()
			return cmd.Process, err
		}, "run")
		if err != nil {
			t.Fatal(err)
		}
		if w.patience != watchdogPatience {
			t.Errorf("it waits for %v", w.patience)
		}
		if stays {
			w.patience = 50 * time.Millisecond
		} else {
			w.patience = time.Minute
		}
		began := time.Now()
		if err := w.dismiss(); err != nil {
			t.Errorf("%s: %v", command, err)
		}
		if took := time.Since(began); took > 30*time.Second {
			t.Errorf("%s: it took %v", command, took)
		}
	}
}

// image is an engine with one container, in which the files of entries lie.
func image(t *testing.T, entries map[string]*tar.Header, content []byte) *engine.Engine {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch {
		case strings.HasSuffix(r.URL.Path, "/_ping"):
			w.Header().Set("Api-Version", "1.41")
		case strings.HasSuffix(r.URL.Path, "/archive"):
			header, ok := entries[r.URL.Query().Get("path")]
			if !ok {
				http.Error(w, `{"message":"no such file"}`, http.StatusNotFound)
				return
			}
			stat, _ := json.Marshal(map[string]any{"name": path.Base(header.Name)})
			w.Header().Set("X-Docker-Container-Path-Stat", base64.StdEncoding.EncodeToString(stat))
			var b bytes.Buffer
			a := tar.NewWriter(&b)
			_ = a.WriteHeader(header)
			if header.Typeflag == tar.TypeReg {
				_, _ = a.Write(content[:header.Size])
			}
			_ = a.Close()
			_, _ = w.Write(b.Bytes())
		default:
			http.NotFound(w, r)
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

// An image is anybody's: what it calls its bundle of authorities may be of any size.
func TestBundleOfAnImageIsReadUpToItsCeiling(t *testing.T) {
	file := func(size int64) *tar.Header { return &tar.Header{Name: "f", Typeflag: tar.TypeReg, Size: size} }
	e := image(t, map[string]*tar.Header{"/fits": file(maxBundle), "/large": file(maxBundle + 1)}, make([]byte, maxBundle+1))
	if b, err := readFile(t.Context(), e, "c", "/fits"); err != nil || len(b) != maxBundle {
		t.Errorf("at the ceiling: %d bytes, %v", len(b), err)
	}
	if b, err := readFile(t.Context(), e, "c", "/large"); err == nil || !strings.Contains(err.Error(), "longer than 4194304 bytes") {
		t.Errorf("one byte more: %d bytes, %v", len(b), err)
	}
}

func TestLinksOfAnImageAreFollowedUpToTheirCeiling(t *testing.T) {
	entries := map[string]*tar.Header{"/l0": {Name: "l0", Typeflag: tar.TypeReg, Size: 1}, "/loop": {Name: "loop", Typeflag: tar.TypeSymlink, Linkname: "loop"}}
	for i := range maxLinks {
		entries[fmt.Sprintf("/l%d", i+1)] = &tar.Header{Name: "l", Typeflag: tar.TypeSymlink, Linkname: fmt.Sprintf("l%d", i)}
	}
	e := image(t, entries, []byte("x"))
	// The file itself is the last of them.
	if b, err := readFile(t.Context(), e, "c", fmt.Sprintf("/l%d", maxLinks-1)); err != nil || string(b) != "x" {
		t.Errorf("at the ceiling: %q, %v", b, err)
	}
	for _, name := range []string{fmt.Sprintf("/l%d", maxLinks), "/loop"} {
		if _, err := readFile(t.Context(), e, "c", name); err == nil || !strings.Contains(err.Error(), "more than 8 symbolic links") {
			t.Errorf("%s: %v", name, err)
		}
	}
}
