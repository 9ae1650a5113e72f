package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/av-project/av/images"
	"github.com/av-project/av/images/agents"
	"github.com/av-project/av/netiso/engine"
)

func imageCommand(e *env) *cobra.Command {
	return group("image", "build, list and remove the images that runs are in", imageBuild(e), imageList(e), imagePrune(e))
}

// imageFlags are what `av image build` can be told.
type imageFlags struct {
	agent, from string
	args        []string
}

func imageBuild(e *env) *cobra.Command {
	var f imageFlags
	c := &cobra.Command{
		Use:   "build",
		Short: "build an image before it is needed, or otherwise than av would",
		Long: `Build the image of an agent, be it there or not; without --agent, those of the gate and
of commands that are no agent's, if they are not there. A run does the same when
it needs an image.

What this host trusts is trusted while it is built, so that it works behind a proxy
that looks into TLS. npm's registry and the proxies of docker's own configuration are
handed on. --build-arg DEBIAN_MIRROR=URL names another archive of Debian's.`,
		Example: `  av image build --agent claude
  av image build --agent codex --from registry.corp.example/debian:bookworm-slim --build-arg DEBIAN_MIRROR=https://mirror.corp.example/debian
  av image build --agent claude --build-arg HTTPS_PROXY`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error { return e.buildImages(c.Context(), f) },
	}
	c.Flags().StringVar(&f.agent, "agent", "", "build the image of the agent `NAME`")
	c.Flags().StringVar(&f.from, "from", "", "build on `IMAGE` in place of debian:bookworm-slim; it must be a Debian or Ubuntu")
	c.Flags().StringArrayVar(&f.args, "build-arg", nil, "set `K=V`, or hand on K, as an argument of the build; an image's history shows it")
	return c
}

func (e *env) buildImages(ctx context.Context, f imageFlags) error {
	choice := images.Choice{From: f.from, Args: map[string]string{}}
	for _, kv := range f.args {
		name, value, set := strings.Cut(kv, "=")
		if !set {
			value = e.getenv(name)
		}
		if name == "" || strings.ContainsAny(name, " \t\n\x00") {
			return withHint(fmt.Errorf("--build-arg wants a name without blanks, not %q", name), "use --build-arg NAME=VALUE, or --build-arg NAME to hand on your own")
		}
		choice.Args[name] = value
	}
	if f.agent == "" && (f.from != "" || len(f.args) > 0) {
		return withHint(errors.New("--from and --build-arg are for the image of an agent"), "add --agent NAME; `av agents` lists them")
	}
	var a agents.Agent
	if f.agent != "" {
		set, err := e.agents()
		if err != nil {
			return err
		}
		if a, err = set.Find(f.agent); err != nil {
			return err
		}
		if err := installable(a, "build an image that holds it, and name that in `av run --image`"); err != nil {
			return err
		}
	}
	return e.withBuilder(ctx, func(ctx context.Context, b images.Builder) error {
		b.Progress = func(text string) { _, _ = fmt.Fprintln(e.stderr, cleanLines(strings.TrimRight(text, "\r\n"))) }
		var tags []string
		switch {
		case !a.Install.None():
			tag, err := b.MakeAgent(ctx, recipe(a), choice)
			if err != nil {
				return err
			}
			tags = append(tags, tag)
		default:
			for _, build := range []func(context.Context) (string, error){b.Gate, b.Base} {
				tag, err := build(ctx)
				if err != nil {
					return err
				}
				tags = append(tags, tag)
			}
		}
		_, err := fmt.Fprintln(e.stdout, strings.Join(tags, "\n"))
		return err
	})
}

// withBuilder hands f what builds and finds images.
func (e *env) withBuilder(ctx context.Context, f func(context.Context, images.Builder) error) error {
	program, err := os.Executable()
	if err != nil {
		return fmt.Errorf("find this program's own file: %w", err)
	}
	ctx, stop := interruptible(ctx)
	defer stop()
	eng, err := engine.Connect(ctx)
	if err != nil {
		return err
	}
	defer eng.Close()
	return f(ctx, images.Builder{
		Engine: eng, Program: program,
		Say:  func(text string) { e.tell("%s", text) },
		Site: func() images.Site { return images.FindSite(e.getenv) },
	})
}

// recipes are those of the agents that are known.
func (e *env) recipes() (list []images.Recipe, err error) {
	set, err := e.agents()
	for _, a := range set {
		if !a.Install.None() {
			list = append(list, recipe(a))
		}
	}
	return list, err
}

func imageList(e *env) *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "list av's images",
		Long: `List the images that av has built on this Docker engine. A run of this av uses those that
are current; ` + "`av image prune`" + ` removes those that are old.`,
		Example: `  av image list
  av image list --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			recipes, err := e.recipes()
			if err != nil {
				return err
			}
			return e.withBuilder(c.Context(), func(ctx context.Context, b images.Builder) error {
				list, err := b.List(ctx, recipes)
				if err != nil {
					return err
				}
				if asJSON {
					if list == nil {
						list = []images.Built{}
					}
					return e.printJSON(list)
				}
				return e.printImages(list)
			})
		},
	}
	jsonFlag(c, &asJSON)
	return c
}

func (e *env) printImages(list []images.Built) error {
	if len(list) == 0 {
		e.tell("no image of av's is here")
		return nil
	}
	rows := make([][]string, len(list))
	for i, b := range list {
		state := "old"
		switch {
		case b.Current:
			state = "current"
		case !b.Known:
			state = "of an agent that is not known here"
		case b.Used:
			state = "old, in use"
		}
		rows[i] = []string{b.Image, at(b.Made), fmt.Sprintf("%d MB", b.Size/1_000_000), state}
	}
	return e.table([]string{"IMAGE", "MADE", "SIZE", "STATE"}, rows)
}

func imagePrune(e *env) *cobra.Command {
	var agent string
	c := &cobra.Command{
		Use:   "prune",
		Short: "remove av's images that nothing uses any more",
		Long: `Remove images that av has built, of which there is a newer recipe now and which no
container uses. Those that runs of this av use stay, and so does what is not av's.
What a build keeps besides is Docker's cache: ` + "`docker image prune`" + ` clears that.`,
		Example: `  av image prune
  av image prune --agent claude`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			recipes, err := e.recipes()
			if err != nil {
				return err
			}
			if agent != "" {
				set, err := e.agents()
				if err != nil {
					return err
				}
				if _, err := set.Find(agent); err != nil {
					return err
				}
				recipes = slices.DeleteFunc(recipes, func(r images.Recipe) bool { return r.Name != agent })
			}
			return e.withBuilder(c.Context(), func(ctx context.Context, b images.Builder) error {
				list, err := b.List(ctx, recipes)
				if err != nil {
					return err
				}
				if agent != "" {
					list = slices.DeleteFunc(list, func(i images.Built) bool { return !i.Of(agent) })
				}
				removed, err := b.Prune(ctx, list)
				for _, i := range removed {
					_, _ = fmt.Fprintln(e.stdout, "removed "+i.Image)
				}
				if len(removed) == 0 && err == nil {
					e.tell("there is nothing to remove")
				}
				return err
			})
		},
	}
	c.Flags().StringVar(&agent, "agent", "", "only images of the agent `NAME`")
	return c
}
