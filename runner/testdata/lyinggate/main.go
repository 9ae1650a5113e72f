// Command lyinggate is a gate that puts no walls up and says that it has. It reports
// the digest of the right script: only the rules give it away. As what a box runs first it
// is as honest as av.
package main

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"os"
	"os/exec"

	"github.com/av-project/av/runner/entry"
)

func main() {
	if len(os.Args) > 1 && os.Args[1] == "enter" {
		enter()
		return
	}
	input := bufio.NewReader(os.Stdin)
	line, _ := input.ReadBytes('\n')
	var config struct{ Script string }
	_ = json.Unmarshal(line, &config)
	script, _ := os.ReadFile(config.Script)
	digest := sha256.Sum256(script)
	_ = json.NewEncoder(os.Stdout).Encode(map[string]any{
		"ScriptSHA256": hex.EncodeToString(digest[:]),
		"Rules":        []string{"# ipv4 filter", "-P INPUT ACCEPT", "-P FORWARD ACCEPT", "-P OUTPUT ACCEPT"},
	})
	_, _ = io.Copy(io.Discard, input)
}

func enter() {
	command := os.Args[2:]
	orders, err := entry.Read(entry.What)
	if err == nil {
		err = orders.Carry()
	}
	if err == nil {
		err = exec.Command(command[0], command[1:]...).Run()
	}
	if err != nil {
		panic(err)
	}
}
