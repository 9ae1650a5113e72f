package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/images"
	"github.com/av-project/av/images/agents"
	"github.com/av-project/av/netiso"
	"github.com/av-project/av/runner"
	"github.com/av-project/av/runner/workcopy"
	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/catalog"
	"github.com/av-project/av/vault/policy"
)

// runFlags are what `av run` can be told.
type runFlags struct {
	isolation string
	image     string
	env       []string
	allow     []string
	presets   []string
	unmatched string
	limits    []string
	host      []string
	quiet     bool
	receipt   string
	linkFlags
	workspaceFlags
	publish publishFlags
	box     boxFlags
	agent   agentFlags
	detachFlags
	explainFlags
}

func runCommand(e *env) *cobra.Command {
	var f runFlags
	c := &cobra.Command{
		Use:   "run [flags] -- COMMAND [ARG...]",
		Short: "run a command whose requests get their credentials on the way",
		Long: `Run a command. Its requests go through av's proxy, which decides what may leave
and adds the credential that belongs there; the command never holds one.

--isolation=container runs it in a Docker container with no credential, no
capability and no way out but the proxy. The folder you are in is its /workspace.
--isolation=host (the default) only sets the proxy's variables: it keeps
credentials out of the command's environment, and does not hold it to anything.

--preset lets the command reach what a tool needs, such as a package registry:
` + "`av service catalog --presets`" + ` shows them.

` + limitHelp(),
		Example: `  av run --isolation=container -- claude
  av run --isolation=container --preset claude --preset npm -- claude
  av run --isolation=container --host-service pg=127.0.0.1:5432 -- psql -h pg.host
  av run --isolation=container --allow files.example.com --limit max_bytes_out=10MB -- make`,
		Args: func(c *cobra.Command, args []string) error {
			if f.explain && len(args) == 0 {
				return nil
			}
			if len(args) == 0 || args[0] == "" {
				return withHint(errors.New("no command to run"), "av run --isolation=container -- COMMAND [ARG...]")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			if err := f.explainFlags.check(f.detached()); err != nil {
				return err
			}
			from, err := e.applySettings(c)
			if err != nil {
				return err
			}
			if f.explain {
				return e.explain(c.Context(), f, from, args)
			}
			return e.run(c.Context(), f, args)
		},
	}
	flags := c.Flags()
	// The command's own flags are not ours, with or without "--" before it.
	flags.SetInterspersed(false)
	isolation := e.getenv("AV_ISOLATION")
	if isolation == "" {
		isolation = "host"
	}
	flags.StringVar(&f.isolation, "isolation", isolation, "`host` (set variables) or container (closed box); default from AV_ISOLATION")
	flags.StringVar(&f.image, "image", "", "`IMAGE` for the box (default: av's base image)")
	flags.StringArrayVarP(&f.env, "env", "e", nil, "set `K=V`, or hand on K, in the command's environment")
	f.workspaceFlags.add(c)
	reachFlags(c, &f.allow, &f.presets)
	flags.StringVar(&f.unmatched, "unmatched", "", "hosts that no service names: `deny` (default in a container) or allow (default on the host)")
	limitFlag(c, &f.limits)
	hostServiceFlag(c, &f.host)
	f.linkFlags.add(flags, e.getenv(relayVariable))
	f.publish.add(c)
	flags.StringVar(&f.receipt, "receipt", "", "write to `FILE`, as JSON, what the run asked of the world and how it ended")
	f.detachFlags.add(c)
	f.explainFlags.add(c)
	flags.BoolVarP(&f.quiet, "quiet", "q", false, "print nothing of av's own unless it fails")
	f.box.add(c)
	f.agent.add(c)
	return inVault(c)
}

// run is `av run`: the flags are made sense of before anything is opened or made.
func (e *env) run(ctx context.Context, f runFlags, command []string) error {
	grant, list, err := f.grant()
	if err != nil {
		return err
	}
	publish, err := f.publish.check(f.isolation)
	if err != nil {
		return err
	}
	spec := runner.Spec{HostWalls: hostWalls[f.hostWalls]}
	if err := f.box.put(f.isolation, &spec); err != nil {
		return err
	}
	agent, err := f.agent.choose(e, f.isolation, f.image, command)
	if err != nil {
		return err
	}
	if err := f.box.putHome(e, agent, command[0], &spec); err != nil {
		return err
	}
	environment, err := e.boxEnvironment(f.env)
	if err == nil && f.isolation == "container" {
		err = e.checkHandedOn(f.env)
	}
	if err != nil {
		return err
	}
	way, err := e.wayOut()
	if err != nil {
		return err
	}
	pool, err := netiso.ParsePool(e.getenv(netiso.PoolVariable))
	if err != nil {
		return err
	}
	if err := f.workspaceFlags.fill(e, f.isolation, &spec); err != nil {
		return err
	}
	if err := f.detachFlags.check(e, f.isolation); err != nil {
		return err
	}
	if e.background == nil {
		e.tellKept()
	}
	if f.detached() && e.background == nil {
		return e.runInBackground(ctx, f)
	}
	if grant.Host, err = hostServices(ctx, f.host, func(text string) { e.say(f.quiet, text) }); err != nil {
		return err
	}
	if err := e.takeStdin("the command its input"); err != nil {
		return err
	}
	receiptFile, err := openReceipt(f.receipt)
	if err != nil {
		return err
	}
	// From here on signals are the command's.
	signals := make(chan os.Signal, 16)
	if e.background != nil {
		signals = e.background.signals
	}
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT,
		syscall.SIGUSR1, syscall.SIGUSR2, syscall.SIGWINCH)
	defer signal.Stop(signals)
	if f.isolation == "container" && e.background == nil {
		signal.Notify(signals, syscall.SIGTSTP, syscall.SIGCONT)
	}
	console, err := e.console(signals)
	if err != nil {
		return err
	}

	broker := &broker{open: e.openVault, grant: grant, way: way, logger: e.logger()}
	spec.Home, spec.Command, spec.Env, spec.Image, spec.Pool, spec.Relay = e.home, command, environment, f.image, pool, relays[f.relay]
	spec.Broker, spec.Publish = broker, publish
	spec.Streams = e.streams(console)
	spec.Signals, spec.Held, spec.Suspend = signals, e.held(console), suspend
	spec.Say = func(text string) { e.say(f.quiet, text) }
	var found []runner.Found
	spec.Copied = func(made *workcopy.Copy, changes int) { e.copied(f.quiet, made, changes) }
	spec.Protected = func(one runner.Found) {
		found = append(found, one)
		e.keepFound(f.workspaceFlags, broker.run, found)
	}
	r := receipt{HostServices: grant.Host, Isolation: f.isolation, Command: command[0], Image: f.image, Began: time.Now().UTC()}
	spec.NoFirewall = f.noFirewall
	spec.Took = r.took
	spec.Walls = func(w runner.Walls) { r.Walls = w }
	spec.Refused, spec.Published = r.stop, r.publish
	f.banner(e)
	defer f.banner(e)
	code, err := e.runSpec(ctx, f, agent, list, spec)
	summary, failed := broker.summary(ctx)
	if broker.run != "" && (err == nil || failed != nil) {
		e.say(f.quiet, describe(summary)+describeHostServices(grant.Host)+r.Refused.describe())
	}
	for _, alarm := range r.alarms() {
		e.tell("%s", alarm)
	}
	r.count(summary)
	err = errors.Join(err, failed, broker.close(), e.foundInWorkspace(ctx, f.workspaceFlags, broker.run, found))
	r.Run, r.Ended, r.ExitCode = broker.run, time.Now().UTC(), code
	if err != nil {
		r.ExitCode, r.Error = exitCodeOf(err), err.Error()
	}
	if err := errors.Join(err, receiptFile.finish(r)); err != nil {
		return err
	}
	if code != 0 {
		return exitCode(code)
	}
	return nil
}

func (e *env) runSpec(ctx context.Context, f runFlags, agent agents.Agent, list []catalog.Preset, spec runner.Spec) (int, error) {
	// First of all: without a vault there is no run.
	b := spec.Broker.(*broker)
	var err error
	if b.vault, err = b.open(ctx); err != nil {
		return 0, err
	}
	if spec.Image == "" {
		spec.Recipe, spec.Site = recipe(agent), func() images.Site { return images.FindSite(e.getenv) }
	}
	if spec.Workspace, err = os.Getwd(); err != nil {
		return 0, withHint(fmt.Errorf("find the folder that we are in: %w", err), "it may have been removed: cd to another")
	}
	if spec.Program, err = os.Executable(); err != nil {
		return 0, fmt.Errorf("find this program's own file: %w", err)
	}
	if spec.Owner, err = netiso.Owner(e.home); err != nil {
		return 0, err
	}
	spec.Watchdog = func(run string, alive *os.File) (*os.Process, error) {
		return e.startWatchdog(netiso.Run{ID: run, Owner: spec.Owner}, alive)
	}
	e.sayWhere(spec.Workspace, spec.Say)
	if f.isolation == "host" {
		spec.Say("this command is on the host: it has the proxy's variables, and nothing holds it to them (--isolation=container does)")
		if err := e.complete(ctx, f, agent, list, &spec); err != nil {
			return 0, err
		}
		return runner.Host(ctx, spec, os.Environ())
	}
	complete := func(ctx context.Context, spec *runner.Spec) error { return e.complete(ctx, f, agent, list, spec) }
	password, err := e.givenPassword()
	if err != nil {
		return 0, err
	}
	clear(password)
	if password != nil {
		// To make a key of it takes as long as the engine does for a container: side by side.
		spec.Complete = complete
	} else if err := complete(ctx, &spec); err != nil {
		// It may have to be asked for, before the command takes the terminal.
		return 0, err
	}
	return runner.Container(ctx, spec)
}

// complete unlocks the vault, and says of the run what only that knows.
func (e *env) complete(ctx context.Context, f runFlags, agent agents.Agent, list []catalog.Preset, spec *runner.Spec) error {
	b := spec.Broker.(*broker)
	if err := b.ready(ctx); err != nil {
		return err
	}
	if err := checkHeld(ctx, b.vault, spec.Env); err != nil {
		return err
	}
	if err := e.outfit(ctx, agent, b, spec, f.quiet); err != nil {
		return err
	}
	if err := e.tellMissing(ctx, b.vault, list, f.quiet); err != nil || f.isolation == "host" {
		return err
	}
	var err error
	spec.Git, err = e.git(ctx, b.vault, b.grant, spec.Workspace)
	return err
}

// grant is what the run's session may do, from the flags, and the presets that they name.
func (f runFlags) grant() (g vault.Grant, list []catalog.Preset, err error) {
	switch f.isolation {
	case "container":
		g.Unmatched = policy.Deny
	case "host":
		g.Unmatched = policy.Allow
		if f.image != "" {
			return g, nil, withHint(errors.New("--image needs a container"), "add --isolation=container")
		}
	default:
		return g, nil, withHint(fmt.Errorf("unknown isolation %q", f.isolation), "use --isolation=host or --isolation=container")
	}
	if err := f.linkFlags.check(f.isolation); err != nil {
		return g, nil, err
	}
	if f.unmatched != "" {
		if g.Unmatched, err = unmatchedHosts(f.unmatched); err != nil {
			return g, nil, err
		}
	}
	if list, err = reach(&g, f.allow, f.presets); err != nil {
		return g, nil, err
	}
	g.Limits, err = limits(f.limits)
	return g, list, err
}

// boxEnvironment is what --env asks for. A name alone hands our own value on.
func (e *env) boxEnvironment(flags []string) ([]string, error) {
	var out []string
	for _, kv := range flags {
		name, _, set := strings.Cut(kv, "=")
		if name == "" || strings.ContainsAny(name, " \t\n\x00") || strings.Contains(kv, "\x00") {
			// The value is not repeated: it may be a secret.
			return nil, withHint(fmt.Errorf("--env wants a name without blanks, not %q", name), "use --env NAME=VALUE, or --env NAME to hand on your own")
		}
		if !set {
			value := e.getenv(name)
			if value == "" {
				continue
			}
			kv = name + "=" + value
		}
		out = append(out, kv)
	}
	return out, nil
}

// say prints one line of av's own to the person who waits.
func (e *env) say(quiet bool, text string) {
	if !quiet {
		e.tell("%s", text)
	}
}
