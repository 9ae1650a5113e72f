// Command av runs a coding agent in a box that holds no credential and has one
// way out: a proxy which judges what may leave and adds the credential on the way.
package main

import (
	"context"
	"os"
)

// main is the only caller of os.Exit.
func main() {
	os.Exit(execute(context.Background(), environment(), os.Args[1:]))
}
