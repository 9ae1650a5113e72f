package images

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"strings"

	"github.com/av-project/av/netiso/engine"
)

//go:embed agent/Dockerfile
var agentDockerfile []byte

//go:embed agent/install.sh
var agentInstall []byte

// agentPrefix begins the name of every agent's image.
const agentPrefix = "av-agent-"

// Recipe is what goes into an agent's image. Its packages stand in a shell's command line:
// whoever makes a recipe lets none through that is more than one word there.
type Recipe struct {
	Name             string
	NPM, Debian, Pip []string
	// Archive is a tar to fetch, as words: for each architecture (Debian's name) its address
	// and its SHA-256. Programs are the paths in it to put on the PATH.
	Archive, Programs []string `json:",omitempty"`
}

// None tells whether there is nothing to install.
func (r Recipe) None() bool { return len(r.NPM)+len(r.Debian)+len(r.Pip)+len(r.Archive) == 0 }

// Tag is the name of the image that is built of the recipe. It follows from what av puts in,
// and not from where that was fetched.
func (r Recipe) Tag() string {
	body, err := json.Marshal(r)
	if err != nil {
		panic(err) // strings
	}
	return tagOf(agentPrefix+r.Name, agentDockerfile, bytes.Join([][]byte{agentInstall, body}, []byte{0}))
}

// Agent gives the image of an agent, built if it is not there.
func (b Builder) Agent(ctx context.Context, r Recipe) (string, error) {
	return b.ensure(ctx, agentPrefix+r.Name, r.Tag(), func() plan { return r.plan(b.site(), Choice{}) })
}

// Choice is what somebody wants otherwise of a build.
type Choice struct {
	// From is the image to build on; empty: Debian's.
	From string
	// Args are arguments of the build, before those of the site.
	Args map[string]string
}

// MakeAgent builds the image of an agent, be it there or not. It gets the name under which
// runs look for it.
func (b Builder) MakeAgent(ctx context.Context, r Recipe, c Choice) (string, error) {
	return r.Tag(), b.build(ctx, agentPrefix+r.Name, r.Tag(), r.plan(b.site(), c))
}

func (r Recipe) plan(s Site, c Choice) plan {
	args := map[string]string{}
	maps.Copy(args, s.Args)
	maps.Copy(args, c.Args)
	if c.From != "" {
		args["FROM"] = c.From
	}
	for name, list := range map[string][]string{"NPM": r.NPM, "DEBIAN": r.Debian, "PIP": r.Pip, "ARCHIVE": r.Archive, "PROGRAMS": r.Programs} {
		args[name] = strings.Join(list, " ")
	}
	return plan{dockerfile: agentDockerfile, args: args,
		texts: map[string][]byte{"build/install.sh": agentInstall, "build/ca.pem": s.CA}}
}

// site is what the host's network wants, looked for when something is built.
func (b Builder) site() Site {
	if b.Site == nil {
		return Site{}
	}
	s := b.Site()
	for _, note := range s.Notes {
		b.Say(note)
	}
	return s
}

// ensure gives the image of a tag, built by a plan if it is not there.
func (b Builder) ensure(ctx context.Context, name, tag string, make func() plan) (string, error) {
	if _, err := b.Engine.Image(ctx, tag); err == nil || !errors.Is(err, engine.ErrNotFound) {
		return tag, err
	}
	unlock := lock(ctx, tag)
	defer unlock()
	if _, err := b.Engine.Image(ctx, tag); err == nil {
		return tag, nil // somebody else has built it while we waited
	}
	b.Say(fmt.Sprintf("building the image %s (once; this takes a minute or two)", tag))
	return tag, b.build(ctx, name, tag, make())
}

// plan is a build: its Dockerfile, its arguments, and what it copies.
type plan struct {
	dockerfile []byte
	args       map[string]string
	files      map[string]string // name in the build to path here
	texts      map[string][]byte // name in the build to content
}
