package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
)

func retentionCommand(e *env) *cobra.Command {
	var age string
	var rows int
	var asJSON bool
	c := &cobra.Command{
		Use:   "retention",
		Short: "show or set how long records of requests are kept",
		Long: `Show how long records of requests are kept, or set it with --age and --rows: until they
are older than that, and no more than the newest so many of each vault. It is one setting
for all vaults of the file; 30 days and 1000000 records if nobody has set it.

What is older or more is removed while new records are written, and at once from the
vault in use when it is set here. The audit log stays as it is.`,
		Example: `  av logs retention
  av logs retention --age 90d --rows 200000`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			var set vault.Retention
			if c.Flags().Changed("age") {
				var err error
				if set.Age, err = parsePeriod(age); err != nil {
					return err
				}
			}
			change := c.Flags().Changed("age") || c.Flags().Changed("rows")
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				r, err := v.Retention(ctx, vault.Owner())
				if change && c.Flags().Changed("age") && c.Flags().Changed("rows") {
					err = nil // it is said anew, whatever was there
				}
				if err != nil {
					return err
				}
				if set.Age > 0 {
					r.Age = set.Age
				}
				if c.Flags().Changed("rows") {
					r.Rows = rows
				}
				if change {
					if err := e.setRetention(ctx, v, r); err != nil {
						return err
					}
				}
				return e.printRetention(r, asJSON)
			})
		},
	}
	c.Flags().StringVar(&age, "age", "", "keep them for `PERIOD`, such as 12h or 90d")
	c.Flags().IntVar(&rows, "rows", 0, "keep the newest `N` of each vault")
	jsonFlag(c, &asJSON)
	return c
}

func (e *env) setRetention(ctx context.Context, v *vault.Vault, r vault.Retention) error {
	if err := v.SetRetention(ctx, vault.Owner(), r); err != nil {
		return err
	}
	removed, err := v.RemoveSurplus(ctx, vault.Owner())
	if removed > 0 {
		e.tell("removed %s of vault %s", count(removed, "record"), v.Name())
	}
	return err
}

func (e *env) printRetention(r vault.Retention, asJSON bool) error {
	if asJSON {
		return e.printJSON(map[string]any{"age": period(r.Age), "rows": r.Rows})
	}
	_, err := fmt.Fprintf(e.stdout, "records of requests are kept for %s, at most %d of each vault\n", period(r.Age), r.Rows)
	return err
}
