// Fetch prints what a URL answers, by Go's own TLS. With -ways it does so in three ways, each in a process of its own.
package main

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
)

func main() {
	if len(os.Args) == 3 && os.Args[1] == "-ways" {
		ways(os.Args[2])
		return
	}
	answer, err := http.Get(os.Args[1])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	io.Copy(os.Stdout, answer.Body)
}

// ways tries with the environment as it is, without a variable, and with variables that name nothing.
func ways(url string) {
	var bare []string
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "SSL_CERT_") {
			bare = append(bare, kv)
		}
	}
	for _, way := range []struct {
		name string
		env  []string
	}{{"variables", os.Environ()}, {"files", bare}, {"neither", append(bare, "SSL_CERT_FILE=/nothing", "SSL_CERT_DIR=/nothing")}} {
		child := exec.Command("/proc/self/exe", url)
		child.Env = way.env
		out, _ := child.CombinedOutput()
		fmt.Printf("%s: %s\n", way.name, bytes.TrimSpace(out))
	}
}
