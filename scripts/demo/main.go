// Command demo shows av's main job on this machine, with no network but one of its
// own making: it attacks a box from inside, and checks every line that it prints.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"

	"github.com/av-project/av/scripts/fakenet"
)

func main() {
	av := flag.String("av", "bin/av", "the av to show")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := show(ctx, *av)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "demo: error:", err)
		os.Exit(1)
	}
}

// show runs the whole demonstration. It goes on after a line that fails, and fails
// at the end.
func show(ctx context.Context, av string) (err error) {
	av, err = filepath.Abs(av)
	if err != nil {
		return err
	}
	dir, err := os.MkdirTemp("", "av-demo-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	internet, err := fakenet.New(ctx)
	if err != nil {
		return err
	}
	defer internet.Close()
	d := &demo{ctx: ctx, av: av, dir: dir, internet: internet, secret: internet.API().Secret()}
	for _, act := range []struct {
		title string
		play  func()
	}{
		{"A fake internet with an HTTPS API at " + fakenet.APIName + " that wants a bearer token; a throw-away vault that has it", d.setUp},
		{"The agent calls the API with plain curl, in a box that holds no credential", d.call},
		{"The credential is nowhere that the agent could look", d.search},
		{"A tool that ignores HTTPS_PROXY is caught and policed alike", d.catch},
		{"What leaves an ordinary container does not leave the box", d.escape},
		{"Nothing is left behind", d.nothingLeft},
	} {
		fmt.Printf("\n%s\n", act.title)
		act.play()
		if ctx.Err() != nil {
			return ctx.Err()
		}
	}
	if d.failed > 0 {
		return fmt.Errorf("%d of %d checks failed", d.failed, d.checks)
	}
	fmt.Printf("\nAll %d checks hold. To run your own agent with your own key:\n\n%s\n", d.checks, next)
	return nil
}

// next is what a user types after the demo.
const next = `  bin/av init && bin/av credential set ANTHROPIC_API_KEY
  bin/av service set -f docs/examples/anthropic.yaml
  bin/av run --isolation=container --image YOUR_IMAGE --env ANTHROPIC_API_KEY=in-the-vault -- claude
`
