package images

import (
	"crypto/sha256"
	"debug/elf"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"runtime"
)

// linuxProgram gives the path of a Linux build of program, which the gate's image
// takes in, and what identifies it.
func linuxProgram(program string) (path string, identity []byte, err error) {
	path = program
	if runtime.GOOS != "linux" {
		// Engines on other systems run a Linux of the same architecture.
		path = filepath.Join(filepath.Dir(program), "av-linux-"+runtime.GOARCH)
	}
	identity, err = programIdentity(path)
	if err != nil {
		return "", nil, fmt.Errorf("read the gate's program: %w", err)
	}
	return path, identity, nil
}

// programIdentity is what changes when the program does: the build id that the Go
// linker put into it, which is a digest of its content. To read that takes no time,
// to digest 30 MB at every start does.
func programIdentity(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	parsed, err := elf.NewFile(f)
	if err != nil {
		return nil, err
	}
	if note := parsed.Section(".note.go.buildid"); note != nil {
		if id, err := note.Data(); err == nil && len(id) > 16 {
			return id, nil
		}
	}
	digest := sha256.New()
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return nil, err
	}
	if _, err := io.Copy(digest, f); err != nil {
		return nil, err
	}
	return digest.Sum(nil), nil
}
