package main

import (
	"context"
	"fmt"
	"net/netip"
	"slices"
	"strings"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

// maxListed is how many targets the summary names: an agent may ask for thousands.
const maxListed = 5

// summary says in one line what the run asked of the world; nothing where no session
// was opened. A record that is missing is an error.
func (b *broker) summary(ctx context.Context) (string, error) {
	if b.run == "" {
		return "", nil
	}
	s, err := b.vault.Summary(ctx, vault.Owner(), b.run)
	if err != nil {
		return "", fmt.Errorf("read the run's requests: %w", err)
	}
	reasons, err := b.reasons(ctx, s)
	if err != nil {
		return "", err
	}
	if s.Lost > 0 {
		err = withHint(fmt.Errorf("%s could not be recorded", count(s.Lost, "request")),
			"see whether the disk of AV_HOME is full")
	}
	return describe(s, reasons), err
}

// reasons finds why targets were denied that no --allow would open.
func (b *broker) reasons(ctx context.Context, s vault.Summary) (map[policy.Target]string, error) {
	if !slices.ContainsFunc(s.Hosts, func(h vault.HostCount) bool { return h.Denied > 0 && h.Hint == "" }) {
		return nil, nil
	}
	entries, err := b.vault.Requests(ctx, vault.Owner(), b.run, 0)
	if err != nil {
		return nil, fmt.Errorf("read the run's requests: %w", err)
	}
	reasons := map[policy.Target]string{}
	for _, e := range entries {
		if !e.Allowed && e.Reason != "" {
			reasons[policy.Target{Host: e.Host, Port: e.Port}] = e.Reason
		}
	}
	return reasons, nil
}

// describe renders a summary.
func describe(s vault.Summary, reasons map[policy.Target]string) string {
	hosts := map[string]bool{}
	var denied, allow []string
	for _, h := range s.Hosts {
		if h.Target.Host == "" {
			if h.Denied > 0 {
				denied = append(denied, "what could not be read")
			}
			continue
		}
		hosts[h.Target.Host] = true
		if h.Denied == 0 {
			continue
		}
		name := h.Target.String()
		switch {
		case h.Hint != "" && allowable(h.Target):
			allow = append(allow, policy.AllowFlag(h.Target))
		case h.Hint == "" && reasons[h.Target] != "":
			name += " (" + reasons[h.Target] + ")"
		}
		denied = append(denied, name)
	}
	line := fmt.Sprintf("%s to %s", count(s.Requests, "request"), count(len(hosts), "host"))
	if s.NotKept > 0 {
		line += fmt.Sprintf(" (and %d more, too many to keep a record of)", s.NotKept)
	}
	if s.Denied == 0 {
		return line + ", none denied"
	}
	line += fmt.Sprintf(", %d denied: %s", s.Denied, list(denied, ", "))
	if len(allow) > 0 {
		line += "; to allow, add " + list(allow, " ")
	}
	return line
}

// list joins the first few.
func list(words []string, separator string) string {
	if over := len(words) - maxListed; over > 0 {
		return strings.Join(words[:maxListed], separator) + fmt.Sprintf("%sand %d more", separator, over)
	}
	return strings.Join(words, separator)
}

// allowable tells whether --allow could open a target: addresses of this machine and
// its networks need a service that names them.
func allowable(t policy.Target) bool {
	addr, err := netip.ParseAddr(t.Host)
	return err != nil || addr.IsGlobalUnicast() && !addr.IsPrivate()
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
