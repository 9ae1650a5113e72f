package main

import "golang.org/x/sys/unix"

// harden keeps other processes of the same user, the command of a host run among
// them, from reading this one: its memory, its core dumps, and the environment that it
// was started with, which holds the master password whatever is unset later. Root is
// not held back by it.
func harden() error { return unix.Prctl(unix.PR_SET_DUMPABLE, 0, 0, 0, 0) }
