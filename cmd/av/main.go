// Command av runs a coding agent in a box that holds no credential and has one
// way out: a proxy which judges what may leave and adds the credential on the way.
package main

import (
	"context"
	"fmt"
	"os"
)

// main is the only caller of os.Exit.
func main() {
	// Before anything else: from here on no process can read the master password out of
	// this one's environment. Only then may memory be closed: whoever closes it can no
	// longer reach the environment block himself.
	password, err := takePassword()
	e := environment(password)
	if err == nil {
		if err = harden(); err != nil {
			err = fmt.Errorf("keep other processes out of this one: %w", err)
		}
	}
	if err != nil {
		e.complain(err)
		os.Exit(exitFailed)
	}
	code := execute(context.Background(), e, os.Args[1:])
	clear(e.password)
	os.Exit(code)
}
