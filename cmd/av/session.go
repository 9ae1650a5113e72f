package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

func sessionCommand(e *env) *cobra.Command {
	c := group("session", "open, list and revoke ways into the proxy", sessionCreate(e), sessionList(e), sessionRevoke(e))
	c.Long = `A session is the right to use the vault's services through the proxy for a while, and no
more than that: it can read no credential. ` + "`av run`" + ` opens one for each run and ends it
with the run; these commands are for what runs elsewhere.`
	return inVault(c)
}

func sessionCreate(e *env) *cobra.Command {
	var f requestFlags
	var ttl time.Duration
	var limited, host []string
	var asJSON bool
	c := &cobra.Command{
		Use:   "create",
		Short: "open a session and print its token",
		Long: `Open a session and print its token, alone on stdout. The token is shown here and never
again: the vault keeps a hash of it. Whoever has it can send requests through the proxy
as this session until it ends, so hand it over as you would a password.

A session lasts 24 hours if --ttl does not say otherwise, from 5 minutes to 7 days.

` + limitHelp(),
		Example: `  AV_TOKEN=$(av session create --ttl 1h)
  av session create --allow files.example.com --json
  av session create --limit max_bytes_out=100MB --limit max_bytes_out@api.github.com=5MB`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			grant, err := f.grant()
			if err != nil {
				return err
			}
			if grant.Limits, err = limits(limited); err != nil {
				return err
			}
			if grant.Host, err = hostServices(c.Context(), host, func(text string) { e.tell("%s", text) }); err != nil {
				return err
			}
			if grant.TTL = ttl; ttl == 0 && c.Flags().Changed("ttl") {
				// 0 is not 24 hours to whoever writes it.
				return withHint(errors.New("a session of 0s is refused"), "it lasts from 5 minutes to 7 days")
			}
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error { return e.createSession(ctx, v, grant, asJSON) })
		},
	}
	f.add(c)
	limitFlag(c, &limited)
	hostServiceFlag(c, &host)
	c.Flags().DurationVar(&ttl, "ttl", 0, "end it after `DURATION`, such as 90m; 24h if not said")
	jsonFlag(c, &asJSON)
	return c
}

func (e *env) createSession(ctx context.Context, v *vault.Vault, grant vault.Grant, asJSON bool) error {
	opened, err := v.OpenSession(ctx, vault.Owner(), grant)
	if err != nil {
		return err
	}
	token := opened.Token.Open()
	defer clear(token)
	if asJSON {
		if err := e.printJSON(map[string]any{"id": opened.ID, "token": string(token)}); err != nil {
			return errors.Join(err, v.EndSession(ctx, vault.Owner(), opened.ID))
		}
		return nil
	}
	if _, err := fmt.Fprintf(e.stdout, "%s\n", token); err != nil {
		return errors.Join(err, v.EndSession(ctx, vault.Owner(), opened.ID)) // nobody has its token
	}
	e.tell("opened session %s; its token is not shown again; `av session revoke %s` ends it", short(opened.ID), short(opened.ID))
	return nil
}

// short is enough of an id to name it by.
func short(id string) string { return id[:min(len(id), 12)] }

func sessionList(e *env) *cobra.Command {
	var all, asJSON bool
	c := &cobra.Command{
		Use:   "list",
		Short: "list the open sessions, never their tokens",
		Long: `List the open sessions of the vault, the newest first, and with --all those that have
ended or expired too.`,
		Example: `  av session list
  av session list --all --json`,
		Args: noArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				list, err := v.Sessions(ctx, vault.Owner(), all)
				if err != nil {
					return err
				}
				if asJSON {
					return e.printJSON(list)
				}
				return e.printSessions(list)
			})
		},
	}
	c.Flags().BoolVar(&all, "all", false, "those of the past too")
	jsonFlag(c, &asJSON)
	return c
}

func (e *env) printSessions(list []vault.SessionInfo) error {
	if len(list) == 0 {
		e.tell("no session is open")
		return nil
	}
	rows := make([][]string, len(list))
	for i, s := range list {
		allows := targetNames(s.Allow)
		for _, t := range s.Raw {
			allows = strings.TrimPrefix(allows+", "+policy.RawFlag(t), ", ")
		}
		for _, h := range s.Host {
			allows = strings.TrimPrefix(allows+", "+h.String(), ", ")
		}
		rows[i] = []string{short(s.ID), s.Run, at(s.Created), at(s.Expires), at(s.Ended), unmatched(s.Unmatched), allows}
	}
	return e.table([]string{"ID", "RUN", "CREATED", "EXPIRES", "ENDED", "UNMATCHED", "ALLOWS"}, rows)
}

func unmatched(u policy.Unmatched) string {
	if u == "" {
		return string(policy.Deny)
	}
	return string(u)
}

func sessionRevoke(e *env) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID...",
		Short: "end sessions now",
		Long: `End sessions now. Their tokens and certificates are worth nothing from then on, and what
is open on them is closed within a second. The beginning of an ID is enough, if only
one session has it.`,
		Example: "  av session revoke 3f9a1c",
		Args: func(c *cobra.Command, args []string) error {
			if len(args) == 0 {
				return withHint(errors.New("name a session"), "av session revoke ID; `av session list` shows them")
			}
			return nil
		},
		RunE: func(c *cobra.Command, args []string) error {
			return e.withVault(c.Context(), func(ctx context.Context, v *vault.Vault) error {
				for i, id := range args {
					s, err := v.RevokeSession(ctx, vault.Owner(), id)
					if errors.Is(err, vault.ErrNoSession) {
						// It is not repeated: it may be a token.
						return withHint(fmt.Errorf("argument %d is the id of no open session", i+1), "`av session list` shows those that are open")
					}
					if err != nil {
						return err
					}
					e.tell("revoked session %s", short(s.ID))
				}
				return nil
			})
		},
	}
}
