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

// summary is what the run asked of the world; nothing where no session was opened. A
// record that is missing is an error.
func (b *broker) summary(ctx context.Context) (s vault.Summary, err error) {
	if b.run == "" {
		return s, nil
	}
	if s, err = b.vault.Summary(ctx, vault.Owner(), b.run); err != nil {
		return s, fmt.Errorf("read the run's requests: %w", err)
	}
	return s, lost(s.Lost)
}

// lost is an error if records are missing.
func lost(n int) error {
	if n == 0 {
		return nil
	}
	return withHint(fmt.Errorf("%s could not be recorded", count(n, "request")), "see whether the disk of AV_HOME is full")
}

// unused is what the proxy says of a tunnel that its client opened and then had no use
// for. Some clients open one more than they need, which is no news beside the others.
var unused = []string{
	"closed waiting for the first byte",
	"the tunnel was closed before a request could be read",
}

// describe renders a summary in one line.
func describe(s vault.Summary) string {
	hosts := map[string]bool{}
	tunnels := 0
	var denied, allow, failed, unread []string
	for _, h := range s.Hosts {
		if h.Target.Host == "" {
			if h.Denied > 0 {
				denied = append(denied, "what could not be read")
			}
			continue
		}
		hosts[h.Target.Host] = true
		reason := ""
		if h.Reason != "" {
			reason = " (" + h.Reason + ")"
		}
		if h.Failed > 0 && (h.Requests == h.Denied+h.Failed || !slices.Contains(unused, h.Reason)) {
			failed = append(failed, h.Target.String()+reason)
			tunnels += h.Failed
			// A client that said nothing on the port of HTTPS was not held up by us.
			if h.RawHint != "" && (h.Target.Port != httpsPort || !slices.Contains(unused, h.Reason)) {
				unread = append(unread, "--allow "+policy.RawFlag(h.Target))
			}
			reason = ""
		}
		if h.Denied == 0 {
			continue
		}
		name := h.Target.String()
		switch {
		case h.Hint == "":
			name += reason
		case allowable(h.Target) && allowFlag(h.Target) != "":
			allow = append(allow, allowFlag(h.Target))
		}
		denied = append(denied, name)
	}
	line := fmt.Sprintf("%s to %s", count(s.Requests, "request"), count(len(hosts), "host"))
	if s.NotKept > 0 {
		line += fmt.Sprintf(" (and %d more, too many to keep a record of)", s.NotKept)
	}
	if s.Denied == 0 {
		line += ", none denied"
	} else {
		line += fmt.Sprintf(", %d denied: %s", s.Denied, list(denied, ", "))
	}
	if len(allow) > 0 {
		line += "; to allow, add " + list(allow, " ")
	}
	if len(failed) > 0 {
		line += fmt.Sprintf("; %s carried nothing: %s", count(tunnels, "tunnel"), list(failed, ", "))
	}
	if len(unread) > 0 {
		line += "; to carry it unread, add " + list(unread, " ")
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

const httpsPort = 443

// otherProtocols are ports on which no HTTP is to be expected. A connection to one was
// refused before it said anything, so the port is all there is to tell by.
var otherProtocols = map[uint16]bool{
	21: true, 22: true, 23: true, 25: true, 53: true, 110: true, 143: true, 389: true, 465: true, 587: true, 636: true, 853: true,
	993: true, 995: true, 1433: true, 1521: true, 1883: true, 3306: true, 4222: true, 5432: true, 5672: true, 6379: true,
	8883: true, 9042: true, 9092: true, 9418: true, 11211: true, 27017: true,
}

// allowFlag is the flag that lets a run reach t and speak there what is spoken there.
func allowFlag(t policy.Target) string {
	if otherProtocols[t.Port] && !policy.OnHost(t.Host) {
		return "--allow " + policy.RawFlag(t)
	}
	return policy.AllowFlag(t)
}

func count(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
