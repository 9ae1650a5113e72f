package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
)

// maxLogged is how many records can be asked for at once.
const maxLogged = 1_000_000

// logFlags are what `av logs` can be told.
type logFlags struct {
	run, host, since string
	denied, follow   bool
	lines            int
	audit            bool
	verify           bool
	json, har        bool
}

func logsCommand(e *env) *cobra.Command {
	var f logFlags
	c := &cobra.Command{
		Use:   "logs",
		Short: "show what was asked of the world, or who did what with the vault",
		Long: `Show the records of requests, the newest last: when, whether it was allowed, where to, by
which rule. --run, --host, --denied and --since choose among them, and -f goes on showing
what comes until it is interrupted. A denial that came again and again is one record with
a count, such as "denied x312"; -f shows it when it is new, with the count of that moment.

--json has all that is recorded, among it how long each part of a request took, in
nanoseconds; with -f it is one object per line. --har is for tools that read HTTP
archives, such as a browser's: bodies and headers are not recorded, so it has none.

What is kept, and for how long, is ` + "`av logs retention`" + `.

--audit shows the privileged acts instead: who set, read or deleted what, opened which
session, and how it ended. These rows are chained: --verify follows the chain and finds a
row that was edited, removed or put elsewhere. It wants the master password, for what is
sealed with the key cannot be forged by whoever writes the file.

What a program in a box chose, such as paths and hosts, is shown with its control
characters written out.`,
		Example: `  av logs -n 20
  av logs -f --denied
  av logs --run 7f3a --json
  av logs --host '*.github.com' --since 2h --har > requests.har
  av logs --audit --verify`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			filter, err := f.check(c, time.Now())
			if err != nil {
				return err
			}
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				switch {
				case f.verify:
					return e.verifyAudit(ctx, v, f)
				case f.audit:
					return e.acts(ctx, v, f)
				case f.follow:
					return e.follow(ctx, v, f, filter)
				}
				return e.requests(ctx, v, f, filter)
			})
		},
	}
	flags := c.Flags()
	flags.BoolVarP(&f.follow, "follow", "f", false, "go on showing what comes")
	flags.StringVar(&f.run, "run", "", "only the requests of the run `ID`")
	flags.StringVar(&f.host, "host", "", "only those to `HOST`, which may be *.DOMAIN")
	flags.BoolVar(&f.denied, "denied", false, "only those that were denied")
	flags.StringVar(&f.since, "since", "", "only those since `TIME`, such as 2026-01-31 or 15:04, or for that long, such as 90m or 7d")
	flags.IntVarP(&f.lines, "lines", "n", 100, "the last `N`; with --since or --har all, if not said")
	flags.BoolVar(&f.audit, "audit", false, "show who did what with the vault instead")
	flags.BoolVar(&f.verify, "verify", false, "with --audit: look whether the log is whole")
	flags.BoolVar(&f.har, "har", false, "print an HTTP archive (HAR 1.2)")
	jsonFlag(c, &f.json)
	c.AddCommand(retentionCommand(e))
	return inVault(c)
}

// check refuses what does not go together, and tells which requests are meant.
func (f *logFlags) check(c *cobra.Command, now time.Time) (filter vault.Filter, err error) {
	said := c.Flags().Changed
	for _, name := range []string{"run", "host", "since"} {
		if said(name) && c.Flags().Lookup(name).Value.String() == "" {
			return filter, withHint(fmt.Errorf("--%s names nothing", name), "leave it out for all requests")
		}
	}
	if f.audit {
		for _, name := range []string{"run", "host", "since", "denied", "follow", "har"} {
			if said(name) {
				return filter, withHint(fmt.Errorf("--%s is for requests, and --audit shows acts", name), "leave one of the two out")
			}
		}
	}
	switch {
	case f.lines < 1 || f.lines > maxLogged:
		return filter, withHint(fmt.Errorf("cannot show %d records", f.lines), fmt.Sprintf("-n takes a number from 1 to %d", maxLogged))
	case f.verify && !f.audit:
		return filter, withHint(errors.New("--verify is for the audit log"), "av logs --audit --verify")
	case f.har && f.json:
		return filter, withHint(errors.New("--har and --json are two formats"), "leave one of the two out")
	case f.har && f.follow:
		return filter, withHint(errors.New("an HTTP archive has an end, and -f has none"), "av logs -f --json prints an object per line")
	}
	filter = vault.Filter{Run: f.run, Host: f.host, Denied: f.denied, Limit: f.lines}
	if !said("lines") && (said("since") || f.har) {
		filter.Limit = maxLogged
	}
	if said("since") {
		filter.Since, err = parseSince(f.since, now)
	}
	return filter, err
}

func (e *env) acts(ctx context.Context, v *vault.Vault, f logFlags) error {
	list, err := v.Acts(ctx, vault.Owner(), f.lines)
	if err != nil {
		return err
	}
	if f.json {
		return e.printJSON(list)
	}
	rows := make([][]string, len(list))
	for i, a := range list {
		outcome := "done"
		if a.Error != "" {
			outcome = "refused: " + a.Error
		}
		rows[i] = []string{strconv.FormatInt(a.ID, 10), at(a.Time), a.Vault, a.Caller, a.Role, a.Act, a.Object, outcome}
	}
	return e.table([]string{"ROW", "TIME", "VAULT", "CALLER", "ROLE", "ACT", "OBJECT", "OUTCOME"}, rows)
}

func (e *env) verifyAudit(ctx context.Context, v *vault.Vault, f logFlags) error {
	verified, err := v.VerifyAudit(ctx, vault.Owner())
	if err != nil {
		return err
	}
	if f.json {
		return e.printJSON(verified)
	}
	if _, err := fmt.Fprintf(e.stdout, "the audit log is whole: %s, sealed with the key up to row %d\n", count(verified.Rows, "row"), verified.Sealed); err != nil {
		return err
	}
	if verified.Since > 1 {
		e.tell("rows before row %d had no seal then: an earlier av wrote them, or somebody took it away and may have changed them", verified.Since)
	}
	return nil
}
