package main

import (
	"bytes"
	"os"

	"golang.org/x/sys/unix"
)

// pending takes what waits on a raw terminal, and tells whether there was any text in it.
func pending(terminal *os.File) bool {
	text := false
	for {
		n, err := unix.IoctlGetInt(int(terminal.Fd()), unix.TIOCINQ)
		if err != nil || n <= 0 {
			return text
		}
		waiting := make([]byte, n)
		n, err = terminal.Read(waiting)
		text = text || bytes.ContainsFunc(waiting[:n], func(r rune) bool { return r > ' ' })
		clear(waiting)
		if err != nil {
			return text
		}
	}
}
