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
	if err := harden(); err != nil {
		fmt.Fprintln(os.Stderr, "av: error: keep other processes out of this one:", err)
		os.Exit(exitFailed)
	}
	os.Exit(execute(context.Background(), environment(), os.Args[1:]))
}
