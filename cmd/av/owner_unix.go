//go:build unix

package main

import (
	"os"
	"syscall"
)

// mine tells whether a file is this user's.
func mine(info os.FileInfo) bool {
	stat, ok := info.Sys().(*syscall.Stat_t)
	return ok && int(stat.Uid) == os.Geteuid()
}
