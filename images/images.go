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
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
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
	// Progress gets the build's output; nil: Say gets a line for each of its steps.
	Progress func(string)
	// Site says what the host's network wants of a build; nil: nothing.
	Site func() Site
}

// Gate gives the image of the gate for this program.
func (b Builder) Gate(ctx context.Context) (string, error) {
	program, identity, err := linuxProgram(b.Program)
	if err != nil {
		return "", err
	}
	tag := tagOf(gateName, gateDockerfile, identity)
	return b.ensure(ctx, gateName, tag, func() plan {
		return plan{dockerfile: gateDockerfile, files: map[string]string{"av": program}, args: b.site().proxies()}
	})
}

// Base gives the image that a command runs in when the user names none.
func (b Builder) Base(ctx context.Context) (string, error) {
	return b.ensure(ctx, baseName, baseTag(), func() plan {
		return plan{dockerfile: baseDockerfile, args: b.site().proxies()}
	})
}

// The names of av's own images, before the colon.
const (
	gateName = "av-gate"
	baseName = "av-base"
)

func baseTag() string { return tagOf(baseName, baseDockerfile, nil) }

// tagOf is the name of an image that is built from a Dockerfile and what identity stands for.
func tagOf(name string, dockerfile, identity []byte) string {
	sum := sha256.Sum256(append(append(append([]byte(nil), dockerfile...), 0), identity...))
	return name + ":" + hex.EncodeToString(sum[:])[:16]
}

// label says of an image that it is av's, and which.
const label = "av.image"

// build builds an image by a plan.
func (b Builder) build(ctx context.Context, name, tag string, p plan) error {
	body, writer := io.Pipe()
	go func() { writer.CloseWithError(p.pack(writer)) }()
	defer body.Close()
	var last tail
	progress := b.Progress
	if progress == nil {
		progress = func(text string) {
			if step, found := strings.CutPrefix(text, "Step "); found {
				b.Say("step " + strings.TrimSpace(step))
			}
		}
	}
	err := b.Engine.BuildArgs(ctx, tag, body, map[string]string{label: name}, p.args, func(text string) {
		last.add(text)
		progress(text)
	})
	if err != nil {
		return &buildError{tag, err, last.String()}
	}
	return nil
}

// pack writes the build's files as a tar archive.
func (p plan) pack(w io.Writer) error {
	archive := tar.NewWriter(w)
	if err := add(archive, "Dockerfile", 0o644, int64(len(p.dockerfile)), bytes.NewReader(p.dockerfile)); err != nil {
		return err
	}
	for _, name := range slices.Sorted(maps.Keys(p.texts)) {
		if err := add(archive, name, 0o644, int64(len(p.texts[name])), bytes.NewReader(p.texts[name])); err != nil {
			return err
		}
	}
	for name, path := range p.files {
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
	return "the build needs the image debian:bookworm-slim, the Debian package archive, and for an agent the npm registry; check that `docker build` can reach them, or name others: `av image build --agent NAME --from IMAGE --build-arg DEBIAN_MIRROR=URL`"
}
