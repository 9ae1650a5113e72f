package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/av-project/av/vault"
	"github.com/av-project/av/vault/policy"
)

func TestSummaryIsOneLineThatCanBeTyped(t *testing.T) {
	host := func(name string, port uint16, requests, denied int, hint string) vault.HostCount {
		return vault.HostCount{Target: policy.Target{Host: name, Port: port}, Requests: requests, Denied: denied, Hint: hint}
	}
	var many []vault.HostCount
	for i := range 9 {
		many = append(many, host(fmt.Sprintf("h%d.test", i), 443, 1, 1, "yes"))
	}
	for _, c := range []struct {
		summary vault.Summary
		reasons map[policy.Target]string
		want    string
	}{
		{vault.Summary{}, nil, "0 requests to 0 hosts, none denied"},
		{vault.Summary{Requests: 3, Hosts: []vault.HostCount{host("a.test", 443, 2, 0, ""), host("a.test", 80, 1, 0, "")}}, nil,
			"3 requests to 1 host, none denied"},
		{vault.Summary{Requests: 4, Denied: 2, Hosts: []vault.HostCount{host("a.test", 443, 2, 0, ""), host("b.test", 443, 1, 1, "yes"), host("b.test", 80, 1, 1, "yes")}}, nil,
			"4 requests to 2 hosts, 2 denied: b.test:443, b.test:80; to allow, add --allow b.test --allow b.test:80"},
		{vault.Summary{Requests: 2, Denied: 2, Hosts: []vault.HostCount{host("", 0, 1, 1, ""), host("a.test", 443, 1, 1, "")}},
			map[policy.Target]string{{Host: "a.test", Port: 443}: "the vault has no TOKEN"},
			"2 requests to 1 host, 2 denied: what could not be read, a.test:443 (the vault has no TOKEN)"},
		{vault.Summary{Requests: 1, Denied: 1, Hosts: []vault.HostCount{host("127.0.0.1", 14323, 1, 1, "yes")}}, nil,
			"1 request to 1 host, 1 denied: 127.0.0.1:14323"},
		{vault.Summary{Requests: 1, NotKept: 3, Hosts: []vault.HostCount{host("a.test", 443, 1, 0, "")}}, nil,
			"1 request to 1 host (and 3 more, too many to keep a record of), none denied"},
		{vault.Summary{Requests: 9, Denied: 9, Hosts: many}, nil,
			"9 requests to 9 hosts, 9 denied: h0.test:443, h1.test:443, h2.test:443, h3.test:443, h4.test:443, and 4 more" +
				"; to allow, add --allow h0.test --allow h1.test --allow h2.test --allow h3.test --allow h4.test and 4 more"},
	} {
		if got := describe(c.summary, c.reasons); got != c.want || strings.Contains(got, "\n") {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}
