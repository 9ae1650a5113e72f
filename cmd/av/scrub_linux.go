package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// scrub zeroes every "name=..." in this process's environment block. It goes through
// /proc/self/mem: the kernel says where the block lies and refuses what is not memory
// of ours, so no pointer is made up, and only bytes that were just read and compared
// are written. Go's own list has one entry of each name; the block has them all.
func scrub(name string) (err error) {
	start, size, err := environmentBlock()
	if err != nil {
		return err
	}
	memory, err := os.OpenFile("/proc/self/mem", os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, memory.Close()) }()
	block := make([]byte, size)
	defer clear(block)
	if _, err := memory.ReadAt(block, start); err != nil {
		return err
	}
	for _, entry := range entries(block, name) {
		if _, err := memory.WriteAt(make([]byte, entry.size), start+int64(entry.at)); err != nil {
			return err
		}
	}
	// The proof: what other processes read.
	seen, err := os.ReadFile("/proc/self/environ")
	if err != nil {
		return err
	}
	defer clear(seen)
	if len(entries(seen, name)) > 0 {
		return errors.New("it is still there")
	}
	return nil
}

// span is a part of a block.
type span struct{ at, size int }

// entries finds every "name=..." among the zero-terminated strings of an environment
// block; a terminator is no part of its entry.
func entries(block []byte, name string) (found []span) {
	for at := 0; at < len(block); {
		size := bytes.IndexByte(block[at:], 0)
		if size < 0 {
			size = len(block) - at
		}
		if bytes.HasPrefix(block[at:at+size], []byte(name+"=")) {
			found = append(found, span{at, size})
		}
		at += size + 1
	}
	return found
}

// environmentBlock asks the kernel where this process's environment lies.
func environmentBlock() (start, size int64, err error) {
	stat, err := os.ReadFile("/proc/self/stat")
	if err != nil {
		return 0, 0, err
	}
	return parseStat(string(stat))
}

// Places of fields in /proc/PID/stat after the program's name, which is in brackets and
// may itself hold blanks and brackets: see proc_pid_stat(5), which counts from 1 and
// from before the name.
const (
	statEnvStart = 50 - 3
	statEnvEnd   = 51 - 3
)

func parseStat(stat string) (start, size int64, err error) {
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) <= statEnvEnd {
		return 0, 0, errors.New("/proc/self/stat does not say where it is")
	}
	start, err = strconv.ParseInt(fields[statEnvStart], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("/proc/self/stat: %w", err)
	}
	end, err := strconv.ParseInt(fields[statEnvEnd], 10, 64)
	if err != nil {
		return 0, 0, fmt.Errorf("/proc/self/stat: %w", err)
	}
	if start <= 0 || end < start {
		return 0, 0, fmt.Errorf("/proc/self/stat: from %d to %d is no place", start, end)
	}
	return start, end - start, nil
}
