package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// maxColumn is how wide a column grows while records are followed.
const maxColumn = 40

var requestHead = []string{"TIME", "RUN", "VERDICT", "METHOD", "TARGET", "PATH", "STATUS", "RULE", "REASON"}

// requests shows the records that are there.
func (e *env) requests(ctx context.Context, v *vault.Vault, f logFlags, filter vault.Filter) error {
	list, err := v.Records(ctx, vault.Owner(), filter)
	if err != nil {
		return elseHint(err, "`av logs --help` shows how")
	}
	switch {
	case f.har:
		return e.printJSON(archive(list))
	case f.json && list == nil:
		return e.printJSON([]vault.Entry{})
	case f.json:
		return e.printJSON(list)
	case len(list) == 0 && filter != (vault.Filter{Limit: filter.Limit}):
		e.tell("no request like that is recorded")
		return nil
	case len(list) == 0:
		e.tell("no requests are recorded")
		return nil
	}
	rows := make([][]string, len(list))
	for i, r := range list {
		rows[i] = requestRow(r)
	}
	return e.table(requestHead, rows)
}

// follow shows the records that are there and those that come, until it is interrupted.
func (e *env) follow(ctx context.Context, v *vault.Vault, f logFlags, filter vault.Filter) error {
	if f.json {
		return elseHint(v.Follow(ctx, vault.Owner(), filter, e.printLines), "`av logs --help` shows how")
	}
	c := columns{out: e.stdout, widths: make([]int, len(requestHead))}
	shown := false
	err := v.Follow(ctx, vault.Owner(), filter, func(list []vault.Entry) error {
		var rows [][]string
		if !shown {
			rows, shown = append(rows, requestHead), true
		}
		for _, r := range list {
			rows = append(rows, requestRow(r))
		}
		return c.print(rows)
	})
	return elseHint(err, "`av logs --help` shows how")
}

// printLines writes each record as one line of JSON.
func (e *env) printLines(list []vault.Entry) error {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	for _, r := range list {
		if err := encoder.Encode(r); err != nil {
			return err
		}
	}
	_, err := io.WriteString(e.stdout, cleanJSON(b.String()))
	return err
}

func requestRow(r vault.Entry) []string {
	verdict := "denied"
	if r.Allowed {
		verdict = "allowed"
	}
	if r.Count > 1 {
		verdict += fmt.Sprintf(" x%d", r.Count)
	}
	status := ""
	if r.Status > 0 {
		status = strconv.Itoa(r.Status)
	}
	where := ""
	if r.Host != "" {
		where = policy.Target{Host: r.Host, Port: r.Port}.String()
	}
	return []string{at(r.Time), r.Run, verdict, r.Method, where, r.Path, status, r.Rule, r.Reason}
}

// columns writes rows as they come: each column is as wide as the widest of its cells so
// far, within reason.
type columns struct {
	out    io.Writer
	widths []int
}

func (c *columns) print(rows [][]string) error {
	for _, row := range rows {
		for i, cell := range row {
			c.widths[i] = max(c.widths[i], min(utf8.RuneCountInString(clean(cell)), maxColumn))
		}
	}
	var b strings.Builder
	for _, row := range rows {
		for i, cell := range row {
			if cell == "" {
				cell = "-"
			}
			if i < len(row)-1 {
				fmt.Fprintf(&b, "%-*s  ", c.widths[i], clean(cell))
			} else {
				b.WriteString(clean(cell) + "\n")
			}
		}
	}
	_, err := io.WriteString(c.out, b.String())
	return err
}
