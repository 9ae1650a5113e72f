// Package images holds what av's own images are built from, and builds one when it
// is first needed. An image's tag is the digest of what it was built from, so a
// change is a new image and nothing else is ever rebuilt.
package images

import (
	"archive/tar"
	"bytes"
	"context"
	"crypto/sha256"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/av-project/av/netiso/engine"
)

//go:embed gate/Dockerfile
var gateDockerfile []byte

//go:embed gate/init-firewall.sh
var firewallScript []byte

//go:embed base/Dockerfile
var baseDockerfile []byte

// FirewallScript is init-firewall.sh, which the gate runs. It is mounted into the
// gate's container rather than built into its image, and its digest is checked.
func FirewallScript() []byte { return firewallScript }

// FirewallScriptSHA256 is the script's digest, in hexadecimal.
func FirewallScriptSHA256() string {
	sum := sha256.Sum256(firewallScript)
	return hex.EncodeToString(sum[:])
}

// Builder finds av's images on an engine and builds those that are missing.
type Builder struct {
	Engine *engine.Engine
	// Program is the path of av's own binary, which the gate's image takes in.
	Program string
	// Say tells the person who waits what is being done.
	Say func(string)
}

// Gate gives the image of the gate for this program.
func (b Builder) Gate(ctx context.Context) (string, error) {
	program, identity, err := linuxProgram(b.Program)
	if err != nil {
		return "", err
	}
	return b.ensure(ctx, "av-gate", gateDockerfile, identity, map[string]string{"av": program})
}

// Base gives the image that a command runs in when the user names none.
func (b Builder) Base(ctx context.Context) (string, error) {
	return b.ensure(ctx, "av-base", baseDockerfile, nil, nil)
}

// ensure gives the image built from dockerfile and files (name in the build to path
// here), which identity stands for in its tag.
func (b Builder) ensure(ctx context.Context, name string, dockerfile, identity []byte, files map[string]string) (string, error) {
	sum := sha256.Sum256(append(append(append([]byte(nil), dockerfile...), 0), identity...))
	tag := name + ":" + hex.EncodeToString(sum[:])[:16]
	if _, err := b.Engine.Image(ctx, tag); err == nil || !errors.Is(err, engine.ErrNotFound) {
		return tag, err
	}
	unlock := lock(ctx, tag)
	defer unlock()
	if _, err := b.Engine.Image(ctx, tag); err == nil {
		return tag, nil // somebody else has built it while we waited
	}
	b.Say(fmt.Sprintf("building the image %s (once; this takes a minute)", tag))
	body, writer := io.Pipe()
	go func() { writer.CloseWithError(pack(writer, dockerfile, files)) }()
	defer body.Close()
	var last tail
	err := b.Engine.Build(ctx, tag, body, map[string]string{"av.image": name}, last.add)
	if err != nil {
		return "", &buildError{tag, err, last.String()}
	}
	return tag, nil
}

// pack writes the build's files as a tar archive.
func pack(w io.Writer, dockerfile []byte, files map[string]string) error {
	archive := tar.NewWriter(w)
	if err := add(archive, "Dockerfile", 0o644, int64(len(dockerfile)), bytes.NewReader(dockerfile)); err != nil {
		return err
	}
	for name, path := range files {
		if err := addFile(archive, name, path); err != nil {
			return err
		}
	}
	return archive.Close()
}

func addFile(archive *tar.Writer, name, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	return add(archive, name, 0o755, info.Size(), f)
}

func add(archive *tar.Writer, name string, mode, size int64, content io.Reader) error {
	if err := archive.WriteHeader(&tar.Header{Name: name, Mode: mode, Size: size}); err != nil {
		return err
	}
	_, err := io.Copy(archive, content)
	return err
}

// tail keeps the last lines of a build's output, for the error.
type tail struct{ lines []string }

func (t *tail) add(text string) {
	for line := range strings.Lines(text) {
		if line = strings.TrimSpace(line); line != "" {
			t.lines = append(t.lines, line)
		}
	}
	if over := len(t.lines) - 8; over > 0 {
		t.lines = t.lines[over:]
	}
}

func (t *tail) String() string { return strings.Join(t.lines, "\n  ") }

// buildError is a failed build with the end of its output.
type buildError struct {
	tag    string
	err    error
	output string
}

func (e *buildError) Error() string {
	return fmt.Sprintf("%v; the build's last lines:\n  %s", e.err, e.output)
}
func (e *buildError) Unwrap() error { return e.err }
func (e *buildError) Hint() string {
	return "the build needs the image debian:bookworm-slim and the Debian package archive; check that `docker build` can reach both"
}
