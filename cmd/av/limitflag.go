package main

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// limit is what --limit can name.
type limit struct {
	name, what string
	set        func(l *vault.Limits, value string) error
	shown      func(l vault.Limits) string
	// fill takes the limit from another, where it is not set.
	fill func(l *vault.Limits, other vault.Limits)
}

// bytesOut is the limit that a host can have, too: max_bytes_out@HOST.
const bytesOut = "max_bytes_out"

var limitNames = []limit{
	limitOf("connections", "connections open at a time, tunnels among them", readCount, strconv.Itoa,
		func(l *vault.Limits) *int { return &l.Connections }),
	limitOf("requests", "requests under way at a time", readCount, strconv.Itoa,
		func(l *vault.Limits) *int { return &l.Requests }),
	limitOf("rate", "requests a second, refused ones among them", readCount, strconv.Itoa,
		func(l *vault.Limits) *int { return &l.Rate }),
	limitOf("credential_rate", "requests a second that one credential goes into", readCount, strconv.Itoa,
		func(l *vault.Limits) *int { return &l.CredentialRate }),
	limitOf("max_body", "bytes of one request's body", readBudget, policy.FormatSize,
		func(l *vault.Limits) *int64 { return &l.MaxBody }),
	limitOf("idle", "how long a request may go on without a byte", parsePeriod, period,
		func(l *vault.Limits) *time.Duration { return &l.Idle }),
	limitOf("total", "how long a request may take in all", parsePeriod, period,
		func(l *vault.Limits) *time.Duration { return &l.Total }),
	limitOf(bytesOut, "bytes that it may send out, heads included", readBudget, policy.FormatSize,
		func(l *vault.Limits) *int64 { return &l.MaxBytesOut }),
}

func limitOf[T comparable](name, what string, read func(string) (T, error), write func(T) string, at func(*vault.Limits) *T) limit {
	return limit{name, what,
		func(l *vault.Limits, value string) (err error) {
			*at(l), err = read(value)
			return err
		},
		func(l vault.Limits) string {
			var none T
			if *at(&l) == none {
				return "any"
			}
			return write(*at(&l))
		},
		func(l *vault.Limits, other vault.Limits) {
			var none T
			if *at(l) == none {
				*at(l) = *at(&other)
			}
		}}
}

func limitFlag(c *cobra.Command, list *[]string) {
	c.Flags().StringArrayVar(list, "limit", nil, "bound what the session may have and send: `NAME=VALUE`, as above")
}

// limitHelp says what --limit can name, and what holds without it.
func limitHelp() string {
	var b strings.Builder
	b.WriteString("--limit NAME=VALUE, once for each, bounds what the session may have of the proxy, and\nwhat it may send out:\n\n")
	for _, l := range limitNames {
		fmt.Fprintf(&b, "  %-20s %s (%s)\n", l.name, l.what, l.shown(vault.DefaultLimits()))
	}
	fmt.Fprintf(&b, "  %-20s the same, to one host (any)\n", bytesOut+"@HOST")
	b.WriteString("\nIn parentheses is what holds if nothing is said. Sizes are written as 10MB or 64MiB,\ntimes as 90s or 1h.")
	return b.String()
}

// limits are what --limit names.
func limits(list []string) (l vault.Limits, err error) {
	seen := map[string]bool{}
	for _, item := range list {
		name, value, ok := strings.Cut(item, "=")
		if !ok {
			return l, withHint(fmt.Errorf("--limit %q is not NAME=VALUE", item), "such as --limit max_bytes_out=10MB")
		}
		name, set, err := limitNamed(name)
		if err != nil {
			return l, err
		}
		if seen[name] {
			return l, withHint(fmt.Errorf("--limit %s is given twice", name), "give it once")
		}
		seen[name] = true
		if err := set(&l, value); err != nil {
			return l, fmt.Errorf("--limit %s: %w", name, err)
		}
	}
	// Here and not first in the vault: that may ask for a password before it looks.
	return l, l.Check()
}

// limitNamed finds a limit, and its name as everybody spells it.
func limitNamed(typed string) (name string, set func(*vault.Limits, string) error, err error) {
	name, host, ofHost := strings.Cut(typed, "@")
	name = strings.ReplaceAll(name, "-", "_")
	var known []string
	for _, l := range limitNames {
		if l.name == name && !ofHost {
			return name, l.set, nil
		}
		known = append(known, l.name)
	}
	if name != bytesOut {
		return "", nil, withHint(fmt.Errorf("--limit: there is no limit %q", typed), "the limits are "+strings.Join(known, ", ")+" and "+bytesOut+"@HOST")
	}
	if host, err = policy.ParseHost(host); err != nil {
		return "", nil, elseHint(fmt.Errorf("--limit %s@HOST: %w", name, err), "name one host without a port, such as api.example.com")
	}
	return name + "@" + host, func(l *vault.Limits, value string) (err error) {
		if l.HostMaxBytesOut == nil {
			l.HostMaxBytesOut = map[string]int64{}
		}
		l.HostMaxBytesOut[host], err = readBudget(value)
		return err
	}, nil
}

func readCount(s string) (int, error) {
	n, err := strconv.ParseUint(s, 10, strconv.IntSize-1)
	// ParseUint takes 007, which is a slip or a number to another base.
	if err != nil || n == 0 || s[0] == '0' {
		return 0, withHint(fmt.Errorf("%q is no whole number above 0", s), "write it as 100")
	}
	return int(n), nil
}

// readBudget reads a size that is more than nothing.
func readBudget(s string) (int64, error) {
	n, err := policy.ParseSize(s)
	if err == nil && n == 0 {
		return 0, withHint(errors.New("it is 0, and nothing could be sent"), "write it as 10MB, or leave it out")
	}
	return n, err
}
