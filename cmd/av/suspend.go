package main

import (
	"fmt"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// suspendPatience is how long to wait to be told that we go on, once we do.
const suspendPatience = 500 * time.Millisecond

// suspend stops this process as the terminal's Ctrl-Z does, and returns when it goes on.
// It is SIGSTOP that does it: Go's runtime does not give SIGTSTP its own meaning back once
// somebody has asked to be told of it. SIGSTOP stops those too whom no shell could let go
// on, as after `xterm -e av run`, and so that is looked at first, as the kernel would.
func suspend() {
	if orphaned(os.Getppid(), unix.Getpgrp(), relative) {
		return
	}
	resumed := make(chan os.Signal, 1)
	signal.Notify(resumed, syscall.SIGCONT)
	defer signal.Stop(resumed)
	if syscall.Kill(os.Getpid(), syscall.SIGSTOP) != nil {
		return
	}
	timer := time.NewTimer(suspendPatience)
	defer timer.Stop()
	select {
	case <-resumed:
	case <-timer.C:
	}
}

// kin is what of a process is asked here.
type kin struct {
	group, parent int
	ours          bool // of our session
}

// orphaned tells whether nobody above us is of our session and not of our group: that
// would be the shell that stops and continues jobs.
func orphaned(parent, group int, look func(pid int) (kin, error)) bool {
	for range maxAncestors {
		k, err := look(parent)
		switch {
		case err != nil || !k.ours:
			return true
		case k.group != group:
			return false
		}
		parent = k.parent
	}
	return true
}

// maxAncestors is how many processes above us are asked.
const maxAncestors = 64

func relative(pid int) (k kin, err error) {
	mine, err := unix.Getsid(0)
	if err != nil {
		return k, err
	}
	session, err := unix.Getsid(pid)
	if err != nil {
		return k, err
	}
	if k.group, err = unix.Getpgid(pid); err != nil {
		return k, err
	}
	k.ours = session == mine
	// Where there is no /proc, who is above the next one is not known.
	if stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); err == nil {
		fields := strings.Fields(string(stat[strings.LastIndexByte(string(stat), ')')+1:]))
		if len(fields) > 1 {
			k.parent, _ = strconv.Atoi(fields[1])
		}
	}
	if k.parent == 0 {
		k.parent = -1
	}
	return k, nil
}
