package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// maxLogged is how many records can be asked for at once.
const maxLogged = 1_000_000

// logFlags are what `av logs` can be told.
type logFlags struct {
	run    string
	lines  int
	audit  bool
	verify bool
	json   bool
}

func logsCommand(e *env) *cobra.Command {
	var f logFlags
	c := &cobra.Command{
		Use:   "logs",
		Short: "show what was asked of the world, or who did what with the vault",
		Long: `Show the records of requests, the newest last: when, whether it was allowed, where to, by
which rule. With --run those of one run.

--audit shows the privileged acts instead: who set, read or deleted what, opened which
session, and how it ended. These rows are chained: --verify follows the chain and finds a
row that was edited, removed or put elsewhere. It wants the master password, for what is
sealed with the key cannot be forged by whoever writes the file.

What a program in a box chose, such as paths and hosts, is shown with its control
characters written out.`,
		Example: `  av logs -n 20
  av logs --run 7f3a --json
  av logs --audit --verify`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			switch {
			case f.lines < 1 || f.lines > maxLogged:
				return withHint(fmt.Errorf("cannot show %d records", f.lines), fmt.Sprintf("-n takes a number from 1 to %d", maxLogged))
			case f.verify && !f.audit:
				return withHint(errors.New("--verify is for the audit log"), "av logs --audit --verify")
			case f.audit && c.Flags().Changed("run"):
				return withHint(errors.New("--run is for requests, and acts belong to no run"), "leave out --run or --audit")
			case c.Flags().Changed("run") && f.run == "":
				return withHint(errors.New("--run names no run"), "leave it out for all runs")
			}
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				switch {
				case f.verify:
					return e.verifyAudit(ctx, v, f)
				case f.audit:
					return e.acts(ctx, v, f)
				}
				return e.requests(ctx, v, f)
			})
		},
	}
	flags := c.Flags()
	flags.StringVar(&f.run, "run", "", "only the requests of the run `ID`")
	flags.IntVarP(&f.lines, "lines", "n", 100, "the last `N`")
	flags.BoolVar(&f.audit, "audit", false, "show who did what with the vault instead")
	flags.BoolVar(&f.verify, "verify", false, "with --audit: look whether the log is whole")
	jsonFlag(c, &f.json)
	return inVault(c)
}

func (e *env) requests(ctx context.Context, v *vault.Vault, f logFlags) error {
	list, err := v.Requests(ctx, vault.Owner(), f.run, f.lines)
	if err != nil {
		return err
	}
	if f.json {
		if list == nil {
			list = []vault.Entry{}
		}
		return e.printJSON(list)
	}
	if len(list) == 0 {
		e.tell("no requests are recorded")
		return nil
	}
	rows := make([][]string, len(list))
	for i, r := range list {
		verdict := "denied"
		if r.Allowed {
			verdict = "allowed"
		}
		status := ""
		if r.Status > 0 {
			status = strconv.Itoa(r.Status)
		}
		where := ""
		if r.Host != "" {
			where = policy.Target{Host: r.Host, Port: r.Port}.String()
		}
		rows[i] = []string{at(r.Time), r.Run, verdict, r.Method, where, r.Path, status, r.Rule, r.Reason}
	}
	return e.table([]string{"TIME", "RUN", "VERDICT", "METHOD", "TARGET", "PATH", "STATUS", "RULE", "REASON"}, rows)
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
