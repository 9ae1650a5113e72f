package runner

import (
	"errors"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

// input reads our standard input until it is let go: who goes on reading a terminal after
// the command has ended takes away the answer to the next question.
type input struct {
	file *os.File
	wake *os.File // readable, or closed at its other end, once it is let go
}

// readUntil gives a reader of file, and how to let go of it.
func readUntil(file *os.File) (io.Reader, func()) {
	wake, end, err := os.Pipe()
	if err != nil {
		return file, func() {} // too many open files: the command has its input all the same
	}
	return &input{file, wake}, func() { _ = end.Close() }
}

func (i *input) Read(p []byte) (int, error) {
	for {
		fds := []unix.PollFd{{Fd: int32(i.wake.Fd()), Events: unix.POLLIN}, {Fd: int32(i.file.Fd()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, -1); errors.Is(err, unix.EINTR) {
			continue
		}
		if fds[0].Revents != 0 {
			_ = i.wake.Close()
			return 0, io.EOF
		}
		return i.file.Read(p)
	}
}
