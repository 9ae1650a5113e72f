package main

import (
	"fmt"
	"os"
)

const passwordVariable = "AV_MASTER_PASSWORD"

// takePassword takes the master password out of the environment: out of Go's own list,
// so that no child inherits it, Docker's client and the command of a host run among
// them; and out of the block that the kernel shows as /proc/PID/environ, which unsetting
// leaves as it was. An empty one is none: that is how a CI job hands over a secret that
// it does not have.
//
// What cannot be promised: between the start of the process and here the block could be
// read; whoever started av may hold the variable still, as a shell that exported it
// does; and from here on the password is in this process's memory, for as long as the
// vault may ask for it. The runtime may have copied it there, and nothing clears that.
func takePassword() ([]byte, error) {
	value, there := os.LookupEnv(passwordVariable)
	if !there {
		return nil, nil
	}
	// A copy, since Go's strings of the environment are the block itself.
	password := []byte(value)
	// Before the block is zeroed: it finds the variable by its name there.
	if err := os.Unsetenv(passwordVariable); err != nil {
		return nil, fmt.Errorf("take %s out of the environment: %w", passwordVariable, err)
	}
	if err := scrub(passwordVariable); err != nil {
		clear(password)
		return nil, withHint(fmt.Errorf("take %s out of this process's environment block: %w", passwordVariable, err),
			"leave the variable away and use --password-file")
	}
	return password, nil
}
