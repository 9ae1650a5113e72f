package engine

import (
	"context"
	"io"

	"github.com/docker/docker/api/types"
	"github.com/docker/docker/api/types/container"
	"github.com/docker/docker/pkg/stdcopy"
)

// Stdio is the other end of a container's standard streams.
type Stdio struct {
	hijacked types.HijackedResponse
}

// Attach connects to the streams of a container, before it starts so that nothing
// is missed.
func (e *Engine) Attach(ctx context.Context, id string, stdin bool) (*Stdio, error) {
	hijacked, err := e.api.ContainerAttach(ctx, id, container.AttachOptions{Stream: true, Stdin: stdin, Stdout: true, Stderr: true})
	if err != nil {
		return nil, wrap(err, "attach to container")
	}
	return &Stdio{hijacked: hijacked}, nil
}

// Write writes to the container's standard input.
func (s *Stdio) Write(p []byte) (int, error) { return s.hijacked.Conn.Write(p) }

// CloseWrite ends the container's standard input; its output goes on.
func (s *Stdio) CloseWrite() error { return s.hijacked.CloseWrite() }

// Close drops the connection.
func (s *Stdio) Close() error { s.hijacked.Close(); return nil }

// Raw copies the output of a container that has a terminal until it ends.
func (s *Stdio) Raw(out io.Writer) error {
	_, err := io.Copy(out, s.hijacked.Reader)
	return err
}

// Split copies the output of a container without a terminal until it ends, each
// stream to its own writer.
func (s *Stdio) Split(stdout, stderr io.Writer) error {
	_, err := stdcopy.StdCopy(stdout, stderr, s.hijacked.Reader)
	return err
}
